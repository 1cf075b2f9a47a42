// Deleting: at once, or when the last pin and the last hold have gone.
#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

TEST(CoreDelete, UnpinnedObjectIsFreedAtOnceUnderANewGeneration) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(client, 100);
  store.Delete(client, object);
  EXPECT_EQ(store.StateOfSlot(object.lease.slot), SlotState::kFree);
  EXPECT_EQ(store.GenerationOfSlot(object.lease.slot), object.lease.generation + 1);
  EXPECT_EQ(store.core().Stats().free_bytes, store.core().Stats().ready_bytes);
  EXPECT_FALSE(client.TryPin(object.id).has_value());
}

TEST(CoreDelete, PinnedObjectIsGoneForOthersButItsBytesStay) {
  FakeStore store({.arena_bytes = 64 * kKiB});
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const FakeObject object = store.Put(maker, 100);
  ASSERT_TRUE(reader.TryPin(object.id).has_value());
  store.Delete(maker, object);
  EXPECT_EQ(store.StateOfSlot(object.lease.slot), SlotState::kDeleted);
  EXPECT_EQ(store.GetNow(maker, object.id), AnswerCode::kDeleted);
  EXPECT_FALSE(maker.TryPin(object.id).has_value());
  // All other memory is handed out; the pinned block never is.
  for (uint64_t left = store.core().Stats().free_bytes; left >= 128; left -= 128) {
    if (store.core().Stats().objects == store.index().capacity()) break;
    const FakeObject other = store.Put(maker, 128);
    EXPECT_NE(other.lease.offset, object.lease.offset);
    EXPECT_NE(other.lease.slot, object.lease.slot);
  }
  EXPECT_TRUE(reader.Unpin(object.lease.slot));
  store.Turn();
  EXPECT_EQ(store.StateOfSlot(object.lease.slot), SlotState::kFree);
}

TEST(CoreDelete, ObjectPinnedByTwoIsFreedWithTheLastRelease) {
  FakeStore store;
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  const FakeObject object = store.Put(a, 100);
  ASSERT_TRUE(a.TryPin(object.id).has_value());
  ASSERT_TRUE(a.TryPin(object.id).has_value());
  ASSERT_TRUE(b.TryPin(object.id).has_value());
  store.Delete(a, object);
  for (FakeClient* client : {&a, &b}) {
    client->Unpin(object.lease.slot);
    store.Turn();
    EXPECT_EQ(store.core().Stats().doomed, 1u);
  }
  a.Unpin(object.lease.slot);
  store.Turn();
  EXPECT_EQ(store.core().Stats().doomed, 0u);
  EXPECT_EQ(store.core().Stats().objects, 0u);
}

TEST(CoreDelete, PinOfADeadSessionEndsWithItsRow) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const FakeObject object = store.Put(maker, 100);
  ASSERT_TRUE(reader.TryPin(object.id).has_value());
  store.Delete(maker, object);
  EXPECT_EQ(store.core().Stats().doomed, 1u);
  store.Close(reader);
  EXPECT_EQ(store.core().Stats().doomed, 0u);
  EXPECT_EQ(store.StateOfSlot(object.lease.slot), SlotState::kFree);
}

TEST(CoreDelete, HoldOfADeadSessionEndsWithIt) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const FakeObject object = store.Put(maker, 100);
  reader.Ask(IdRecord(SubmissionOp::kGet, object.id));
  reader.Ask(IdRecord(SubmissionOp::kGet, object.id));
  store.Turn();
  store.Delete(maker, object);
  EXPECT_EQ(store.core().Stats().doomed, 1u);
  store.Close(reader);
  EXPECT_EQ(store.core().Stats().doomed, 0u);
}

// SYNC S2: the pin stands but the reader has not looked again when the daemon deletes.
TEST(CoreDelete, PinThatCameJustBeforeTheMarkIsSeenAndItsRefusalFreesTheObject) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const FakeObject object = store.Put(maker, 100);
  reader.pins().Pin(object.lease.slot, 1);
  store.Delete(maker, object);
  EXPECT_EQ(store.StateOfSlot(object.lease.slot), SlotState::kDeleted);
  // The reader's second look refuses, and takes the pin away like any other.
  EXPECT_TRUE(reader.Unpin(object.lease.slot));
  store.Turn();
  EXPECT_EQ(store.StateOfSlot(object.lease.slot), SlotState::kFree);
}

TEST(CoreDelete, PinThatCameAfterTheSlotWasFreedKeepsNothing) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const FakeObject object = store.Put(maker, 100);
  store.Delete(maker, object);
  reader.pins().Pin(object.lease.slot, 1);
  const FakeObject next = store.Put(maker, 100);  // the same slot again
  ASSERT_EQ(next.lease.slot, object.lease.slot);
  EXPECT_FALSE(reader.Unpin(object.lease.slot));
  store.Delete(maker, next);
  EXPECT_EQ(store.core().Stats().doomed, 0u);
}

TEST(CoreDelete, StaleGenerationsAndFreeSlotsAreLeftAlone) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject old = store.Put(client, 100);
  store.Delete(client, old);
  const FakeObject now = store.Put(client, 100);
  ASSERT_EQ(now.lease.slot, old.lease.slot);
  store.Delete(client, old);
  EXPECT_TRUE(store.Contains(client, now.id));
  client.Push(SlotRecord(SubmissionOp::kDelete, 40, 0));
  client.Push(SlotRecord(SubmissionOp::kDelete, 1u << 30, 0));
  client.Push(SlotRecord(SubmissionOp::kRelease, now.lease.slot, now.lease.generation));
  client.Push(SlotRecord(SubmissionOp::kRelease, now.lease.slot, old.lease.generation));
  store.Turn();
  EXPECT_TRUE(store.Contains(client, now.id));
  EXPECT_TRUE(store.host().broken.empty());
}

TEST(CoreDelete, SecondDeleteOfADoomedObjectChangesNothing) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(client, 100);
  ASSERT_TRUE(client.TryPin(object.id).has_value());
  store.Delete(client, object);
  store.Delete(client, object);
  EXPECT_EQ(store.core().Stats().deleted, 1u);
  client.Unpin(object.lease.slot);
  store.Turn();
  EXPECT_EQ(store.core().Stats().freed, 1u);
}

TEST(CoreDelete, ByIdTellsWhetherItWasThere) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(client, 100);
  const uint32_t first = client.Ask(IdRecord(SubmissionOp::kDeleteById, object.id));
  const uint32_t second = client.Ask(IdRecord(SubmissionOp::kDeleteById, object.id));
  store.Turn();
  EXPECT_EQ(client.Code(first), AnswerCode::kOk);
  EXPECT_EQ(client.Code(second), AnswerCode::kNotFound);
  EXPECT_EQ(store.core().Stats().objects, 0u);
}

TEST(CoreDelete, DeleteRightBehindTheSealInTheSameRingWorks) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeLease lease = store.Lease(client, 64);
  client.Write(SealRecord(lease, client.NextId(), 8));
  client.Write(SlotRecord(SubmissionOp::kDelete, lease.slot, lease.generation));
  client.Publish();
  store.Turn();
  EXPECT_EQ(store.core().Stats().sealed, 1u);
  EXPECT_EQ(store.core().Stats().deleted, 1u);
  EXPECT_EQ(store.core().Stats().objects, 0u);
}

TEST(CoreDelete, NameOfADoomedObjectMayBeMadeAnew) {
  FakeStore store;
  FakeClient& client = store.Open();
  const ObjectId id = ObjectId::FromName("state");
  const FakeObject old = store.PutAs(client, id, 100);
  ASSERT_TRUE(client.TryPin(id).has_value());
  store.Delete(client, old);
  const FakeObject now = store.PutAs(client, id, 200);
  EXPECT_NE(now.lease.slot, old.lease.slot);
  EXPECT_EQ(client.TryPin(id), now.lease.slot);
  client.Unpin(old.lease.slot);
  store.Turn();
  EXPECT_TRUE(store.Contains(client, id));
}

// All pins are looked for at once, after the marks of all.
TEST(CoreDelete, OfManyInOneRingThePinnedOnesStay) {
  FakeStore store({.slots = 1024});
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  for (int i = 0; i < 20; ++i) store.Open();  // idle
  std::vector<FakeObject> objects;
  for (int i = 0; i < 300; ++i) objects.push_back(store.Put(maker, 64));
  for (size_t i = 0; i < objects.size(); i += 3) {
    ASSERT_TRUE(reader.TryPin(objects[i].id).has_value());
  }
  const uint32_t held = reader.Ask(IdRecord(SubmissionOp::kGet, objects[1].id));
  store.Turn();
  for (const FakeObject& object : objects) {
    maker.Push(SlotRecord(SubmissionOp::kDelete, object.lease.slot, object.lease.generation));
  }
  while (store.Turn()) {
  }
  EXPECT_EQ(store.core().Stats().doomed, 101u);
  for (size_t i = 0; i < objects.size(); ++i) {
    EXPECT_EQ(store.StateOfSlot(objects[i].lease.slot),
              i % 3 == 0 || i == 1 ? SlotState::kDeleted : SlotState::kFree) << i;
  }
  reader.Confirm(*reader.Answer(held));
  reader.Unpin(objects[1].lease.slot);
  for (size_t i = 0; i < objects.size(); i += 3) reader.Unpin(objects[i].lease.slot);
  while (store.Turn()) {
  }
  EXPECT_EQ(store.core().Stats().doomed, 0u);
  EXPECT_EQ(store.core().Stats().objects, 0u);
}

TEST(CoreDelete, AReleaseRightBehindTheDeleteFreesOnce) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(client, 100);
  ASSERT_TRUE(client.TryPin(object.id).has_value());
  client.Push(SlotRecord(SubmissionOp::kDelete, object.lease.slot, object.lease.generation));
  client.pins().Unpin(object.lease.slot);
  client.Push(SlotRecord(SubmissionOp::kRelease, object.lease.slot, object.lease.generation));
  // The slot goes on to another object in the same turn.
  const uint32_t lease = client.Ask(LeaseRecord(64));
  store.Turn();
  EXPECT_EQ(store.GenerationOfSlot(object.lease.slot), object.lease.generation + 1);
  EXPECT_EQ(client.Code(lease), AnswerCode::kOk);
  EXPECT_EQ(store.core().Stats().doomed, 0u);
}

TEST(CoreDelete, ALeaseRightBehindTheDeletesHasTheirRoom) {
  FakeStore store({.slots = 64, .arena_bytes = 64 * kKiB});
  FakeClient& client = store.Open();
  std::vector<FakeObject> objects;
  for (int i = 0; i < 4; ++i) objects.push_back(store.Put(client, 16 * kKiB));
  for (int i = 0; i < 2; ++i) {
    client.Push(SlotRecord(SubmissionOp::kDelete, objects[i].lease.slot,
                           objects[i].lease.generation));
  }
  const uint32_t lease = client.Ask(LeaseRecord(32 * kKiB));
  store.Turn();
  EXPECT_EQ(client.Code(lease), AnswerCode::kOk);
}

TEST(CoreDelete, WhatWasDeletedJustBeforeCountsAgainstNoQuota) {
  CoreLimits limits;
  limits.client_quota_bytes = 1024;
  FakeStore store({.limits = limits});
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(client, 1024);
  client.Push(SlotRecord(SubmissionOp::kDelete, object.lease.slot, object.lease.generation));
  const uint32_t lease = client.Ask(LeaseRecord(1024));
  store.Turn();
  EXPECT_EQ(client.Code(lease), AnswerCode::kOk);
}

}  // namespace
}  // namespace penstock::testing
