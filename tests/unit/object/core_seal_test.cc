// Sealing: what is published, found and refused.
#include <gtest/gtest.h>

#include "store/shm/hash_index.h"
#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

// `count` ids of one session that all share the same two buckets of a small index.
std::vector<ObjectId> IdsOfOneBucketPair(FakeClient& client, uint32_t mask, size_t count) {
  std::vector<ObjectId> ids;
  while (ids.size() < count) {
    const ObjectId id = client.NextId();
    const uint64_t hash = id.Hash();
    const uint32_t first = static_cast<uint32_t>(hash) & mask;
    const uint32_t second = (first ^ (static_cast<uint32_t>(hash >> 32) | 1)) & mask;
    if (std::min(first, second) == 0 && std::max(first, second) == 1) ids.push_back(id);
  }
  return ids;
}

TEST(CoreSeal, SealedObjectIsFoundWithAllItsFacts) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const FakeLease lease = store.Lease(maker, 192);
  Submission seal = SealRecord(lease, maker.NextId(), 100, kSealEvictable);
  seal.metadata_size = 40;
  seal.type_tag = 77;
  maker.Push(seal);
  store.Turn();
  const auto slot = reader.TryPin(seal.id);
  ASSERT_EQ(slot, lease.slot);
  const Slot& object = store.index().slot(*slot);
  EXPECT_EQ(object.id, seal.id);
  EXPECT_EQ(object.offset, lease.offset);
  EXPECT_EQ(object.size, 100u);
  EXPECT_EQ(object.metadata_size, 40u);
  EXPECT_EQ(object.type_tag, 77u);
  EXPECT_EQ(object.flags, uint32_t{kSealEvictable});
  EXPECT_EQ(store.core().Stats().evictable_bytes, 192u);
  EXPECT_EQ(store.core().Stats().leases, 0u);
}

TEST(CoreSeal, ZeroBytesAreAnObject) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(client, 0);
  EXPECT_EQ(store.GetNow(client, object.id), AnswerCode::kOk);
}

TEST(CoreSeal, PayloadAndMetadataMayFillTheBlockToItsLastByte) {
  FakeStore store;
  FakeClient& client = store.Open();
  Submission seal = SealRecord(store.Lease(client, 128), client.NextId(), 121);
  seal.metadata_size = 0;
  client.Push(seal);
  seal = SealRecord(store.Lease(client, 128), client.NextId(), 100);
  seal.metadata_size = 24;  // from byte 104 on
  client.Push(seal);
  store.Turn();
  EXPECT_TRUE(store.host().broken.empty());
  EXPECT_TRUE(store.Contains(client, seal.id));
}

TEST(CoreSeal, RecordWhoseTailDidNotMoveIsNeverSeen) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeLease lease = store.Lease(client, 64);
  const ObjectId id = client.NextId();
  client.Write(SealRecord(lease, id, 1));  // killed here
  store.Turn();
  EXPECT_EQ(store.StateOfSlot(lease.slot), SlotState::kLeased);
  store.Close(client);
  EXPECT_EQ(store.core().Stats().objects, 0u);
  EXPECT_EQ(store.core().Stats().free_bytes, store.core().Stats().ready_bytes);
}

TEST(CoreSeal, HeadOfTheRingSaysWhatWasTaken) {
  FakeStore store;
  FakeClient& client = store.Open();
  for (int i = 0; i < 5; ++i) client.Push(IdRecord(SubmissionOp::kSync, {}));
  store.Turn();
  EXPECT_EQ(client.segments().daemon->submission_head.load(), 5u);
}

TEST(CoreSeal, OwnIdASecondTimeIsRefusedAndTheFirstObjectStays) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject first = store.Put(client, 50);
  const FakeLease second = store.Lease(client, 64);
  client.Push(SealRecord(second, first.id, 60));
  store.Turn();
  const std::vector<Completion> refused = client.TakeRefusedSeals();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].code, AnswerCode::kAlreadyExists);
  EXPECT_EQ(refused[0].object.id, first.id);
  EXPECT_EQ(store.StateOfSlot(second.slot), SlotState::kFree);
  EXPECT_EQ(client.TryPin(first.id), first.lease.slot);
  EXPECT_TRUE(store.host().broken.empty());
}

// Its maker may read it already: SealToView pins before the seal is out.
TEST(CoreSeal, TheBytesOfARefusedSealStayWhileTheyArePinned) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject first = store.Put(client, 50);
  const FakeLease second = store.Lease(client, 64);
  const uint64_t free_bytes = store.core().Stats().free_bytes;
  client.pins().Pin(second.slot, 1);
  client.Push(SealRecord(second, first.id, 60));
  store.Turn();
  EXPECT_EQ(client.TakeRefusedSeals().size(), 1u);
  EXPECT_EQ(store.StateOfSlot(second.slot), SlotState::kDeleted);
  EXPECT_EQ(store.core().Stats().free_bytes, free_bytes);
  store.core().CheckInvariants();
  EXPECT_TRUE(client.Unpin(second.slot));
  store.Turn();
  EXPECT_EQ(store.StateOfSlot(second.slot), SlotState::kFree);
  EXPECT_EQ(store.core().Stats().free_bytes, free_bytes + 64);
  EXPECT_EQ(client.TryPin(first.id), first.lease.slot);
  store.core().CheckInvariants();
}

TEST(CoreSeal, TheBytesOfARefusedSealGoWithTheSessionThatPinsThem) {
  FakeStore store;
  FakeClient& client = store.Open();
  FakeClient& other = store.Open();
  const FakeObject first = store.Put(other, 50);
  const FakeLease reserved = store.Lease(client, 64);
  const FakeObject own = store.Put(client, 64);
  client.pins().Pin(reserved.slot, 1);
  client.Push(SealRecord(reserved, own.id, 60));
  store.Close(client);
  EXPECT_EQ(store.StateOfSlot(reserved.slot), SlotState::kFree);
  EXPECT_EQ(store.core().Stats().doomed, 0u);
  EXPECT_EQ(other.TryPin(first.id), first.lease.slot);
  store.core().CheckInvariants();
}

TEST(CoreSeal, OfTwoSealsOfOneIdByItsMakerAndByAReserverOneIsTold) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& other = store.Open();
  const ObjectId id = maker.NextId();
  const FakeLease own = store.Lease(maker, 64);
  const FakeLease reserved = store.Reserve(other, id, 64);
  maker.Push(SealRecord(own, id, 1));
  store.Turn();
  other.Push(SealRecord(reserved, id, 2));
  store.Turn();
  EXPECT_EQ(store.core().Stats().objects, 1u);
  EXPECT_EQ(maker.TakeRefusedSeals().size() + other.TakeRefusedSeals().size(), 1u);
  EXPECT_TRUE(store.Contains(maker, id));
}

TEST(CoreSeal, IdsThatFindBothBucketsFullAreStillFoundAndDeleted) {
  FakeStore store;
  FakeClient& client = store.Open();
  std::vector<FakeObject> objects;
  for (const ObjectId& id : IdsOfOneBucketPair(client, store.index().bucket_mask(),
                                               2 * kBucketWords + 4)) {
    objects.push_back({id, store.Lease(client, 64), 8});
    client.Push(SealRecord(objects.back().lease, id, 8));
    store.Turn();
  }
  for (const FakeObject& object : objects) {
    EXPECT_EQ(store.GetNow(client, object.id), AnswerCode::kOk);
  }
  // Those of the index first: an overflow entry must not move or hide.
  for (const FakeObject& object : objects) {
    store.Delete(client, object);
    EXPECT_FALSE(store.Contains(client, object.id));
  }
  EXPECT_EQ(store.core().Stats().objects, 0u);
}

TEST(CoreSeal, SlotsAreUsedAgainUnderANewGeneration) {
  FakeStore store({.slots = 1});
  FakeClient& client = store.Open();
  uint64_t last = 0;
  for (int i = 0; i < 10; ++i) {
    const FakeObject object = store.Put(client, 8);
    EXPECT_EQ(object.lease.slot, 0u);
    if (i > 0) {
      EXPECT_GT(object.lease.generation, last);
    }
    last = object.lease.generation;
    store.Delete(client, object);
  }
}

TEST(CoreSeal, EpochMovesOnlyInTurnsThatSealEvictableObjects) {
  FakeStore store;
  FakeClient& client = store.Open();
  const auto epoch = [&] { return store.index().header().epoch.load(); };
  const uint32_t before = epoch();
  store.Put(client, 8);
  EXPECT_EQ(epoch(), before);
  store.Put(client, 8, kSealEvictable);
  EXPECT_EQ(epoch(), before + 1);
}

}  // namespace
}  // namespace penstock::testing
