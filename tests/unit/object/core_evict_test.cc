// Eviction: least recently used first, never what is pinned or held, and who is woken.
#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kBlock = 16 * kKiB;

// A store of four blocks.
FakeStoreOptions FourBlocks() { return {.slots = 64, .arena_bytes = 4 * kBlock}; }

// Fills the store with evictable objects, oldest first.
std::vector<FakeObject> Fill(FakeStore& store, FakeClient& client, uint64_t count = 4) {
  std::vector<FakeObject> objects;
  for (uint64_t i = 0; i < count; ++i) {
    objects.push_back(store.Put(client, kBlock, kSealEvictable));
  }
  return objects;
}

// A get of a library that never meets the daemon.
void Use(FakeClient& client, const FakeObject& object) {
  ASSERT_TRUE(client.TryPin(object.id).has_value());
  EXPECT_FALSE(client.Unpin(object.lease.slot));
}

TEST(CoreEvict, OldestGoesFirstAndItsAskerIsTold) {
  FakeStore store(FourBlocks());
  FakeClient& client = store.Open();
  const std::vector<FakeObject> objects = Fill(store, client);
  store.Lease(client, kBlock);
  EXPECT_EQ(store.GetNow(client, objects[0].id), AnswerCode::kEvicted);
  for (size_t i = 1; i < 4; ++i) EXPECT_TRUE(store.Contains(client, objects[i].id));
  EXPECT_EQ(store.core().Stats().evicted, 1u);
  EXPECT_EQ(store.core().Stats().evictable_bytes, 3 * kBlock);
}

TEST(CoreEvict, UseSeenOnlyInPinRowsCounts) {
  FakeStore store(FourBlocks());
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const std::vector<FakeObject> objects = Fill(store, maker);
  Use(reader, objects[0]);
  Use(maker, objects[2]);
  store.Lease(maker, kBlock);
  store.Lease(maker, kBlock);
  EXPECT_FALSE(store.Contains(maker, objects[1].id));
  EXPECT_FALSE(store.Contains(maker, objects[3].id));
  EXPECT_TRUE(store.Contains(maker, objects[0].id));
  EXPECT_TRUE(store.Contains(maker, objects[2].id));
}

TEST(CoreEvict, EpochOfTheFutureIsNotBelieved) {
  FakeStore store(FourBlocks());
  FakeClient& client = store.Open();
  const std::vector<FakeObject> objects = Fill(store, client);
  for (const uint32_t lie : {0x7fffffffu, 0xffffffffu, 1000u}) {
    client.pins().Pin(objects[0].lease.slot, lie);
    client.Unpin(objects[0].lease.slot);
  }
  for (int i = 0; i < 4; ++i) store.Lease(client, kBlock);  // ends, and finds everything
  EXPECT_EQ(store.core().Stats().evicted, 4u);
}

TEST(CoreEvict, LruHoldsAcrossTheEpochsWrapAround) {
  FakeStore store(FourBlocks());
  FakeClient& client = store.Open();
  store.index().header().epoch.store(0xfffffffe);
  const std::vector<FakeObject> objects = Fill(store, client);  // epochs ..ff, 1, 2, 3
  EXPECT_EQ(store.index().header().epoch.load(), 3u);  // 0 is left out
  store.Lease(client, kBlock);
  store.Lease(client, kBlock);
  EXPECT_FALSE(store.Contains(client, objects[0].id));
  EXPECT_FALSE(store.Contains(client, objects[1].id));
  EXPECT_TRUE(store.Contains(client, objects[2].id));
  EXPECT_TRUE(store.Contains(client, objects[3].id));
}

TEST(CoreEvict, PlainObjectsAreNeverDropped) {
  FakeStore store(FourBlocks());
  FakeClient& client = store.Open();
  std::vector<FakeObject> objects;
  for (int i = 0; i < 4; ++i) objects.push_back(store.Put(client, kBlock));
  const uint32_t request = client.Ask(LeaseRecord(kBlock));
  store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  for (const FakeObject& object : objects) EXPECT_TRUE(store.Contains(client, object.id));
}

TEST(CoreEvict, PinnedObjectIsPutBackAndAnotherGoes) {
  FakeStore store(FourBlocks());
  FakeClient& client = store.Open();
  const std::vector<FakeObject> objects = Fill(store, client);
  ASSERT_TRUE(client.TryPin(objects[0].id).has_value());
  for (int i = 0; i < 4; ++i) store.Put(client, kBlock, kSealEvictable);
  EXPECT_EQ(store.StateOfSlot(objects[0].lease.slot), SlotState::kSealed);
  EXPECT_EQ(store.GenerationOfSlot(objects[0].lease.slot), objects[0].lease.generation);
  EXPECT_TRUE(store.Contains(client, objects[0].id));
}

TEST(CoreEvict, HeldObjectIsPutBackToo) {
  FakeStore store(FourBlocks());
  FakeClient& client = store.Open();
  const std::vector<FakeObject> objects = Fill(store, client);
  const uint32_t get = client.Ask(IdRecord(SubmissionOp::kGet, objects[0].id));
  store.Turn();
  ASSERT_EQ(client.Code(get), AnswerCode::kOk);
  store.Lease(client, kBlock);
  EXPECT_TRUE(store.Contains(client, objects[0].id));
  EXPECT_FALSE(store.Contains(client, objects[1].id));
}

TEST(CoreEvict, LastReleaseOfAWantedObjectWakesTheCreatorThatWaits) {
  FakeStore store(FourBlocks());
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const std::vector<FakeObject> objects = Fill(store, maker);
  for (const FakeObject& object : objects) ASSERT_TRUE(reader.TryPin(object.id).has_value());
  const uint32_t request = maker.Ask(LeaseRecord(kBlock));
  store.Turn();
  EXPECT_EQ(maker.Code(request), kNoAnswer);
  EXPECT_TRUE(store.Contains(maker, objects[2].id));  // wanted is as good as sealed
  ASSERT_TRUE(reader.TryPin(objects[2].id).has_value());
  EXPECT_TRUE(reader.Unpin(objects[2].lease.slot));
  store.Turn();
  EXPECT_EQ(maker.Code(request), kNoAnswer);  // one pin is left
  EXPECT_TRUE(reader.Unpin(objects[2].lease.slot));
  store.Turn();
  EXPECT_EQ(maker.Code(request), AnswerCode::kOk);
  EXPECT_EQ(store.GetNow(maker, objects[2].id), AnswerCode::kEvicted);
}

TEST(CoreEvict, ConfirmationThenReleaseOfAWantedObjectWakesTheCreator) {
  FakeStore store(FourBlocks());
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const std::vector<FakeObject> objects = Fill(store, maker);
  std::vector<uint32_t> gets;
  for (const FakeObject& object : objects) {
    gets.push_back(reader.Ask(IdRecord(SubmissionOp::kGet, object.id)));
  }
  store.Turn();
  const uint32_t request = maker.Ask(LeaseRecord(kBlock));
  store.Turn();
  EXPECT_EQ(maker.Code(request), kNoAnswer);
  reader.Confirm(*reader.Answer(gets[1]));
  store.Turn();
  EXPECT_EQ(maker.Code(request), kNoAnswer);
  EXPECT_TRUE(reader.Unpin(objects[1].lease.slot));
  store.Turn();
  EXPECT_EQ(maker.Code(request), AnswerCode::kOk);
}

TEST(CoreEvict, DeathOfTheReaderWakesTheCreator) {
  FakeStore store(FourBlocks());
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  for (const FakeObject& object : Fill(store, maker)) {
    ASSERT_TRUE(reader.TryPin(object.id).has_value());
  }
  const uint32_t request = maker.Ask(LeaseRecord(4 * kBlock));
  store.Turn();
  EXPECT_EQ(maker.Code(request), kNoAnswer);
  store.Close(reader);
  store.Turn();
  EXPECT_EQ(maker.Code(request), AnswerCode::kOk);
}

TEST(CoreEvict, CreatorIsServedWhenALeaseOfAnotherBecomesEvictable) {
  FakeStore store(FourBlocks());
  FakeClient& waiter = store.Open();
  FakeClient& maker = store.Open();
  const FakeLease lease = store.Lease(maker, 4 * kBlock);
  const uint32_t request = waiter.Ask(LeaseRecord(kBlock));
  store.Turn();
  EXPECT_EQ(waiter.Code(request), kNoAnswer);
  maker.Push(SealRecord(lease, maker.NextId(), 8, kSealEvictable));
  store.Turn();
  EXPECT_EQ(waiter.Code(request), AnswerCode::kOk);
}

// More pinned objects than the daemon marks as wanted: whichever is released, the creator
// must hear of it.
TEST(CoreEvict, CreatorIsWokenByAnyOfManyPinnedObjects) {
  constexpr uint32_t kMany = 200;
  FakeStore store({.slots = kMany + 8, .arena_bytes = kMany * 64});
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  std::vector<FakeObject> objects;
  for (uint32_t i = 0; i < kMany; ++i) {
    objects.push_back(store.Put(maker, 64, kSealEvictable));
    ASSERT_TRUE(reader.TryPin(objects.back().id).has_value());
  }
  for (const uint32_t released : {kMany - 1, kMany / 2, 0u}) {
    const uint32_t request = maker.Ask(LeaseRecord(64));
    store.Turn();
    ASSERT_EQ(maker.Code(request), kNoAnswer);
    reader.Unpin(objects[released].lease.slot);
    store.Turn();
    EXPECT_EQ(maker.Code(request), AnswerCode::kOk) << "released " << released;
  }
}

TEST(CoreEvict, ManySmallObjectsMakeRoomForALargeOne) {
  FakeStore store({.slots = 2048, .arena_bytes = 64 * kKiB});
  FakeClient& client = store.Open();
  for (int i = 0; i < 1024; ++i) store.Put(client, 64, kSealEvictable);
  const uint32_t request = client.Ask(LeaseRecord(32 * kKiB));
  std::optional<Completion> answer;
  for (int turns = 0; turns < 10 && !answer; ++turns) {  // some are evicted in each
    store.Turn();
    answer = client.Answer(request);
  }
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(LeaseIn(*answer).block_bytes, 32 * kKiB);
  EXPECT_GE(store.core().Stats().evicted, 512u);
}

TEST(CoreEvict, ASlotAloneMayBeWhatIsMissing) {
  FakeStore store({.slots = 2});
  FakeClient& client = store.Open();
  const FakeObject old = store.Put(client, 64, kSealEvictable);
  store.Put(client, 64);
  store.Lease(client, 64);
  EXPECT_EQ(store.GetNow(client, old.id), AnswerCode::kEvicted);
}

TEST(CoreEvict, QueueForgetsDeletedObjectsAndStaysBounded) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject kept = store.Put(client, 64, kSealEvictable);
  for (int i = 0; i < 5000; ++i) {
    store.Delete(client, store.Put(client, 64, kSealEvictable));
  }
  EXPECT_TRUE(store.Contains(client, kept.id));
  store.Lease(client, 1 * kMiB);
  EXPECT_EQ(store.GetNow(client, kept.id), AnswerCode::kEvicted);
  EXPECT_EQ(store.core().Stats().evicted, 1u);
}

// A look at the pins of many sessions serves a few objects, if they are small: the oldest ones.
TEST(CoreEvict, WithManySessionsAFewOfTheOldestGoTogether) {
  constexpr uint64_t kSmall = 64;
  constexpr uint64_t kArena = 256 * kKiB;
  FakeStore store({.slots = 8 * 1024, .arena_bytes = kArena});
  FakeClient& client = store.Open();
  for (int i = 0; i < 100; ++i) store.Open();
  std::vector<FakeObject> objects;
  while (store.core().Stats().free_bytes >= kSmall) {
    objects.push_back(store.Put(client, kSmall, kSealEvictable));
  }
  Use(client, objects[0]);
  ASSERT_TRUE(client.TryPin(objects[1].id).has_value());
  store.Lease(client, kSmall);
  const uint64_t evicted = store.core().Stats().evicted;
  EXPECT_GT(evicted, 1u) << "each had a look at all rows to itself";
  EXPECT_LE(evicted, 16u);
  EXPECT_TRUE(store.Contains(client, objects[0].id));
  EXPECT_TRUE(store.Contains(client, objects[1].id));
  for (size_t i = 0; i < evicted; ++i) {
    EXPECT_FALSE(store.Contains(client, objects[2 + i].id)) << i;
  }
}

// What is pinned is looked at once, and again after its release: not by each creator and turn.
TEST(CoreEvict, PinnedObjectsAreNotLookedAtAgainBeforeARelease) {
  constexpr uint64_t kSmall = 64;
  FakeStore store({.slots = 2048, .arena_bytes = 64 * kKiB});
  FakeClient& client = store.Open();
  FakeClient& reader = store.Open();
  std::vector<FakeObject> objects;
  while (store.core().Stats().free_bytes >= kSmall) {
    objects.push_back(store.Put(client, kSmall, kSealEvictable));
    ASSERT_TRUE(reader.TryPin(objects.back().id).has_value());
  }
  std::vector<uint32_t> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(client.Ask(LeaseRecord(kSmall)));
  for (int i = 0; i < 4; ++i) store.Turn();  // in shares
  EXPECT_EQ(store.core().Stats().eviction_looks, objects.size());
  for (int i = 0; i < 50; ++i) {
    waiting.push_back(client.Ask(LeaseRecord(kSmall)));
    EXPECT_TRUE(store.Contains(client, objects[0].id));
  }
  EXPECT_EQ(store.core().Stats().eviction_looks, objects.size());
  // One that is let go is found at once, and makes room for one.
  EXPECT_TRUE(reader.Unpin(objects[7].lease.slot));
  store.Turn();
  EXPECT_EQ(client.Code(waiting[0]), AnswerCode::kOk);
  EXPECT_EQ(client.Code(waiting[1]), kNoAnswer);
  EXPECT_LE(store.core().Stats().eviction_looks, objects.size() + 2);
  // The reader's end gives all of them back.
  store.Close(reader);
  store.Turn();
  for (const uint32_t request : waiting) {
    if (request == waiting[0]) continue;
    EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  }
}

// More than one turn looks at: nobody is refused before all were.
TEST(CoreEvict, ACreatorWhoseDeadlinePassesGetsWhatLiesBehindManyPinnedOnes) {
  constexpr uint64_t kSmall = 64;
  FakeStore store({.slots = 16384, .arena_bytes = 512 * kKiB});
  FakeClient& client = store.Open();
  FakeClient& reader = store.Open();
  // Without the checks of FakeStore::Turn, which take time for each object.
  std::vector<ObjectId> ids;
  for (int i = 0; i < 8192; ++i) {
    const uint32_t asked = client.Ask(LeaseRecord(kSmall));
    store.core().Turn();
    const FakeLease lease = LeaseIn(*client.Answer(asked));
    ids.push_back(client.NextId());
    client.Push(SealRecord(lease, ids.back(), kSmall, kSealEvictable));
    store.core().Turn();
  }
  ASSERT_LT(store.core().Stats().free_bytes, kSmall);
  for (size_t i = 0; i + 1 < ids.size(); ++i) ASSERT_TRUE(reader.TryPin(ids[i]).has_value());
  const uint32_t asked = client.Ask(LeaseRecord(kSmall));
  store.core().Turn();  // looks at some of them
  EXPECT_EQ(client.Code(asked), kNoAnswer);
  Submission cancel{};
  cancel.op = SubmissionOp::kCancel;
  cancel.request = asked;
  client.Push(cancel);
  client.Push(cancel);
  int turns = 1;
  while (store.core().Turn() || !store.core().PreparePark()) ASSERT_LT(++turns, 100);
  EXPECT_GT(turns, 1);
  EXPECT_EQ(client.Code(asked), AnswerCode::kOk);
  EXPECT_EQ(store.core().Stats().evicted, 1u);
  store.core().CheckInvariants();
}

}  // namespace
}  // namespace penstock::testing
