// Leases: what is granted, recorded, given ahead and given back; reserved ids.
#include <gtest/gtest.h>

#include <set>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

TEST(CoreLease, GrantIsInTheLeaseTableWhenTheClientHearsOfIt) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeLease lease = store.Lease(client, 192);
  EXPECT_EQ(lease.block_bytes, 192u);
  EXPECT_EQ(lease.offset % 64, 0u);
  EXPECT_EQ(store.StateOfSlot(lease.slot), SlotState::kLeased);
  EXPECT_EQ(store.GenerationOfSlot(lease.slot), lease.generation);
  const LeaseEntry& entry = store.lease_entry(lease.slot);
  EXPECT_EQ(entry.kind, LeaseKind::kLease);
  EXPECT_EQ(entry.session, client.number());
  EXPECT_EQ(entry.offset, lease.offset);
  EXPECT_EQ(entry.block_bytes, 192u);
  EXPECT_EQ(store.core().Stats().leased_bytes, 192u);
}

TEST(CoreLease, BlocksAndSlotsOfDifferentLeasesNeverMeet) {
  FakeStore store;
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  std::set<uint32_t> slots;
  std::map<uint64_t, uint64_t> blocks;  // offset -> end
  for (const uint64_t bytes : {64u, 128u, 64u, 1152u, 4096u, 69632u, 64u, 8192u}) {
    for (FakeClient* client : {&a, &b}) {
      const FakeLease lease = store.Lease(*client, bytes);
      EXPECT_TRUE(slots.insert(lease.slot).second);
      EXPECT_TRUE(blocks.emplace(lease.offset, lease.offset + bytes).second);
    }
  }
  uint64_t last_end = 0;
  for (const auto& [offset, end] : blocks) {
    EXPECT_GE(offset, last_end);
    last_end = end;
  }
}

TEST(CoreLease, ManyAreGivenAheadFromPlentyInOneRequest) {
  FakeStore store;
  FakeClient& client = store.Open();
  const uint32_t request = client.Ask(LeaseRecord(64, 8));
  store.Turn();
  ASSERT_EQ(client.Code(request), AnswerCode::kOk);
  EXPECT_EQ(client.TakeSpareLeases().size(), 7u);
  EXPECT_EQ(store.core().Stats().leases, 8u);
}

TEST(CoreLease, RefillWithoutRequestNumberIsGrantedWithoutAnAnswer) {
  FakeStore store;
  FakeClient& client = store.Open();
  client.Push(LeaseRecord(64, 5));
  store.Turn();
  EXPECT_EQ(client.TakeSpareLeases().size(), 5u);
}

TEST(CoreLease, NothingIsGivenAheadOnceASixteenthOfTheStoreIsHeld) {
  FakeStore store({.slots = 1024});
  FakeClient& client = store.Open();
  client.Push(LeaseRecord(64 * kKiB, 1));
  store.Turn();
  ASSERT_EQ(client.TakeSpareLeases().size(), 1u);
  client.Push(LeaseRecord(64, 5));
  store.Turn();
  EXPECT_TRUE(client.TakeSpareLeases().empty());
  // What is needed now is granted all the same, but only that.
  const uint32_t request = client.Ask(LeaseRecord(64, 5));
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  EXPECT_TRUE(client.TakeSpareLeases().empty());
}

TEST(CoreLease, MoreSessionsMeanLessAheadForEach) {
  FakeStore store({.slots = 1024});
  FakeClient& client = store.Open();
  for (int i = 0; i < 3; ++i) store.Open();
  client.Push(LeaseRecord(4 * kKiB, 16));
  store.Turn();
  EXPECT_EQ(client.TakeSpareLeases().size(), 4u);  // 1 MiB / 16 / 4 sessions / 4 KiB
}

TEST(CoreLease, NothingIsGivenAheadFromAnAlmostFullStore) {
  FakeStore store;
  FakeClient& client = store.Open();
  store.Put(client, 960 * kKiB);
  client.Push(LeaseRecord(64, 5));
  store.Turn();
  EXPECT_TRUE(client.TakeSpareLeases().empty());
}

TEST(CoreLease, ReturnedLeaseGivesBackItsBytesAndEndsItsGeneration) {
  FakeStore store;
  FakeClient& client = store.Open();
  const FakeLease lease = store.Lease(client, 4096);
  client.Push(SlotRecord(SubmissionOp::kReturnLease, lease.slot, lease.generation));
  store.Turn();
  const CoreStats stats = store.core().Stats();
  EXPECT_EQ(stats.leases, 0u);
  EXPECT_EQ(stats.leased_bytes, 0u);
  EXPECT_EQ(stats.free_bytes, stats.ready_bytes);
  EXPECT_EQ(store.StateOfSlot(lease.slot), SlotState::kFree);
  EXPECT_EQ(store.GenerationOfSlot(lease.slot), lease.generation + 1);
  EXPECT_TRUE(store.host().broken.empty());
}

TEST(CoreLease, ChosenIdIsReservedOnceAndTheSecondIsTold) {
  FakeStore store;
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  const ObjectId id = ObjectId::FromName("weights");
  const FakeLease lease = store.Reserve(a, id, 64);
  const uint32_t during = b.Ask(ReserveRecord(id, 64));
  store.Turn();
  EXPECT_EQ(b.Code(during), AnswerCode::kAlreadyExists);
  a.Push(SealRecord(lease, id, 5));
  const uint32_t after = b.Ask(ReserveRecord(id, 64));
  store.Turn();
  EXPECT_EQ(b.Code(after), AnswerCode::kAlreadyExists);
  EXPECT_TRUE(store.Contains(b, id));
}

TEST(CoreLease, ChosenIdIsFreeAgainWhenItsLeaseIsReturnedOrItsObjectDeleted) {
  FakeStore store;
  FakeClient& a = store.Open();
  FakeClient& b = store.Open();
  const ObjectId id = ObjectId::FromName("weights");
  const FakeLease lease = store.Reserve(a, id, 64);
  a.Push(SlotRecord(SubmissionOp::kReturnLease, lease.slot, lease.generation));
  store.Turn();
  const FakeObject object = store.PutAs(b, id, 10);
  store.Delete(a, object);
  store.PutAs(a, id, 10);
  EXPECT_TRUE(store.Contains(b, id));
}

TEST(CoreLease, SessionsBeyondTheLimitAreRefusedByName) {
  FakeStoreOptions options;
  options.limits.max_sessions = 2;
  FakeStore store(options);
  FakeClient& first = store.Open();
  store.Open();
  FakeClient third(store.index(), 99, 1);
  const auto refused = store.core().OpenSession(third.segments(), 99, 1);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("--max-sessions"), absl::string_view::npos);
  store.Close(first);
  EXPECT_TRUE(store.core().OpenSession(third.segments(), 99, 1).ok());
}

}  // namespace
}  // namespace penstock::testing
