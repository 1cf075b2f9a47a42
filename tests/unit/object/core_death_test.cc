// A session's end, by good-bye or by SIGKILL at any step: what counts, what returns, who
// is told.
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

TEST(CoreDeath, SealedButUntakenRecordsCountAndUnpublishedOnesDoNot) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& other = store.Open();
  const FakeLease first = store.Lease(maker, 64);
  const FakeLease second = store.Lease(maker, 64);
  const ObjectId sealed = maker.NextId();
  const ObjectId half = maker.NextId();
  maker.Push(SealRecord(first, sealed, 8));
  maker.Write(SealRecord(second, half, 8));  // killed before the tail moved
  store.Close(maker);
  EXPECT_TRUE(store.Contains(other, sealed));
  EXPECT_EQ(store.GetNow(other, half), AnswerCode::kMakerDied);
  EXPECT_EQ(store.core().Stats().leases, 0u);
}

TEST(CoreDeath, LeasesReturn) {
  FakeStore store;
  FakeClient& client = store.Open();
  client.Ask(LeaseRecord(64, 8));
  client.Ask(LeaseRecord(128 * kKiB));
  client.Ask(ReserveRecord(ObjectId::FromName("r"), 4096));
  store.Turn();
  EXPECT_GT(store.core().Stats().leased_bytes, 0u);
  store.Close(client);
  const CoreStats stats = store.core().Stats();
  EXPECT_EQ(stats.leases, 0u);
  EXPECT_EQ(stats.leased_bytes, 0u);
  EXPECT_EQ(stats.free_bytes, stats.ready_bytes);
  EXPECT_EQ(stats.sessions, 0u);
}

TEST(CoreDeath, SessionBoundObjectsGoAndOthersStay) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& other = store.Open();
  const FakeObject bound = store.Put(maker, 64, kSealSessionBound);
  const FakeObject both = store.Put(maker, 64, kSealSessionBound | kSealEvictable);
  const FakeObject free = store.Put(maker, 64);
  store.Close(maker);
  EXPECT_EQ(store.GetNow(other, bound.id), AnswerCode::kDeleted);
  EXPECT_EQ(store.GetNow(other, both.id), AnswerCode::kDeleted);
  EXPECT_TRUE(store.Contains(other, free.id));
  EXPECT_EQ(store.core().Stats().evictable_bytes, 0u);
}

TEST(CoreDeath, SessionBoundObjectThatWasDeletedOrEvictedBeforeIsNoTrouble) {
  FakeStore store({.arena_bytes = 64 * kKiB});
  FakeClient& maker = store.Open();
  FakeClient& other = store.Open();
  store.Delete(other, store.Put(maker, 64, kSealSessionBound));
  store.Put(maker, 32 * kKiB, kSealSessionBound | kSealEvictable);
  store.Put(other, 60 * kKiB);
  EXPECT_EQ(store.core().Stats().evicted, 1u);
  store.Close(maker);
  EXPECT_EQ(store.core().Stats().objects, 1u);
}

TEST(CoreDeath, SessionBoundObjectPinnedByAnotherStaysUntilItsRelease) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const FakeObject bound = store.Put(maker, 64, kSealSessionBound);
  ASSERT_TRUE(reader.TryPin(bound.id).has_value());
  store.Close(maker);
  EXPECT_EQ(store.StateOfSlot(bound.lease.slot), SlotState::kDeleted);
  EXPECT_TRUE(reader.Unpin(bound.lease.slot));
  store.Turn();
  EXPECT_EQ(store.StateOfSlot(bound.lease.slot), SlotState::kFree);
}

TEST(CoreDeath, ObjectsOfASessionGoWithItWhenTheyAreToAndAtOnceWhenItHasEnded) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& early = store.Open();
  FakeClient& other = store.Open();
  const FakeObject gone = store.Put(maker, 64);
  const FakeObject evictable = store.Put(maker, 64, kSealEvictable);
  const FakeObject bound = store.Put(maker, 64, kSealSessionBound);
  const FakeObject before = store.Put(early, 64);
  const FakeObject kept = store.Put(other, 64);
  EXPECT_TRUE(store.core().IsSessionOf(maker.number(), maker.pid()));
  EXPECT_FALSE(store.core().IsSessionOf(maker.number(), maker.pid() + 1));
  store.core().DropObjectsOf(std::vector{maker.number()});
  EXPECT_TRUE(store.Contains(other, gone.id)) << "its session goes on";
  const FakeObject later = store.Put(maker, 64);
  store.Close(maker);
  store.Close(early);
  EXPECT_TRUE(store.Contains(other, before.id));
  store.core().DropObjectsOf(std::vector{early.number()});
  store.Turn();
  for (const FakeObject& object : {gone, evictable, bound, before, later}) {
    EXPECT_EQ(store.GetNow(other, object.id), AnswerCode::kDeleted);
  }
  EXPECT_TRUE(store.Contains(other, kept.id));
  EXPECT_EQ(store.core().Stats().objects, 1u);
  store.core().CheckInvariants();
}

TEST(CoreDeath, WaitersForTheIdsOfTheDeadAreTold) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const ObjectId reserved = ObjectId::FromName("reserved by the dead");
  store.Reserve(maker, reserved, 64);
  const uint32_t own = reader.Ask(IdRecord(SubmissionOp::kGet, maker.NextId()));
  const uint32_t named = reader.Ask(IdRecord(SubmissionOp::kGet, reserved));
  const uint32_t unrelated =
      reader.Ask(IdRecord(SubmissionOp::kGet, ObjectId::FromName("of nobody")));
  store.Turn();
  store.Close(maker);
  store.Turn();
  EXPECT_EQ(reader.Code(own), AnswerCode::kMakerDied);
  EXPECT_EQ(reader.Code(named), AnswerCode::kMakerDied);
  EXPECT_EQ(reader.Code(unrelated), kNoAnswer);
}

TEST(CoreDeath, WaiterIsServedByASealInTheDeadClientsRing) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const FakeLease lease = store.Lease(maker, 64);
  const ObjectId id = maker.NextId();
  const uint32_t request = reader.Ask(IdRecord(SubmissionOp::kGet, id));
  store.Turn();
  maker.Push(SealRecord(lease, id, 8));
  store.Close(maker);
  store.Turn();
  EXPECT_EQ(reader.Code(request), AnswerCode::kOk);
}

TEST(CoreDeath, RequestsOfTheDeadAreForgotten) {
  FakeStore store({.arena_bytes = 64 * kKiB});
  FakeClient& dead = store.Open();
  FakeClient& other = store.Open();
  const FakeObject filler = store.Put(other, 60 * kKiB);
  const ObjectId id = ObjectId::FromName("soon");
  dead.Ask(IdRecord(SubmissionOp::kGet, id));
  dead.Ask(LeaseRecord(32 * kKiB));
  dead.Ask(IdRecord(SubmissionOp::kSync, {}));
  store.Turn();
  dead.Ask(IdRecord(SubmissionOp::kGet, id));  // in the ring at its death
  dead.Ask(LeaseRecord(32 * kKiB));
  store.Close(dead);
  EXPECT_EQ(store.core().Stats().get_waiters, 0u);
  EXPECT_EQ(store.core().Stats().room_waiters, 0u);
  store.Delete(other, filler);
  store.PutAs(other, id, 64);
  EXPECT_EQ(store.core().Stats().leases, 0u);
}

TEST(CoreDeath, NewSessionInTheSameRowInheritsNothing) {
  FakeStore store;
  FakeClient& other = store.Open();
  FakeClient& dead = store.Open(1);
  const FakeObject object = store.Put(dead, 64);
  const ObjectId awaited = ObjectId::FromName("awaited");
  dead.Ask(IdRecord(SubmissionOp::kGet, awaited));
  Submission subscribe{};
  subscribe.op = SubmissionOp::kSubscribe;
  subscribe.flags_or_count = kSubscribeSeals;
  dead.Push(subscribe);
  store.Turn();
  store.Close(dead);
  FakeClient& next = store.Open(2);
  ASSERT_EQ(next.row(), dead.row());
  store.PutAs(other, awaited, 64);
  EXPECT_EQ(next.Read(), 0u);
  EXPECT_TRUE(store.Contains(next, object.id));
  store.Close(next);
  EXPECT_TRUE(store.Contains(other, object.id));
}

TEST(CoreDeath, EverythingReturnsWhenAllHaveGone) {
  FakeStore store;
  for (int round = 0; round < 3; ++round) {
    FakeClient& a = store.Open();
    FakeClient& b = store.Open();
    const FakeObject pinned = store.Put(a, 1000);
    ASSERT_TRUE(b.TryPin(pinned.id).has_value());
    store.Delete(a, pinned);
    store.Put(b, 5000, kSealSessionBound);
    store.Lease(a, 68 * kKiB);
    b.Ask(IdRecord(SubmissionOp::kGet, a.NextId()));
    store.Turn();
    store.Close(a);
    store.Close(b);
    store.Turn();
    const CoreStats stats = store.core().Stats();
    EXPECT_EQ(stats.objects, 0u);
    EXPECT_EQ(stats.doomed, 0u);
    EXPECT_EQ(stats.leases, 0u);
    EXPECT_EQ(stats.free_bytes, stats.ready_bytes);
    EXPECT_EQ(stats.get_waiters, 0u);
  }
}

}  // namespace
}  // namespace penstock::testing
