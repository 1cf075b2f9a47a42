// How much of a long ring a turn takes, and who waits for the rest.
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint32_t kMany = 1000;
constexpr uint64_t kFewRecords = 200;

// Records that do nothing, up to a full ring.
void PushMany(FakeClient& client, uint32_t count = kMany) {
  for (uint32_t i = 0; i < count; ++i) {
    Submission cancel{};
    cancel.op = SubmissionOp::kCancel;
    cancel.request = 1'000'000;
    client.Write(cancel);
  }
  client.Publish();
}

TEST(CoreTurn, ALongRingIsTakenInParts) {
  FakeStore store;
  FakeClient& client = store.Open();
  PushMany(client);
  uint64_t before = 0;
  int turns = 0;
  while (store.Turn()) {
    const uint64_t records = store.core().Stats().records;
    EXPECT_LE(records - before, kFewRecords);
    before = records;
    ++turns;
    if (records < kMany) {
      EXPECT_FALSE(store.core().PreparePark()) << "there is more";
    }
  }
  EXPECT_EQ(before, kMany);
  EXPECT_GT(turns, 3);
}

TEST(CoreTurn, AQuestionDoesNotWaitForTheLongRingOfAnother) {
  FakeStore store;
  FakeClient& other = store.Open();
  FakeClient& client = store.Open();
  for (const SubmissionOp op :
       {SubmissionOp::kContains, SubmissionOp::kGet, SubmissionOp::kDeleteById}) {
    while (store.Turn()) {
    }
    const uint64_t before = store.core().Stats().records;
    PushMany(other);
    const uint32_t request =
        client.Ask(IdRecord(op, ObjectId::FromName("nobody makes this"), kGetNoWait));
    store.Turn();
    EXPECT_NE(client.Code(request), kNoAnswer) << static_cast<int>(op);
    EXPECT_LE(store.core().Stats().records - before, kFewRecords);
  }
}

TEST(CoreTurn, ButItSeesASealAtTheEndOfThatRing) {
  FakeStore store({.slots = 64, .arena_bytes = 1 * kMiB});
  FakeClient& other = store.Open();
  FakeClient& client = store.Open();
  for (const SubmissionOp op : {SubmissionOp::kContains, SubmissionOp::kGet}) {
    const FakeLease lease = store.Lease(other, 64);
    const ObjectId id = other.NextId();
    while (store.Turn()) {
    }
    PushMany(other);
    other.Push(SealRecord(lease, id, 8));
    // Two ask, and one of them for what nobody makes.
    const uint32_t absent =
        client.Ask(IdRecord(op, ObjectId::FromName("nobody makes this"), kGetNoWait));
    const uint32_t request = client.Ask(IdRecord(op, id, kGetNoWait));
    store.Turn();
    EXPECT_EQ(client.Code(request), AnswerCode::kOk);
    EXPECT_NE(client.Code(absent), kNoAnswer);
  }
}

TEST(CoreTurn, ASyncIsAnsweredAfterAllThatEverybodyHadPushed) {
  FakeStore store;
  FakeClient& other = store.Open();
  FakeClient& client = store.Open();
  PushMany(other);
  const uint32_t request = client.Ask(IdRecord(SubmissionOp::kSync, {}));
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  EXPECT_EQ(store.core().Stats().records, kMany + 1);
}

TEST(CoreTurn, ADeathInTheMiddleOfALongRingKeepsWhatItsClientHadSealed) {
  FakeStore store({.slots = 64, .arena_bytes = 1 * kMiB});
  FakeClient& other = store.Open();
  FakeClient& client = store.Open();
  const FakeLease lease = store.Lease(other, 64);
  const ObjectId id = other.NextId();
  PushMany(other);
  other.Push(SealRecord(lease, id, 8));
  store.Turn();
  store.Close(other);
  EXPECT_TRUE(store.Contains(client, id));
}

}  // namespace
}  // namespace penstock::testing
