// A daemon that died and the one after it: what the second finds and keeps, whatever two
// stores the death fell between. Torn states are built by hand.
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

uint64_t Word(SlotState state, uint64_t generation) { return SlotWord(state, generation); }
void SetWord(FakeStore& store, uint32_t slot, SlotState state, uint64_t generation) {
  store.index().slot(slot).state.store(Word(state, generation));
}

TEST(CoreRecover, KeepsObjectsPinsAndLeases) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  const FakeObject object = store.Put(maker, 5000);
  const FakeObject pinned = store.Put(maker, 100, kSealEvictable);
  const FakeLease lease = store.Lease(maker, 2048);
  const auto slot = reader.TryPin(pinned.id);
  ASSERT_TRUE(slot.has_value());
  const CoreStats before = store.core().Stats();
  const RecoveryReport report = store.Restart();
  EXPECT_EQ(report.objects, 2u);
  EXPECT_EQ(report.dropped + report.frees_finished + report.leases_returned, 0u);
  const CoreStats after = store.core().Stats();
  EXPECT_EQ(after.object_bytes, before.object_bytes);
  EXPECT_EQ(after.evictable_bytes, before.evictable_bytes);
  EXPECT_EQ(after.leased_bytes, before.leased_bytes);
  EXPECT_EQ(after.free_bytes, before.free_bytes);
  EXPECT_TRUE(store.Contains(reader, object.id));
  // The lease is good still, and the pin holds.
  const ObjectId id = maker.NextId();
  maker.Push(SealRecord(lease, id, 2000));
  store.Turn();
  EXPECT_TRUE(store.Contains(reader, id));
  store.Delete(maker, pinned);
  EXPECT_EQ(store.core().Stats().doomed, 1u);
  reader.Unpin(*slot);
  store.Turn();
  EXPECT_EQ(store.core().Stats().doomed, 0u);
  EXPECT_TRUE(store.host().broken.empty());
}

TEST(CoreRecover, TakesRecordsThatTheDeadDaemonHadNotTaken) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject old = store.Put(client, 300);
  const FakeLease lease = store.Lease(client, 64);
  const ObjectId id = client.NextId();
  client.Push(SealRecord(lease, id, 64));
  client.Push(SlotRecord(SubmissionOp::kDelete, old.lease.slot, old.lease.generation));
  store.Restart();
  EXPECT_TRUE(store.Contains(client, id));
  EXPECT_FALSE(store.Contains(client, old.id));
}

// The dead daemon handled these, and died before it published its head.
TEST(CoreRecover, RecordsHandledAlreadyChangeNothing) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeLease sealed = store.Lease(client, 64);
  const FakeLease returned = store.Lease(client, 1024);
  const FakeObject deleted = store.Put(client, 300);
  const ObjectId id = client.NextId();
  const uint64_t head = client.segments().daemon->submission_head.load();
  client.Push(SealRecord(sealed, id, 64));
  client.Push(SlotRecord(SubmissionOp::kReturnLease, returned.slot, returned.generation));
  client.Push(
      SlotRecord(SubmissionOp::kDelete, deleted.lease.slot, deleted.lease.generation));
  store.Turn();
  const CoreStats before = store.core().Stats();
  client.segments().daemon->submission_head.store(head);
  store.Restart();
  EXPECT_TRUE(store.host().broken.empty());
  const CoreStats after = store.core().Stats();
  EXPECT_EQ(after.objects, before.objects);
  EXPECT_EQ(after.free_bytes, before.free_bytes);
  EXPECT_TRUE(store.Contains(client, id));
  // Later the same record is a breach again.
  client.Push(SealRecord(sealed, id, 64));
  store.Turn();
  EXPECT_EQ(store.host().broken.size(), 1u);
}

TEST(CoreRecover, ALeaseWhoseGrantWasNeverPublishedReturns) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeLease known = store.Lease(client, 64);
  const uint64_t tail = client.segments().daemon->completion_tail.load();
  client.Ask(LeaseRecord(4096, 3));
  store.Turn();
  const uint64_t leases = store.core().Stats().leases;
  client.segments().daemon->completion_tail.store(tail);  // died before it was published
  const RecoveryReport report = store.Restart();
  EXPECT_EQ(report.leases_returned, leases - 1);
  EXPECT_EQ(store.core().Stats().leases, 1u);
  EXPECT_EQ(store.core().Stats().leased_bytes, known.block_bytes);
}

TEST(CoreRecover, AReservedIdStaysReserved) {
  FakeStore store;
  FakeClient& client = store.Open();
  FakeClient& other = store.Open();
  const ObjectId name = ObjectId::FromName("n");
  const FakeLease lease = store.Reserve(client, name, 128);
  store.Restart();
  const uint32_t second = other.Ask(ReserveRecord(name, 64));
  store.Turn();
  EXPECT_EQ(other.Code(second), AnswerCode::kAlreadyExists);
  client.Push(SealRecord(lease, name, 100));
  store.Turn();
  EXPECT_TRUE(store.Contains(other, name));
}

TEST(CoreRecover, FinishesWhatTheDeathCutOff) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject freed = store.Put(client, 100);
  const FakeObject evicting = store.Put(client, 100, kSealEvictable);
  const FakeObject kept = store.Put(client, 100, kSealEvictable);
  const FakeObject doomed = store.Put(client, 100);
  const FakeLease returned = store.Lease(client, 64);
  const FakeLease sealing = store.Lease(client, 64);
  const uint32_t fresh = 40;
  // Freed but for the state; marked for eviction, decided and undecided; marked deleted;
  // a lease given back but for the state; a seal cut off after the lease had turned; a grant
  // cut off before the slot was leased.
  store.lease_entry(freed.lease.slot).session = 0;
  store.lease_entry(freed.lease.slot).kind = LeaseKind::kNone;
  SetWord(store, freed.lease.slot, SlotState::kDeleted, freed.lease.generation);
  store.lease_entry(evicting.lease.slot).session = 0;
  SetWord(store, evicting.lease.slot, SlotState::kEvicting, evicting.lease.generation);
  SetWord(store, kept.lease.slot, SlotState::kEvicting, kept.lease.generation);
  SetWord(store, doomed.lease.slot, SlotState::kDeleted, doomed.lease.generation);
  store.lease_entry(returned.slot).session = 0;
  store.lease_entry(sealing.slot).kind = LeaseKind::kObject;
  store.lease_entry(fresh) = {.offset = 0, .block_bytes = 64, .session = client.number(),
                              .kind = LeaseKind::kLease, .maker_pid = 1,
                              .told_at = kNotTold, .reserved_id = {}};
  const ObjectId id = client.NextId();
  client.Push(SealRecord(sealing, id, 64));
  store.Restart();
  EXPECT_TRUE(store.Contains(client, kept.id));
  EXPECT_TRUE(store.Contains(client, id));
  const CoreStats stats = store.core().Stats();
  EXPECT_EQ(stats.objects, 2u);
  EXPECT_EQ(stats.leases, 0u);
  EXPECT_EQ(stats.doomed, 0u);
  EXPECT_EQ(stats.free_bytes + stats.object_bytes, stats.ready_bytes);
}

TEST(CoreRecover, RepairsTheHashTable) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject unlisted = store.Put(client, 100);
  const FakeObject gone = store.Put(client, 100);
  HashIndex hash(store.index());
  store.Delete(client, gone);
  ASSERT_TRUE(hash.Erase(unlisted.id.Hash(), unlisted.lease.slot));
  ASSERT_TRUE(hash.Insert(gone.id.Hash(), gone.lease.slot));
  store.Restart();
  EXPECT_TRUE(client.TryPin(unlisted.id).has_value());
  EXPECT_FALSE(hash.Contains(gone.id.Hash(), gone.lease.slot));
}

TEST(CoreRecover, DropsWhatCannotBeAndKeepsTheRest) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject good = store.Put(client, 100);
  const FakeObject outside = store.Put(client, 100);
  const FakeObject over = store.Put(client, 100);
  const FakeObject too_large = store.Put(client, 100);
  const FakeObject twin = store.Put(client, 100);
  store.index().slot(outside.lease.slot).offset = 64 * kMiB;
  store.index().slot(over.lease.slot).offset = good.lease.offset;
  store.index().slot(too_large.lease.slot).size = 4096;
  store.index().slot(twin.lease.slot).id = good.id;
  const RecoveryReport report = store.Restart();
  EXPECT_EQ(report.dropped, 4u);
  EXPECT_EQ(store.core().Stats().objects, 1u);
}

TEST(CoreRecover, ARevokedSessionStaysRevokedAndItsPinsStand) {
  FakeStore store;
  FakeClient& hostile = store.Open();
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(client, 100);
  ASSERT_TRUE(hostile.TryPin(object.id).has_value());
  hostile.Push(SlotRecord(SubmissionOp::kReturnLease, 3, 99));
  store.Turn();
  ASSERT_EQ(store.host().broken.size(), 1u);
  store.Restart();
  EXPECT_EQ(hostile.segments().daemon->revoked.load(), 1u);
  store.Delete(client, object);
  EXPECT_EQ(store.core().Stats().doomed, 1u);
  store.Close(hostile);
  EXPECT_EQ(store.core().Stats().doomed, 0u);
}

TEST(CoreRecover, ImpossiblePositionsEndThatSessionOnly) {
  FakeStore store;
  FakeClient& hostile = store.Open();
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(client, 100);
  hostile.segments().client->submission_tail.store(1 << 20);
  store.Restart();
  EXPECT_EQ(store.host().broken.size(), 1u);
  EXPECT_TRUE(store.Contains(client, object.id));
}

TEST(CoreRecover, AnswersCarryTheNumberOfRestarts) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(client, 100);
  store.Restart();
  store.Restart();
  const uint32_t request = client.Ask(IdRecord(SubmissionOp::kGet, object.id));
  store.Turn();
  const auto answer = client.Answer(request);
  ASSERT_TRUE(answer && answer->op == CompletionOp::kObject);
  EXPECT_EQ(answer->count, 2u);
  EXPECT_EQ(store.index().header().restarts.load(), 2u);
  client.Confirm(*answer);
  store.Turn();
  EXPECT_TRUE(store.host().broken.empty());
}

TEST(CoreRecover, AConfirmationOfTheDeadDaemonsHoldAndARepeatedRequestAreNoBreach) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(client, 100);
  const uint32_t request = client.Ask(IdRecord(SubmissionOp::kGet, object.id));
  Submission waits = IdRecord(SubmissionOp::kGet, ObjectId::FromName("later"));
  waits.request = 77;
  store.Turn();
  const auto answer = client.Answer(request);
  store.Restart();
  client.Confirm(*answer);
  client.Push(waits);
  client.Push(waits);
  store.Turn();
  EXPECT_TRUE(store.host().broken.empty());
  EXPECT_EQ(store.core().Stats().get_waiters, 1u);
}

// One thread was answered by the dead daemon; another one asked, and the next daemon answers.
// The first one's confirmation must not end the second one's hold.
TEST(CoreRecover, TheDeadDaemonsHoldIsNotConfirmedInPlaceOfTheNextOnes) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& client = store.Open();
  const FakeObject object = store.Put(maker, 100);
  const uint32_t first = client.Ask(IdRecord(SubmissionOp::kGet, object.id));
  store.Turn();
  const auto answer = client.Answer(first);
  const uint32_t second = client.Ask(IdRecord(SubmissionOp::kGet, object.id));
  client.Confirm(*answer);
  client.Unpin(object.lease.slot);
  store.Restart();
  store.Delete(maker, object);
  EXPECT_EQ(store.StateOfSlot(object.lease.slot), SlotState::kDeleted);
  client.Confirm(*client.Answer(second));
  store.Turn();
  EXPECT_EQ(store.StateOfSlot(object.lease.slot), SlotState::kDeleted);
  client.Unpin(object.lease.slot);
  store.Turn();
  EXPECT_EQ(store.StateOfSlot(object.lease.slot), SlotState::kFree);
  EXPECT_TRUE(store.host().broken.empty());
}

TEST(CoreRecover, DeadSessionsAreClosedAfterwards) {
  FakeStore store;
  FakeClient& dead = store.Open();
  FakeClient& client = store.Open();
  const FakeObject plain = store.Put(dead, 100);
  const FakeObject bound = store.Put(dead, 100, kSealSessionBound);
  const FakeLease lease = store.Lease(dead, 64);
  const ObjectId last = dead.NextId();
  dead.Push(SealRecord(lease, last, 64));
  store.Restart();
  store.Close(dead);
  EXPECT_TRUE(store.Contains(client, plain.id));
  EXPECT_TRUE(store.Contains(client, last));
  EXPECT_FALSE(store.Contains(client, bound.id));
  EXPECT_EQ(store.core().Stats().leases, 0u);
}

// Extents are populated by several threads, and in no order.
TEST(CoreRecover, ABlockAcrossTwoExtentsIsKept) {
  FakeStore store({.arena_bytes = 4 * kMiB, .populated = false});
  for (const uint64_t at : {0, 2, 3, 1}) store.core().AddExtent(at * kMiB, kMiB);
  store.core().FinishPopulation();
  FakeClient& client = store.Open();
  const FakeObject across = store.Put(client, 3 * kMiB);
  const RecoveryReport report = store.Restart();
  EXPECT_EQ(report.dropped, 0u);
  EXPECT_TRUE(store.Contains(client, across.id));
  EXPECT_EQ(store.core().Stats().ready_bytes, 4 * kMiB);
}

TEST(CoreRecover, SleepsAreNumberedOn) {
  FakeStore store;
  FakeClient& client = store.Open();
  ASSERT_TRUE(store.core().PreparePark());
  const uint64_t before = store.index().header().parked.load();
  store.Restart();
  EXPECT_EQ(store.index().header().parked.load(), 0u);
  ASSERT_TRUE(store.core().PreparePark());
  EXPECT_NE(store.index().header().parked.load(), before);
  static_cast<void>(client);
}

}  // namespace
}  // namespace penstock::testing
