// The lease table's header: what a successor believes.
#include "store/shm/lease_segment.h"

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint32_t kSlots = 100;
constexpr uint64_t kArena = 8 * kMiB;

TEST(LeaseSegment, IsTakenOverWithWhatItSays) {
  const ZeroedMemory memory(LeaseGeometry::TotalBytes(kSlots));
  LeaseSegment made = LeaseSegment::Format(memory.data(), kSlots, kArena, 77);
  made[7].offset = 640;
  made.graves()[3] = 9;
  const auto taken = LeaseSegment::Attach(memory.data(), memory.bytes());
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->header().incarnation, 77u);
  EXPECT_EQ(taken->header().next_session, 1u);
  EXPECT_EQ((*taken)[7].offset, 640u);
  EXPECT_EQ(taken->graves()[3], 9u);
}

TEST(LeaseSegment, ExtentsThatContinueEachOtherAreOne) {
  const ZeroedMemory memory(LeaseGeometry::TotalBytes(kSlots));
  LeaseSegment made = LeaseSegment::Format(memory.data(), kSlots, kArena, 77);
  made.AddExtent(0, kMiB);
  made.AddExtent(kMiB, kMiB);
  made.AddExtent(4 * kMiB, kMiB);
  ASSERT_EQ(made.extents().size(), 2u);
  EXPECT_EQ(made.extents()[0].bytes, 2 * kMiB);
  EXPECT_EQ(made.extents()[1].offset, 4 * kMiB);
}

// What the table says, merged and in order.
std::vector<std::pair<uint64_t, uint64_t>> InUse(const LeaseSegment& leases) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const ExtentEntry& entry : leases.extents()) {
    if (entry.bytes > 0) ranges.emplace_back(entry.offset, entry.bytes);
  }
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

TEST(LeaseSegment, ExtentsThatTouchAreOneWhateverTheirOrder) {
  using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;
  const ZeroedMemory memory(LeaseGeometry::TotalBytes(kSlots));
  LeaseSegment made = LeaseSegment::Format(memory.data(), kSlots, kArena, 77);
  for (const uint64_t at : {6, 0, 4, 2}) made.AddExtent(at * kMiB, 2 * kMiB);
  EXPECT_EQ(InUse(made), (Ranges{{0, 8 * kMiB}}));
  made.RemoveExtent(2 * kMiB, 1 * kMiB);
  made.RemoveExtent(5 * kMiB, 3 * kMiB);
  EXPECT_EQ(InUse(made), (Ranges{{0, 2 * kMiB}, {3 * kMiB, 2 * kMiB}}));
  made.AddExtent(2 * kMiB, 1 * kMiB);
  EXPECT_EQ(InUse(made), (Ranges{{0, 5 * kMiB}}));
  made.RemoveExtent(0, 5 * kMiB);
  EXPECT_TRUE(InUse(made).empty());
  made.AddExtent(1 * kMiB, 1 * kMiB);
  EXPECT_EQ(InUse(made), (Ranges{{1 * kMiB, 1 * kMiB}}));
}

// Random adding and removing of pieces, beside a plain list of them.
TEST(LeaseSegment, ExtentsAgreeWithAPlainListOfPieces) {
  constexpr uint64_t kPieces = 64;
  const ZeroedMemory memory(LeaseGeometry::TotalBytes(kSlots));
  LeaseSegment made = LeaseSegment::Format(memory.data(), kSlots, kArena, 77);
  std::vector<bool> in_use(kPieces);
  std::mt19937_64 random(5);
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t first = random() % kPieces;
    uint64_t last = first;  // as many alike as chance wants
    while (last < kPieces && in_use[last] == in_use[first] && random() % 4 != 0) ++last;
    if (last == first) continue;
    if (in_use[first]) {
      made.RemoveExtent(first * kMiB, (last - first) * kMiB);
    } else {
      made.AddExtent(first * kMiB, (last - first) * kMiB);
    }
    for (uint64_t i = first; i < last; ++i) in_use[i] = !in_use[i];
    std::vector<bool> said(kPieces);
    for (const auto& [offset, bytes] : InUse(made)) {
      for (uint64_t at = offset; at < offset + bytes; at += kMiB) {
        ASSERT_FALSE(said[at / kMiB]) << "twice";
        said[at / kMiB] = true;
      }
    }
    ASSERT_EQ(said, in_use) << step;
    ASSERT_LE(made.extents().size(), kPieces / 2 + 1);
  }
}

TEST(LeaseSegment, AnotherVersionIsRefusedWithBothNumbers) {
  const ZeroedMemory memory(LeaseGeometry::TotalBytes(kSlots));
  LeaseSegment made = LeaseSegment::Format(memory.data(), kSlots, kArena, 77);
  made.header().layout_version = 41;
  const auto taken = LeaseSegment::Attach(memory.data(), memory.bytes());
  EXPECT_TRUE(absl::IsFailedPrecondition(taken.status()));
  EXPECT_NE(taken.status().ToString().find("version 41"), std::string::npos);
  EXPECT_NE(taken.status().ToString().find("version 2"), std::string::npos);
}

TEST(LeaseSegment, WhatIsNoneOrCannotBeIsRefused) {
  const ZeroedMemory memory(LeaseGeometry::TotalBytes(kSlots));
  EXPECT_TRUE(absl::IsInvalidArgument(
      LeaseSegment::Attach(memory.data(), memory.bytes()).status()));
  LeaseSegment made = LeaseSegment::Format(memory.data(), kSlots, kArena, 77);
  made.header().capacity = 1'000'000;
  EXPECT_TRUE(absl::IsInvalidArgument(
      LeaseSegment::Attach(memory.data(), memory.bytes()).status()));
  made.header().capacity = kSlots;
  made.header().extent_count = kMostExtents + 1;
  EXPECT_TRUE(absl::IsInvalidArgument(
      LeaseSegment::Attach(memory.data(), memory.bytes()).status()));
}

}  // namespace
}  // namespace penstock::testing
