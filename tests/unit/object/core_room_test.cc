// Waiting for room: in the order of asking, with a refusal that names who holds it.
#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kArena = 64 * kKiB;

Submission CancelRecord(uint32_t request) {
  Submission record{};
  record.op = SubmissionOp::kCancel;
  record.request = request;
  return record;
}

TEST(CoreRoom, WhoAskedFirstIsServedFirstAlsoWhenLaterOnesAreSmaller) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  const FakeObject first = store.Put(a, 32 * kKiB);
  const FakeObject second = store.Put(a, 28 * kKiB);
  const uint32_t large = a.Ask(LeaseRecord(48 * kKiB));
  store.Turn();
  const uint32_t small = b.Ask(LeaseRecord(64));
  store.Turn();
  EXPECT_EQ(a.Code(large), kNoAnswer);
  EXPECT_EQ(b.Code(small), kNoAnswer) << "overtook";
  EXPECT_EQ(store.core().Stats().room_waiters, 2u);
  store.Delete(a, second);
  EXPECT_EQ(a.Code(large), kNoAnswer);
  EXPECT_EQ(b.Code(small), kNoAnswer);
  store.Delete(a, first);
  EXPECT_EQ(a.Code(large), AnswerCode::kOk);
  EXPECT_EQ(b.Code(small), AnswerCode::kOk);
  EXPECT_EQ(store.core().Stats().room_waiters, 0u);
}

TEST(CoreRoom, OthersGoAheadWhileTheFirstLacksAnExtentAndNotBytes) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  std::vector<FakeObject> pieces;
  for (int i = 0; i < 8; ++i) pieces.push_back(store.Put(a, 8 * kKiB));
  for (size_t i = 0; i < pieces.size(); i += 2) store.Delete(a, pieces[i]);
  for (size_t i = 1; i < pieces.size(); i += 2) b.TryPin(pieces[i].id);  // or they would move
  const uint32_t large = a.Ask(LeaseRecord(24 * kKiB));  // of 32 KiB in four places
  store.Turn();
  const uint32_t small = b.Ask(LeaseRecord(64));
  store.Turn();
  EXPECT_EQ(a.Code(large), kNoAnswer);
  EXPECT_EQ(b.Code(small), AnswerCode::kOk);
  // Less than 8 KiB are now free beyond what the first waits for.
  const uint32_t medium = b.Ask(LeaseRecord(8 * kKiB));
  store.Turn();
  EXPECT_EQ(b.Code(medium), kNoAnswer) << "took bytes of the first";
  store.Delete(a, pieces[5]);
  b.Unpin(pieces[5].lease.slot);
  store.Turn();
  EXPECT_EQ(a.Code(large), AnswerCode::kOk);
  EXPECT_EQ(b.Code(medium), AnswerCode::kOk);
}

TEST(CoreRoom, SilentRefillsGetNothingWhileSomebodyWaits) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  store.Put(a, 8 * kKiB);
  a.Ask(LeaseRecord(60 * kKiB));
  store.Turn();
  b.Push(LeaseRecord(64, 4));
  store.Turn();
  EXPECT_TRUE(b.TakeSpareLeases().empty());
}

TEST(CoreRoom, RefusalAfterTheDeadlineNamesTheTopHolder) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& small = store.Open(1111);
  FakeClient& large = store.Open(2222);
  store.Put(small, 4 * kKiB, kSealEvictable);
  store.Put(large, 40 * kKiB);
  const FakeLease lease = store.Lease(small, 16 * kKiB);
  ASSERT_TRUE(small.TryPin(ObjectId{small.NextId().home, small.number(), 1}).has_value());
  const uint32_t request = small.Ask(LeaseRecord(24 * kKiB));
  store.Turn();
  EXPECT_EQ(small.Code(request), kNoAnswer);
  small.Push(CancelRecord(request));
  store.Turn();
  const auto answer = small.Answer(request);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->code, AnswerCode::kFull);
  EXPECT_EQ(answer->detail[0], 44 * kKiB);          // in objects
  EXPECT_EQ(answer->detail[1], 4 * kKiB);           // of it evictable
  EXPECT_EQ(answer->detail[2], lease.block_bytes);  // in leases
  EXPECT_EQ(answer->detail[3], kArena);
  EXPECT_EQ(static_cast<uint32_t>(answer->detail[4]), 2222u);
  EXPECT_EQ(answer->detail[5], 40 * kKiB);
  EXPECT_EQ(static_cast<uint32_t>(answer->detail[6]), 2u);                 // objects
  EXPECT_EQ(store.core().Stats().refused_full, 1u);
}

TEST(CoreRoom, RefusalNamesWhoHoldsMostInObjectsAndLeasesTogether) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& sealed = store.Open(1111);
  FakeClient& fills = store.Open(2222);
  store.Put(sealed, 16 * kKiB);
  store.Put(fills, 8 * kKiB);
  const FakeLease lease = store.Lease(fills, 32 * kKiB);
  const uint32_t request = sealed.Ask(LeaseRecord(24 * kKiB));
  store.Turn();
  sealed.Push(CancelRecord(request));
  store.Turn();
  const auto answer = sealed.Answer(request);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(static_cast<uint32_t>(answer->detail[4]), 2222u);
  EXPECT_EQ(answer->detail[5], 8 * kKiB + lease.block_bytes);
}

TEST(CoreRoom, HolderIsNamedAlsoAfterItsDeath) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& dead = store.Open(1111);
  store.Put(dead, 60 * kKiB);
  store.Close(dead);
  FakeClient& client = store.Open(2222);
  const uint32_t request = client.Ask(LeaseRecord(32 * kKiB));
  client.Push(CancelRecord(request));
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kFull);
  EXPECT_EQ(client.Answer(request)->detail[4], 1111u);
}

TEST(CoreRoom, NextInLineIsServedWhenTheFirstGivesUp) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  store.Put(a, 32 * kKiB);
  const uint32_t large = a.Ask(LeaseRecord(48 * kKiB));
  store.Turn();
  const uint32_t small = b.Ask(LeaseRecord(16 * kKiB));
  store.Turn();
  ASSERT_EQ(b.Code(small), kNoAnswer);
  a.Push(CancelRecord(large));
  store.Turn();
  EXPECT_EQ(a.Code(large), AnswerCode::kFull);
  EXPECT_EQ(b.Code(small), AnswerCode::kOk);
}

TEST(CoreRoom, NextInLineIsServedWhenTheFirstDies) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& holder = store.Open();
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  store.Put(holder, 32 * kKiB);
  a.Ask(LeaseRecord(48 * kKiB));
  store.Turn();
  const uint32_t small = b.Ask(LeaseRecord(16 * kKiB));
  store.Turn();
  store.Close(a);
  store.Turn();
  EXPECT_EQ(b.Code(small), AnswerCode::kOk);
}

TEST(CoreRoom, ReturnedLeaseServesWhoWaits) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  const FakeLease lease = store.Lease(a, kArena);
  const uint32_t request = b.Ask(LeaseRecord(64));
  store.Turn();
  EXPECT_EQ(b.Code(request), kNoAnswer);
  EXPECT_EQ(store.host().asked_for_leases, std::vector<SessionRow>{a.row()});
  a.Push(SlotRecord(SubmissionOp::kReturnLease, lease.slot, lease.generation));
  store.Turn();
  EXPECT_EQ(b.Code(request), AnswerCode::kOk);
}

TEST(CoreRoom, MissingSlotsAreToldApartFromMissingBytes) {
  FakeStore store({.slots = 2});
  FakeClient& client = store.Open();
  store.Put(client, 64);
  store.Put(client, 64);
  const uint32_t request = client.Ask(LeaseRecord(64));
  store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  client.Push(CancelRecord(request));
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kNoSlots);
}

TEST(CoreRoom, BlockLargerThanTheStoreIsRefusedAtOnce) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& client = store.Open();
  const uint32_t lease = client.Ask(LeaseRecord(kArena + 4 * kKiB));
  const uint32_t reserve =
      client.Ask(ReserveRecord(ObjectId::FromName("big"), kArena + 4 * kKiB));
  const uint32_t whole = client.Ask(LeaseRecord(kArena));
  store.Turn();
  EXPECT_EQ(client.Code(lease), AnswerCode::kTooLarge);
  EXPECT_EQ(client.Answer(lease)->detail[0], kArena);
  EXPECT_EQ(client.Code(reserve), AnswerCode::kTooLarge);
  EXPECT_EQ(client.Code(whole), AnswerCode::kOk);
  EXPECT_TRUE(store.host().broken.empty());
}

TEST(CoreRoom, CreatorsWaitForMemoryThatIsStillBeingPopulated) {
  FakeStore store({.arena_bytes = kArena, .populated = false});
  FakeClient& client = store.Open();
  const uint32_t request = client.Ask(LeaseRecord(32 * kKiB));
  store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  store.core().AddExtent(0, 16 * kKiB);
  store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  store.core().AddExtent(16 * kKiB, 16 * kKiB);
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
}

TEST(CoreRoom, WhoWaitsForMoreThanThereWillEverBeIsToldWhenPopulationEnds) {
  FakeStore store({.arena_bytes = kArena, .populated = false});
  FakeClient& client = store.Open();
  const uint32_t request = client.Ask(LeaseRecord(kArena));
  store.core().AddExtent(0, kArena / 2);
  store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  store.core().FinishPopulation();  // the host gave half of it
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kTooLarge);
  EXPECT_EQ(client.Answer(request)->detail[0], kArena / 2);
}

TEST(CoreRoom, ReservationThatWaitedIsRefusedWhenItsIdWasTakenMeanwhile) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  const ObjectId id = ObjectId::FromName("model");
  const FakeObject filler = store.Put(a, kArena);
  const uint32_t first = a.Ask(ReserveRecord(id, 64));
  store.Turn();
  const uint32_t second = b.Ask(ReserveRecord(id, 64));
  store.Turn();
  store.Delete(a, filler);
  EXPECT_EQ(a.Code(first), AnswerCode::kOk);
  EXPECT_EQ(b.Code(second), AnswerCode::kAlreadyExists);
  EXPECT_EQ(a.Answer(first)->for_reserved_id, 1);
}

TEST(CoreRoom, GrantThatWaitedIsAnsweredOnceAndItsNumberIsFreeAgain) {
  FakeStore store({.arena_bytes = kArena});
  FakeClient& client = store.Open();
  const FakeObject filler = store.Put(client, kArena);
  Submission lease = LeaseRecord(64);
  lease.request = 77;
  client.Push(lease);
  store.Turn();
  store.Delete(client, filler);
  EXPECT_EQ(client.Code(77), AnswerCode::kOk);
  client.Push(CancelRecord(77));  // too late: no second answer
  store.Turn();
  EXPECT_EQ(client.Code(77), AnswerCode::kOk);
  EXPECT_TRUE(store.host().broken.empty());
}

}  // namespace
}  // namespace penstock::testing
