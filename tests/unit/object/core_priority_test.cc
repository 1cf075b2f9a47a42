// Priorities: what goes first when room is needed, of what is dropped and of what goes to disk.
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"
#include "tests/support/fake_disk.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kBlock = 16 * kKiB;
constexpr uint32_t kLow = kSealLowPriority;
constexpr uint32_t kHigh = kSealHighPriority;

// A store of some blocks beside a disk.
struct Scene {
  explicit Scene(uint64_t blocks)
      : store({.slots = 4096, .arena_bytes = blocks * kBlock}),
        disk([this](uint64_t offset, uint64_t bytes) { return store.Bytes(offset, bytes); }) {
    store.core().EnableSpill(&disk);
  }
  void EndWrites() {
    while (disk.operations() > 0) disk.EndOne(0, &store.core(), true);
  }
  bool IsInMemory(const FakeObject& object) {
    return store.StateOfSlot(object.lease.slot) == SlotState::kSealed &&
           store.GenerationOfSlot(object.lease.slot) == object.lease.generation;
  }
  // The answer to `request`, with a disk that ends what it is given.
  Completion Await(uint32_t request) {
    for (int i = 0; i < 50; ++i) {
      store.Turn();
      EndWrites();
      if (const auto answer = client.Answer(request)) return *answer;
    }
    ADD_FAILURE() << "no answer";
    return {};
  }
  FakeLease MakeRoom() {
    const Completion answer = Await(client.Ask(LeaseRecord(kBlock)));
    EXPECT_EQ(answer.op, CompletionOp::kGrant);
    return LeaseIn(answer);
  }

  FakeStore store;
  FakeDisk disk;
  FakeClient& client = store.Open();
};

TEST(CorePriority, LowerOnesAreDroppedFirstHoweverLatelyTheyWereUsed) {
  FakeStore store({.slots = 64, .arena_bytes = 6 * kBlock});
  FakeClient& client = store.Open();
  std::vector<FakeObject> objects;
  for (const uint32_t flags : {kHigh, 0u, kLow, kHigh, 0u, kLow}) {
    objects.push_back(store.Put(client, kBlock, kSealEvictable | flags));
  }
  for (const size_t next : {2, 5, 1, 4, 0, 3}) {
    EXPECT_TRUE(store.Contains(client, objects[next].id)) << next;
    store.Lease(client, kBlock);
    EXPECT_FALSE(store.Contains(client, objects[next].id)) << next;
  }
}

TEST(CorePriority, APinnedOneOfLowPriorityLetsANormalOneGo) {
  FakeStore store({.slots = 64, .arena_bytes = 2 * kBlock});
  FakeClient& client = store.Open();
  const FakeObject low = store.Put(client, kBlock, kSealEvictable | kLow);
  const FakeObject normal = store.Put(client, kBlock, kSealEvictable);
  ASSERT_TRUE(client.TryPin(low.id).has_value());
  store.Lease(client, kBlock);
  EXPECT_TRUE(store.Contains(client, low.id));
  EXPECT_FALSE(store.Contains(client, normal.id));
}

TEST(CorePriority, TheNextCoreKeepsThem) {
  for (const bool in_order : {false, true}) {
    FakeStore store({.slots = 64, .arena_bytes = 2 * kBlock});
    FakeClient& client = store.Open();
    const FakeObject normal = store.Put(client, kBlock, kSealEvictable);
    const FakeObject low = store.Put(client, kBlock, kSealEvictable | kLow);
    if (in_order) {
      store.Resume(store.Retire());
    } else {
      store.Restart();
    }
    EXPECT_EQ(store.core().Stats().objects_of, (std::array<uint64_t, kPriorities>{1, 1, 0}));
    store.Lease(client, kBlock);
    EXPECT_TRUE(store.Contains(client, normal.id)) << in_order;
    EXPECT_FALSE(store.Contains(client, low.id)) << in_order;
  }
}

TEST(CorePriority, BothAtOnceEndTheSession) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeLease lease = store.Lease(client, kBlock);
  client.Push(SealRecord(lease, client.NextId(), 8, kLow | kHigh));
  store.Turn();
  EXPECT_NE(store.host().broken[client.row()].find("flags 0xc"), std::string::npos);
}

TEST(CorePriority, LowerOnesGoToDiskFirst) {
  // Of each priority as many as a sample holds and more, in turn.
  constexpr size_t kEach = 100;
  Scene scene(3 * kEach);
  std::array<std::vector<FakeObject>, kPriorities> objects;
  for (size_t i = 0; i < kEach; ++i) {
    objects[2].push_back(scene.store.Put(scene.client, kBlock, kHigh));
    objects[1].push_back(scene.store.Put(scene.client, kBlock));
    objects[0].push_back(scene.store.Put(scene.client, kBlock, kLow));
  }
  const auto in_memory = [&](uint32_t priority) {
    size_t count = 0;
    for (const FakeObject& object : objects[priority]) count += scene.IsInMemory(object);
    return count;
  };
  for (size_t gone = 1; gone <= 2 * kEach + kEach / 2; ++gone) {
    scene.MakeRoom();
    if (in_memory(0) > 0) {
      EXPECT_EQ(in_memory(1), kEach) << gone;
    }
    if (in_memory(1) > 0) {
      EXPECT_EQ(in_memory(2), kEach) << gone;
    }
  }
  EXPECT_EQ(in_memory(0) + in_memory(1), 0u);
  EXPECT_EQ(in_memory(2), kEach / 2);
}

// One of low priority that cannot go, and more of others than a sample holds.
TEST(CorePriority, APinnedOneOfLowPriorityKeepsNoneOfTheOthersFromGoing) {
  constexpr size_t kOthers = 150;
  Scene scene(kOthers + 1);
  const FakeObject low = scene.store.Put(scene.client, kBlock, kLow);
  ASSERT_TRUE(scene.client.TryPin(low.id).has_value());
  for (size_t i = 0; i < kOthers; ++i) scene.store.Put(scene.client, kBlock);
  for (size_t i = 0; i < kOthers; ++i) scene.MakeRoom();
  EXPECT_TRUE(scene.IsInMemory(low));
}

TEST(CorePriority, OfThoseThatCameBackLowerOnesLeaveFirst) {
  Scene scene(4);
  std::vector<FakeObject> objects;
  for (const uint32_t flags : {kHigh, kLow, 0u, kLow}) {
    objects.push_back(scene.store.Put(scene.client, kBlock, flags));
  }
  std::vector<FakeLease> leases;
  for (size_t i = 0; i < objects.size(); ++i) leases.push_back(scene.MakeRoom());
  for (const FakeLease& lease : leases) {
    scene.client.Push(SlotRecord(SubmissionOp::kReturnLease, lease.slot, lease.generation));
  }
  const auto is_in_memory = [&](size_t i) {
    const auto slot = scene.client.TryPin(objects[i].id);
    if (slot) scene.client.Unpin(*slot);
    return slot.has_value();
  };
  for (size_t i = 0; i < objects.size(); ++i) {
    ASSERT_FALSE(is_in_memory(i)) << i;
    const uint32_t request =
        scene.client.Ask(IdRecord(SubmissionOp::kGet, objects[i].id));
    const Completion back = scene.Await(request);
    ASSERT_EQ(back.op, CompletionOp::kObject);
    scene.client.Confirm(back);
    scene.client.Unpin(back.object.slot);
  }
  for (const size_t next : {1, 3, 2, 0}) {
    EXPECT_TRUE(is_in_memory(next)) << next;
    scene.MakeRoom();
    EXPECT_FALSE(is_in_memory(next)) << next;
  }
}

}  // namespace
}  // namespace penstock::testing
