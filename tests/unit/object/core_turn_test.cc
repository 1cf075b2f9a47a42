// How much of a long ring a turn takes, and who waits for the rest.
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"
#include "tests/support/fake_disk.h"

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

// The client came last, so its ring is taken first.
class CoreTurn : public ::testing::Test {
 protected:
  FakeStore store;
  FakeClient& other = store.Open();
  FakeClient& client = store.Open();
};

TEST_F(CoreTurn, ALongRingIsTakenInParts) {
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

TEST_F(CoreTurn, AQuestionDoesNotWaitForTheLongRingOfAnother) {
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

// The client, which is served first, need not wait to hear of it.
TEST_F(CoreTurn, AnAnswerDoesNotWaitUntilTheRingsOfOthersAreTaken) {
  const uint32_t request = client.Ask(
      IdRecord(SubmissionOp::kContains, ObjectId::FromName("nobody makes this"), kGetNoWait));
  AnswerCode when_the_other_is_read = kNoAnswer;
  store.host().when_broken = [&] { when_the_other_is_read = client.Code(request); };
  Submission unknown{};
  unknown.op = static_cast<SubmissionOp>(200);
  other.Push(unknown);
  store.Turn();
  ASSERT_TRUE(store.host().broken.contains(other.row()));
  EXPECT_EQ(when_the_other_is_read, AnswerCode::kOk);
}

class CoreTurnOfAsking : public CoreTurn, public ::testing::WithParamInterface<SubmissionOp> {
 protected:
  // `other` pushes much and then its seal of `id`; `client` asks for it, and for what nobody
  // makes.
  void ExpectTheSealIsSeen(const FakeLease& lease, const ObjectId& id) {
    while (store.Turn()) {
    }
    PushMany(other);
    other.Push(SealRecord(lease, id, 8));
    const uint32_t absent =
        client.Ask(IdRecord(GetParam(), ObjectId::FromName("nobody makes this"), kGetNoWait));
    const uint32_t request = client.Ask(IdRecord(GetParam(), id, kGetNoWait));
    store.Turn();
    EXPECT_EQ(client.Code(request), kNoAnswer) << "not before that seal is taken";
    EXPECT_NE(client.Code(absent), kNoAnswer);
    for (int i = 0; i < 10; ++i) store.Turn();
    EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  }
};

TEST_P(CoreTurnOfAsking, TheSealAtTheEndOfALongRingIsSeen) {
  ExpectTheSealIsSeen(store.Lease(other, 64), other.NextId());
}

TEST_P(CoreTurnOfAsking, SoIsTheSealOfAReservedName) {
  const ObjectId name = ObjectId::FromName("chosen");
  ExpectTheSealIsSeen(store.Reserve(other, name, 64), name);
}

// Whoever reserved an id that another session may make, too, seals it.
TEST_P(CoreTurnOfAsking, SoIsThatOfAReservedIdOfAnotherSession) {
  const ObjectId id = client.NextId();
  ExpectTheSealIsSeen(store.Reserve(other, id, 64), id);
}

INSTANTIATE_TEST_SUITE_P(EachWay, CoreTurnOfAsking,
                         ::testing::Values(SubmissionOp::kContains, SubmissionOp::kGet,
                                           SubmissionOp::kDeleteById));

TEST_F(CoreTurn, ASyncIsAnsweredAfterAllThatEverybodyHadPushed) {
  PushMany(other);
  const uint32_t request = client.Ask(IdRecord(SubmissionOp::kSync, {}));
  while (client.Code(request) == kNoAnswer) {
    ASSERT_TRUE(store.Turn());
    EXPECT_FALSE(store.core().PreparePark() && client.Code(request) == kNoAnswer);
  }
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  EXPECT_EQ(store.core().Stats().records, kMany + 1);
}

TEST_F(CoreTurn, ASyncIsAnsweredAlsoWhereAnotherNeverStopsPushing) {
  PushMany(other);
  const uint32_t request = client.Ask(IdRecord(SubmissionOp::kSync, {}));
  for (int i = 0; i < 12; ++i) {
    store.Turn();
    PushMany(other, 128);
  }
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  EXPECT_GE(store.core().Stats().records, kMany);
}

// The disk takes nothing more, so a get of what is there is refused where there is no room: but
// not while somebody's return of a lease waits behind a hundred other records.
TEST_F(CoreTurn, NobodyIsRefusedRoomThatWaitsInALongRing) {
  FakeDisk disk([&](uint64_t offset, uint64_t bytes) { return store.Bytes(offset, bytes); });
  store.core().EnableSpill(&disk);
  const auto end_all = [&] {
    for (int i = 0; i < 8; ++i) {
      store.Turn();
      while (disk.operations() > 0) disk.EndOne(0, &store.core(), true);
    }
  };
  const FakeObject on_disk = store.Put(other, 600 * kKiB);
  const uint32_t large = other.Ask(LeaseRecord(900 * kKiB));
  end_all();
  const auto grant = other.Answer(large);
  ASSERT_TRUE(grant && grant->op == CompletionOp::kGrant) << "in the place of that one";
  disk.full = true;
  store.Put(client, 32 * kKiB);
  other.Ask(LeaseRecord(200 * kKiB));  // waits, and has the small one written, in vain
  end_all();
  ASSERT_TRUE(store.core().spill_stopped());

  PushMany(other, 300);
  other.Push(SlotRecord(SubmissionOp::kReturnLease, LeaseIn(*grant).slot,
                        LeaseIn(*grant).generation));
  const uint32_t get = client.Ask(IdRecord(SubmissionOp::kGet, on_disk.id));
  end_all();
  const auto answer = client.Answer(get);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->op, CompletionOp::kObject) << static_cast<int>(answer->code);
}

TEST_F(CoreTurn, ADeathInTheMiddleOfALongRingKeepsWhatItsClientHadSealed) {
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
