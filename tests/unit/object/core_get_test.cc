// Gets that meet the daemon: hits with a hold, misses, waiters, and how they end.
#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

TEST(CoreGet, HitIsHeldUntilTheAskerHasConfirmedItsOwnPin) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const FakeObject object = store.Put(maker, 100);
  const uint32_t request = reader.Ask(IdRecord(SubmissionOp::kGet, object.id));
  store.Turn();
  const auto answer = reader.Answer(request);
  ASSERT_TRUE(answer && answer->op == CompletionOp::kObject);
  EXPECT_EQ(answer->object.id, object.id);
  EXPECT_EQ(answer->object.slot, object.lease.slot);
  EXPECT_EQ(answer->object.generation, object.lease.generation);
  EXPECT_EQ(answer->object.offset, object.lease.offset);
  EXPECT_EQ(answer->object.size, 100u);
  store.Delete(maker, object);
  EXPECT_EQ(store.core().Stats().doomed, 1u);
  reader.Confirm(*answer);
  store.Turn();
  EXPECT_EQ(store.core().Stats().doomed, 1u);  // now its own pin keeps it
  EXPECT_TRUE(reader.Unpin(object.lease.slot));
  store.Turn();
  EXPECT_EQ(store.core().Stats().doomed, 0u);
}

TEST(CoreGet, WaitersOfAllSessionsAreAnsweredByTheSeal) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  const ObjectId id = maker.NextId();
  const uint32_t first = a.Ask(IdRecord(SubmissionOp::kGet, id));
  const uint32_t second = a.Ask(IdRecord(SubmissionOp::kGet, id));
  const uint32_t third = b.Ask(IdRecord(SubmissionOp::kGet, id));
  store.Turn();
  EXPECT_EQ(a.Code(first), kNoAnswer);
  EXPECT_EQ(store.core().Stats().get_waiters, 3u);
  maker.Push(SealRecord(store.Lease(maker, 64), id, 8));
  store.Turn();
  for (const auto& answer : {a.Answer(first), a.Answer(second), b.Answer(third)}) {
    ASSERT_TRUE(answer && answer->op == CompletionOp::kObject);
    EXPECT_EQ(answer->object.id, id);
  }
  EXPECT_EQ(store.core().Stats().get_waiters, 0u);
}

TEST(CoreGet, WithoutWaitingAMissIsSaidAtOnce) {
  FakeStore store;
  FakeClient& client = store.Open();
  EXPECT_EQ(store.GetNow(client, ObjectId::FromName("nobody")), AnswerCode::kNotFound);
  EXPECT_EQ(store.GetNow(client, client.NextId()), AnswerCode::kNotFound);
  EXPECT_EQ(store.core().Stats().get_waiters, 0u);
}

TEST(CoreGet, SealInAnotherRingOfTheSameTurnIsFound) {
  for (const bool maker_first : {true, false}) {
    FakeStore store;
    FakeClient& one = store.Open();
    FakeClient& two = store.Open();
    FakeClient& maker = maker_first ? one : two;
    FakeClient& reader = maker_first ? two : one;
    const FakeLease lease = store.Lease(maker, 64);
    const ObjectId id = maker.NextId();
    maker.Push(SealRecord(lease, id, 8));
    const uint32_t get = reader.Ask(IdRecord(SubmissionOp::kGet, id, kGetNoWait));
    const uint32_t contains = reader.Ask(IdRecord(SubmissionOp::kContains, id));
    store.Turn();
    EXPECT_EQ(reader.Code(get), AnswerCode::kOk) << maker_first;
    EXPECT_EQ(reader.Answer(contains)->detail[0], 1u) << maker_first;
  }
}

// The maker's ring was looked at already when its seal arrives, and the get is taken only
// after that: the miss must not be said before the maker's ring is drained once more.
TEST(CoreGet, MissIsSaidOnlyAfterEveryRingIsDrainedOnceMore) {
  FakeStore store;
  FakeClient& reader = store.Open();    // rings are drained from the last to the first
  FakeClient& saboteur = store.Open();
  FakeClient& maker = store.Open();
  const FakeLease lease = store.Lease(maker, 64);
  const ObjectId id = maker.NextId();
  bool sealed = false;
  store.host().when_broken = [&] {
    maker.Push(SealRecord(lease, id, 8));
    sealed = store.StateOfSlot(lease.slot) == SlotState::kSealed;
  };
  saboteur.Push(IdRecord(static_cast<SubmissionOp>(99), {}));
  const uint32_t get = reader.Ask(IdRecord(SubmissionOp::kGet, id, kGetNoWait));
  const uint32_t contains = reader.Ask(IdRecord(SubmissionOp::kContains, id));
  const uint32_t erase = reader.Ask(IdRecord(SubmissionOp::kDeleteById, id));
  store.Turn();
  ASSERT_FALSE(sealed);
  EXPECT_EQ(reader.Code(get), AnswerCode::kOk);
  EXPECT_EQ(reader.Answer(contains)->detail[0], 1u);
  EXPECT_EQ(reader.Code(erase), AnswerCode::kOk);
}

TEST(CoreGet, SyncIsAnsweredAfterWhatWasPushedBeforeIt) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeLease lease = store.Lease(client, 64);
  client.Push(SealRecord(lease, client.NextId(), 8));
  const uint32_t request = client.Ask(IdRecord(SubmissionOp::kSync, {}));
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  EXPECT_EQ(store.StateOfSlot(lease.slot), SlotState::kSealed);
}

TEST(CoreGet, SaysWhyALibraryMadeIdWillNotCome) {
  FakeStore store;
  FakeClient& client = store.Open();
  FakeClient& dead = store.Open();
  const FakeObject deleted = store.Put(client, 8);
  store.Delete(client, deleted);
  const ObjectId never = dead.NextId();
  store.Close(dead);
  ObjectId elsewhere = client.NextId();
  elsewhere.home += 1;
  for (const uint32_t flags : {uint32_t{0}, uint32_t{kGetNoWait}}) {
    const uint32_t a = client.Ask(IdRecord(SubmissionOp::kGet, deleted.id, flags));
    const uint32_t b = client.Ask(IdRecord(SubmissionOp::kGet, never, flags));
    const uint32_t c = client.Ask(IdRecord(SubmissionOp::kGet, elsewhere, flags));
    store.Turn();
    EXPECT_EQ(client.Code(a), AnswerCode::kDeleted);
    EXPECT_EQ(client.Code(b), AnswerCode::kMakerDied);
    EXPECT_EQ(client.Code(c), AnswerCode::kOtherStore);
  }
}

TEST(CoreGet, NameMayComeAgainAfterItsObjectWasDeleted) {
  FakeStore store;
  FakeClient& client = store.Open();
  const ObjectId id = ObjectId::FromName("config");
  store.Delete(client, store.PutAs(client, id, 8));
  const uint32_t request = client.Ask(IdRecord(SubmissionOp::kGet, id));
  store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  store.PutAs(client, id, 8);
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
}

TEST(CoreGet, CancelledWaiterIsToldOnceAndThenNotMissed) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const ObjectId id = maker.NextId();
  const uint32_t request = reader.Ask(IdRecord(SubmissionOp::kGet, id));
  store.Turn();
  Submission cancel{};
  cancel.op = SubmissionOp::kCancel;
  cancel.request = request;
  reader.Push(cancel);
  store.Turn();
  EXPECT_EQ(reader.Code(request), AnswerCode::kCancelled);
  reader.Push(cancel);  // nothing left to cancel: no harm
  maker.Push(SealRecord(store.Lease(maker, 64), id, 8));
  store.Turn();
  EXPECT_EQ(reader.Code(request), AnswerCode::kCancelled);
  EXPECT_EQ(store.core().Stats().get_waiters, 0u);
  EXPECT_TRUE(store.host().broken.empty());
}

TEST(CoreGet, CancelTakenInTheSameTurnAsItsGetIsNotLost) {
  FakeStore store;
  FakeClient& reader = store.Open();
  Submission get = IdRecord(SubmissionOp::kGet, ObjectId::FromName("later"));
  get.request = 5;
  Submission cancel{};
  cancel.op = SubmissionOp::kCancel;
  cancel.request = 5;
  reader.Push(get);
  reader.Push(cancel);
  store.Turn();
  EXPECT_EQ(store.core().Stats().get_waiters, 0u);
  EXPECT_EQ(reader.Code(5), AnswerCode::kCancelled);
}

TEST(CoreGet, RequestNumberMayBeUsedAgainOnceAnswered) {
  FakeStore store;
  FakeClient& client = store.Open();
  Submission get = IdRecord(SubmissionOp::kGet, ObjectId::FromName("x"), kGetNoWait);
  get.request = 5;
  client.Push(get);
  store.Turn();
  client.Push(get);
  store.Turn();
  EXPECT_TRUE(store.host().broken.empty());
}

TEST(CoreGet, RequestsBeyondTheLimitOfASessionAreRefused) {
  FakeStoreOptions options;
  options.limits.max_requests_per_session = 4;
  FakeStore store(options);
  FakeClient& client = store.Open();
  std::vector<uint32_t> requests;
  for (int i = 0; i < 6; ++i) {
    requests.push_back(
        client.Ask(IdRecord(SubmissionOp::kGet, ObjectId::FromName(std::to_string(i)))));
    store.Turn();
  }
  EXPECT_EQ(client.Code(requests[3]), kNoAnswer);
  EXPECT_EQ(client.Code(requests[4]), AnswerCode::kTooManyRequests);
  EXPECT_EQ(client.Code(requests[5]), AnswerCode::kTooManyRequests);
  FakeClient& other = store.Open();
  EXPECT_EQ(store.GetNow(other, ObjectId::FromName("y")), AnswerCode::kNotFound);
}

TEST(CoreGet, SleepingClientIsWokenOnceForEachSleepAndAnAwakeOneIsNot) {
  FakeStore store;
  FakeClient& client = store.Open();
  Parker parker;
  parker.Park(client.segments().client->parked);
  client.Ask(IdRecord(SubmissionOp::kSync, {}));
  store.Turn();
  EXPECT_EQ(store.host().wakes, std::vector<SessionRow>{client.row()});
  client.Ask(IdRecord(SubmissionOp::kSync, {}));
  store.Turn();
  EXPECT_EQ(store.host().wakes.size(), 1u);
  Parker::Unpark(client.segments().client->parked);
  client.Ask(IdRecord(SubmissionOp::kSync, {}));
  store.Turn();
  EXPECT_EQ(store.host().wakes.size(), 1u);
  parker.Park(client.segments().client->parked);
  client.Ask(IdRecord(SubmissionOp::kSync, {}));
  store.Turn();
  EXPECT_EQ(store.host().wakes.size(), 2u);
}

TEST(CoreGet, DaemonDoesNotParkOverAnUndrainedRing) {
  FakeStore store;
  FakeClient& client = store.Open();
  EXPECT_TRUE(store.core().PreparePark());
  EXPECT_NE(store.index().header().parked.load(), 0u);
  store.core().Unpark();
  client.Push(IdRecord(SubmissionOp::kSync, {}));
  EXPECT_FALSE(store.core().PreparePark());
  EXPECT_EQ(store.index().header().parked.load(), 0u);
}

// What comes between two turns (a process's end, the disk) is told before anybody sleeps.
TEST(CoreGet, DaemonDoesNotParkOverAnswersThatNobodyWasToldOf) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const ObjectId id = ObjectId::FromName("never sealed");
  store.Reserve(maker, id, 64);
  const uint32_t get = reader.Ask(IdRecord(SubmissionOp::kGet, id));
  store.Turn();
  ASSERT_FALSE(reader.Answer(get).has_value());
  store.Close(maker);
  EXPECT_FALSE(store.core().PreparePark());
  store.Turn();
  EXPECT_TRUE(reader.Answer(get).has_value());
  EXPECT_TRUE(store.core().PreparePark());
}

}  // namespace
}  // namespace penstock::testing
