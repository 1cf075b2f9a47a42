// Free memory that goes back to the host, and comes again before anything is dropped for room.
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"
#include "tests/support/fake_disk.h"

namespace penstock::testing {
namespace {

using Extents = std::vector<Allocator::Extent>;

constexpr CoreLimits kLimits = {.memory_comes_back = true};

TEST(CoreGiveBack, FreeExtentsGoAndComeAgain) {
  FakeStore store({.arena_bytes = 16 * kMiB, .limits = kLimits});
  FakeClient& client = store.Open();
  store.Put(client, 3 * kMiB);
  const auto taken = store.core().TakeFreeExtents(/*keep_bytes=*/5 * kMiB);
  uint64_t bytes = 0;
  for (const auto& extent : taken) {
    EXPECT_EQ(extent.offset % (2 * kMiB), 0u);
    EXPECT_EQ(extent.bytes % (2 * kMiB), 0u);
    bytes += extent.bytes;
  }
  EXPECT_EQ(bytes, 8 * kMiB);
  EXPECT_EQ(store.core().Stats().ready_bytes, 8 * kMiB);
  EXPECT_EQ(store.core().Stats().free_bytes, 5 * kMiB);
  store.core().CheckInvariants();
  // Not refused as too large: what was given back may come again.
  const uint32_t request = client.Ask(LeaseRecord(12 * kMiB));
  store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  EXPECT_TRUE(store.core().TakeFreeExtents(0).empty()) << "while somebody waits";
  for (const auto& extent : taken) store.core().AddExtent(extent.offset, extent.bytes);
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
}

TEST(CoreGiveBack, TheNextDaemonKnowsWhichExtentsAreTheHosts) {
  FakeStore store({.arena_bytes = 16 * kMiB, .limits = kLimits});
  FakeClient& client = store.Open();
  std::vector<FakeObject> objects;
  for (int i = 0; i < 4; ++i) objects.push_back(store.Put(client, 4 * kMiB));
  store.Delete(client, objects[1]);  // a hole with objects above it
  const auto taken = store.core().TakeFreeExtents(0);
  ASSERT_EQ(taken, (std::vector<Allocator::Extent>{{4 * kMiB, 4 * kMiB}}));
  store.Restart();
  EXPECT_EQ(store.core().Stats().ready_bytes, 12 * kMiB);
  EXPECT_EQ(store.core().Stats().free_bytes, 0u);
  EXPECT_EQ(store.core().Stats().objects, 3u);
  store.core().AddExtent(4 * kMiB, 4 * kMiB);
  store.Restart();
  EXPECT_EQ(store.core().Stats().free_bytes, 4 * kMiB);
  EXPECT_EQ(store.core().Stats().objects, 3u);
}

TEST(CoreGiveBack, TheNextDaemonWaitsForTheHostToo) {
  FakeStore store({.arena_bytes = 16 * kMiB, .limits = kLimits});
  FakeClient& client = store.Open();
  const FakeObject cache = store.Put(client, 4 * kMiB, kSealEvictable);
  const Extents taken = store.core().TakeFreeExtents(0);
  const uint32_t request = client.Ask(LeaseRecord(12 * kMiB));
  store.Restart();  // which drains the ring
  EXPECT_EQ(store.core().returned_bytes(), 12 * kMiB);
  store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  EXPECT_EQ(store.core().MemoryWanted(), 12 * kMiB);
  EXPECT_TRUE(store.Contains(client, cache.id));
  for (const auto& extent : taken) store.core().AddExtent(extent.offset, extent.bytes);
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  EXPECT_TRUE(store.Contains(client, cache.id));
}

TEST(CoreGiveBack, WithoutItTheArenaKeepsItsMemory) {
  FakeStore store({.arena_bytes = 16 * kMiB});
  EXPECT_TRUE(store.core().TakeFreeExtents(0).empty());
  EXPECT_EQ(store.core().free_bytes(), 16 * kMiB);
}

TEST(CoreGiveBack, NothingIsDroppedOrWrittenOutWhileMemoryMayComeAgain) {
  FakeStore store({.arena_bytes = 16 * kMiB, .limits = kLimits});
  FakeDisk disk([&](uint64_t offset, uint64_t bytes) { return store.Bytes(offset, bytes); });
  store.core().EnableSpill(&disk);
  FakeClient& client = store.Open();
  const FakeObject cache = store.Put(client, 4 * kMiB, kSealEvictable);
  store.Put(client, 4 * kMiB);
  const Extents taken = store.core().TakeFreeExtents(0);
  EXPECT_EQ(store.core().returned_bytes(), 8 * kMiB);
  EXPECT_EQ(store.core().MemoryWanted(), 0u);
  const uint32_t request = client.Ask(LeaseRecord(3 * kMiB));
  for (int i = 0; i < 5; ++i) store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  EXPECT_EQ(store.core().MemoryWanted(), 3 * kMiB);
  EXPECT_EQ(disk.operations(), 0u);
  EXPECT_TRUE(store.Contains(client, cache.id));
  for (const auto& extent : taken) store.core().AddExtent(extent.offset, extent.bytes);
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  EXPECT_EQ(store.core().MemoryWanted(), 0u);
  EXPECT_EQ(store.core().returned_bytes(), 0u);
  EXPECT_TRUE(store.Contains(client, cache.id));
}

TEST(CoreGiveBack, WhereTheHostHasNothingRoomIsMadeFromWhatThereIs) {
  FakeStore store({.arena_bytes = 16 * kMiB, .limits = kLimits});
  FakeClient& client = store.Open();
  const FakeObject cache = store.Put(client, 4 * kMiB, kSealEvictable);
  const Extents taken = store.core().TakeFreeExtents(0);
  const uint32_t request = client.Ask(LeaseRecord(3 * kMiB));
  store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  store.core().SetHostIsShort(true);
  EXPECT_EQ(store.core().MemoryWanted(), 0u);
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  EXPECT_FALSE(store.Contains(client, cache.id));
  // A larger one than there is without the host waits for it, and is not refused.
  const uint32_t large = client.Ask(LeaseRecord(8 * kMiB));
  store.Turn();
  EXPECT_EQ(client.Code(large), kNoAnswer);
  // Nothing is dropped for it, and it stands in nobody's way.
  const FakeObject other = store.Put(client, 512 * kKiB, kSealEvictable);
  for (int i = 0; i < 3; ++i) store.Turn();
  EXPECT_TRUE(store.Contains(client, other.id));
  const uint32_t small = client.Ask(LeaseRecord(768 * kKiB));
  store.Turn();
  EXPECT_EQ(client.Code(small), AnswerCode::kOk) << "in the place of the other one";
  EXPECT_EQ(client.Code(large), kNoAnswer);
  store.core().SetHostIsShort(false);
  EXPECT_EQ(store.core().MemoryWanted(), 8 * kMiB);
  for (const auto& extent : taken) store.core().AddExtent(extent.offset, extent.bytes);
  store.Turn();
  EXPECT_EQ(client.Code(large), AnswerCode::kOk);
}

TEST(CoreGiveBack, NothingIsDroppedForWhatFitsIntoNoPieceThatThereIs) {
  FakeStore store({.arena_bytes = 16 * kMiB, .limits = kLimits});
  FakeClient& client = store.Open();
  const FakeObject low = store.Put(client, 4 * kMiB, kSealEvictable);
  const FakeObject between = store.Put(client, 8 * kMiB);
  const FakeObject high = store.Put(client, 4 * kMiB, kSealEvictable);
  store.Delete(client, between);
  ASSERT_EQ(store.core().TakeFreeExtents(0), (Extents{{4 * kMiB, 8 * kMiB}}));
  store.core().SetHostIsShort(true);
  // All there is would suffice, in one piece.
  const uint32_t large = client.Ask(LeaseRecord(6 * kMiB));
  for (int i = 0; i < 5; ++i) store.Turn();
  EXPECT_EQ(client.Code(large), kNoAnswer);
  EXPECT_TRUE(store.Contains(client, low.id));
  EXPECT_TRUE(store.Contains(client, high.id));
  EXPECT_FALSE(store.core().somebody_waits_for_releases());
  // Two who are within reach are served in the order in which they came.
  const uint32_t first = client.Ask(LeaseRecord(4 * kMiB));
  const uint32_t second = client.Ask(LeaseRecord(4 * kMiB));
  store.Turn();
  EXPECT_EQ(LeaseIn(*client.Answer(first)).offset, 0u) << "the one used longest ago";
  EXPECT_EQ(client.Code(second), AnswerCode::kOk);
  EXPECT_EQ(client.Code(large), kNoAnswer);
}

TEST(CoreGiveBack, AnExtentMayReachOverSeveralThatCameOneByOne) {
  // As several threads populate them.
  FakeStore store({.arena_bytes = 16 * kMiB, .limits = kLimits, .populated = false});
  for (const uint64_t at : {4, 0, 12, 8}) store.core().AddExtent(at * kMiB, 4 * kMiB);
  store.core().FinishPopulation();
  FakeClient& client = store.Open();
  store.Put(client, 1 * kMiB);
  EXPECT_EQ(store.core().TakeFreeExtents(1 * kMiB), (Extents{{2 * kMiB, 14 * kMiB}}));
  store.core().AddExtent(10 * kMiB, 2 * kMiB);
  store.core().AddExtent(12 * kMiB, 2 * kMiB);
  EXPECT_EQ(store.core().TakeFreeExtents(3 * kMiB), (Extents{{12 * kMiB, 2 * kMiB}}));
  store.Restart();
  EXPECT_EQ(store.core().Stats().ready_bytes, 4 * kMiB);
  EXPECT_EQ(store.core().Stats().objects, 1u);
}

TEST(CoreGiveBack, TheDaemonsDeathBetweenTheStoresOfTheTableLosesNothing) {
  // In the middle of [0, 16 MiB) four are taken out, and added again.
  const std::vector<std::vector<ExtentEntry>> cuts = {
      {{0, 16 * kMiB}, {12 * kMiB, 4 * kMiB}},                       // the upper part counts
      {{0, 8 * kMiB}, {12 * kMiB, 4 * kMiB}},                        // out
      {{0, 16 * kMiB}, {12 * kMiB, 4 * kMiB}},                       // grown over it
      {{0, 8 * kMiB}, {8 * kMiB, 8 * kMiB}, {12 * kMiB, 4 * kMiB}},  // or beside it
  };
  for (const std::vector<ExtentEntry>& cut : cuts) {
    FakeStore store({.arena_bytes = 16 * kMiB, .limits = kLimits});
    FakeClient& client = store.Open();
    const FakeObject below = store.Put(client, 8 * kMiB);
    const FakeObject gone = store.Put(client, 4 * kMiB);
    const FakeObject above = store.Put(client, 4 * kMiB);
    store.Delete(client, gone);
    LeaseSegment& table = store.lease_table();
    table.RemoveExtent(0, 16 * kMiB);
    ASSERT_EQ(table.extents().size(), 1u);
    auto* const entries = const_cast<ExtentEntry*>(table.extents().data());
    std::copy(cut.begin(), cut.end(), entries);
    table.header().extent_count = static_cast<uint32_t>(cut.size());
    store.Restart();
    EXPECT_EQ(store.core().Stats().objects, 2u);
    EXPECT_TRUE(store.Contains(client, below.id));
    EXPECT_TRUE(store.Contains(client, above.id));
    // And it goes on with the table that it found.
    store.Delete(client, above);
    uint64_t bytes = 0;
    const Extents taken = store.core().TakeFreeExtents(0);
    for (const auto& extent : taken) bytes += extent.bytes;
    EXPECT_GE(bytes, 4 * kMiB);
    EXPECT_EQ(store.core().Stats().ready_bytes + store.core().returned_bytes(), 16 * kMiB);
    store.core().CheckInvariants();
    for (const auto& extent : taken) store.core().AddExtent(extent.offset, extent.bytes);
    store.core().CheckInvariants();
    EXPECT_TRUE(store.Contains(client, below.id));
  }
}

TEST(CoreGiveBack, ThoseThatHoldNoSlotWaitForASlotAndNotForTheHost) {
  FakeStore store({.slots = 4, .arena_bytes = 16 * kMiB, .limits = kLimits});
  FakeClient& client = store.Open();
  for (int i = 0; i < 4; ++i) store.Put(client, 64, kSealEvictable);
  store.core().TakeFreeExtents(4 * kMiB);
  ASSERT_GT(store.core().returned_bytes(), 0u);
  const uint32_t request = client.Ask(LeaseRecord(64));
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kOk) << "a cached object gave its slot";
  // Nor does anybody ask the host where a slot is all that is missing.
  FakeStore full({.slots = 4, .arena_bytes = 16 * kMiB, .limits = kLimits});
  FakeClient& owner = full.Open();
  for (int i = 0; i < 4; ++i) full.Put(owner, 64);
  full.core().TakeFreeExtents(4 * kMiB);
  owner.Ask(LeaseRecord(64));
  full.Turn();
  EXPECT_TRUE(full.core().somebody_waits_for_room());
  EXPECT_EQ(full.core().MemoryWanted(), 0u);
}

}  // namespace
}  // namespace penstock::testing
