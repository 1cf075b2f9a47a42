// Long work is done in shares: a turn is not as long as what a session leaves behind, as the number
// of those who wait for one id, or as the number of clients that have something to say.
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"
#include "tests/support/fake_disk.h"

namespace penstock::testing {
namespace {

constexpr size_t kShare = 8;
constexpr int kMany = 100;

class CoreShare : public ::testing::Test {
 protected:
  FakeStore store{{.slots = 256, .limits = {.most_steps_in_turn = kShare}}};
  FakeClient& leaver = store.Open();
  FakeClient& client = store.Open();

  uint64_t Deleted() { return store.core().Stats().deleted; }
  // Turns until nothing is left to do; what each of them may add to `count` is checked.
  template <typename Count>
  int TurnsOfShares(Count count, uint64_t most) {
    int turns = 0;
    for (uint64_t before = count();; ++turns) {
      const bool worked = store.Turn();
      EXPECT_LE(count() - before, most) << "in turn " << turns;
      before = count();
      if (!worked && store.core().PreparePark()) break;
    }
    store.core().Unpark();
    return turns;
  }
};

TEST_F(CoreShare, ObjectsOfAnEndedSessionGoInManyTurns) {
  for (int i = 0; i < kMany; ++i) store.Put(leaver, 64, kSealSessionBound);
  store.Close(leaver);
  EXPECT_LE(Deleted(), kShare);
  EXPECT_FALSE(store.core().PreparePark()) << "there is more to do";
  const int turns = TurnsOfShares([this] { return Deleted(); }, kShare);
  EXPECT_GT(turns, kMany / static_cast<int>(kShare) - 2);
  EXPECT_EQ(Deleted(), uint64_t{kMany});
  EXPECT_EQ(store.core().Stats().objects, 0u);
}

TEST_F(CoreShare, ObjectsOfSessionsThatAreDroppedTogetherGoInManyTurns) {
  for (int i = 0; i < kMany; ++i) store.Put(leaver, 64);
  const uint64_t number = leaver.number();
  store.Close(leaver);
  store.core().DropObjectsOf(std::vector<uint64_t>{number});
  store.core().CheckInvariants();
  EXPECT_LE(Deleted(), kShare);
  TurnsOfShares([this] { return Deleted(); }, kShare);
  EXPECT_EQ(Deleted(), uint64_t{kMany});
}

// A store of 64 blocks with a disk.
class CoreShareOfADisk : public ::testing::Test {
 protected:
  CoreShareOfADisk() { store.core().EnableSpill(&disk); }

  void Turn() {
    store.Turn();
    while (disk.operations() > 0) disk.EndOne(1, &store.core(), true);
  }
  // More objects than blocks.
  std::vector<ObjectId> Fill(FakeClient& maker) {
    std::vector<ObjectId> ids;
    for (int i = 0; i < kMany; ++i) {
      const uint32_t request = maker.Ask(LeaseRecord(1024));
      std::optional<Completion> grant;
      for (int turn = 0; turn < 100 && !grant; ++turn) {
        Turn();
        grant = maker.Answer(request);
      }
      if (!grant) break;
      ids.push_back(maker.NextId());
      maker.Push(SealRecord(LeaseIn(*grant), ids.back(), 1000));
      store.Turn();
    }
    EXPECT_EQ(ids.size(), size_t{kMany});
    return ids;
  }

  FakeStore store{{.slots = 256,
                   .arena_bytes = 64 * kKiB,
                   .limits = {.most_steps_in_turn = kShare}}};
  FakeDisk disk{[this](uint64_t offset, uint64_t bytes) { return store.Bytes(offset, bytes); }};
};

TEST_F(CoreShareOfADisk, WhatIsThereOfADroppedSessionGoesToo) {
  FakeClient& maker = store.Open();
  Fill(maker);
  const uint64_t number = maker.number();
  store.Close(maker);
  ASSERT_GT(store.core().Stats().spilled_objects, 2 * kShare);
  store.core().DropObjectsOf(std::vector<uint64_t>{number});
  for (int turn = 0; turn < 200; ++turn) Turn();
  EXPECT_EQ(store.core().Stats().objects + store.core().Stats().spilled_objects, 0u);
  EXPECT_EQ(disk.copies(), 0u);
}

TEST_F(CoreShareOfADisk, TheLastWordOfAGetTellsMissingRoomFromASlowDiskFromNothing) {
  FakeClient& client = store.Open();
  std::vector<ObjectId> on_disk;
  for (const ObjectId& id : Fill(client)) {
    if (!client.TryPin(id)) on_disk.push_back(id);  // the others stay where they are
  }
  ASSERT_GT(on_disk.size(), 0u);
  const auto last_word = [&](const ObjectId& id) {
    const uint32_t request = client.Ask(IdRecord(SubmissionOp::kGet, id));
    for (int turn = 0; turn < 100; ++turn) store.Turn();
    Submission cancel{};
    cancel.op = SubmissionOp::kCancel;
    cancel.request = request;
    client.Push(cancel);
    store.Turn();
    return client.Answer(request).value_or(Completion{});
  };
  const Completion full = last_word(on_disk[0]);
  EXPECT_EQ(full.code, AnswerCode::kNoRoomToRestore);
  EXPECT_EQ(full.detail[3], 64 * kKiB);
  EXPECT_GT(full.detail[6] >> 32, 0u) << "who pins is not named";
  const Completion nobodys = last_word(client.NextId());
  EXPECT_EQ(nobodys.code, AnswerCode::kCancelled);
  EXPECT_EQ(nobodys.detail[0], 0u);
  for (uint32_t slot = 0; slot < 256; ++slot) {
    if (client.pins().Count(slot) > 0) client.Unpin(slot);
  }
  const Completion slow = last_word(on_disk[0]);
  EXPECT_EQ(slow.code, AnswerCode::kCancelled);
  EXPECT_EQ(slow.detail[0], kCancelledOnDisk);
  EXPECT_EQ(store.core().Stats().get_waiters, 0u);
}

// Each takes a block, and what makes room for it.
TEST_F(CoreShareOfADisk, RestoresBeginInManyTurnsAndNotForThoseWhoHaveCancelled) {
  FakeClient& client = store.Open();
  std::vector<uint32_t> requests;
  for (const ObjectId& id : Fill(client)) {
    if (const auto slot = client.TryPin(id)) {
      client.Unpin(*slot);
    } else {
      requests.push_back(client.Ask(IdRecord(SubmissionOp::kGet, id)));
    }
  }
  ASSERT_GT(requests.size(), 4 * kShare);
  const size_t kept = requests.size() / 2;
  const auto begun = [this] { return store.core().Stats().leases; };
  const uint64_t before = begun();
  for (uint64_t turn = 1; turn < 3; ++turn) {
    store.Turn();
    EXPECT_LE(begun() - before, turn * kShare / 2);
  }
  EXPECT_GT(begun(), before);
  Submission cancel{};
  cancel.op = SubmissionOp::kCancel;
  cancel.request = requests[kept];
  cancel.flags_or_count = static_cast<uint32_t>(requests.size() - kept);
  client.Push(cancel);
  for (int turn = 0; turn < 100; ++turn) Turn();
  EXPECT_EQ(store.core().Stats().restored, kept);
  EXPECT_EQ(store.core().Stats().get_waiters + store.core().Stats().restoring, 0u);
  for (size_t i = 0; i < kept; ++i) EXPECT_EQ(client.Code(requests[i]), AnswerCode::kOk) << i;
}

TEST_F(CoreShare, AThousandWaitersOfOneIdAreToldInManyTurns) {
  FakeObject object{.id = leaver.NextId(), .lease = store.Lease(leaver, 64), .size = 8};
  std::vector<uint32_t> requests;
  for (int i = 0; i < kMany; ++i) {
    requests.push_back(client.Ask(IdRecord(SubmissionOp::kGet, object.id)));
  }
  store.Turn();
  ASSERT_EQ(store.core().Stats().get_waiters, uint64_t{kMany});
  leaver.Push(SealRecord(object.lease, object.id, object.size));
  // Deleted while most have not been told: it was there when they asked, and is theirs.
  leaver.Push(SlotRecord(SubmissionOp::kDelete, object.lease.slot, object.lease.generation));
  const auto told = [&] { return kMany - store.core().Stats().get_waiters; };
  TurnsOfShares(told, 4 * kShare + kShare);
  EXPECT_EQ(store.core().Stats().get_waiters, 0u);
  for (const uint32_t request : requests) {
    const auto answer = client.Answer(request);
    ASSERT_TRUE(answer && answer->op == CompletionOp::kObject);
    client.Push(ConfirmRecord(*answer));
  }
  store.Turn();
  EXPECT_EQ(store.core().Stats().objects, 0u) << "nobody holds it any more";
}

TEST_F(CoreShare, OneThatCancelsWhileOthersAreToldIsToldThatOnly) {
  const ObjectId id = leaver.NextId();
  const FakeLease lease = store.Lease(leaver, 64);
  std::vector<uint32_t> requests;
  for (int i = 0; i < kMany; ++i) requests.push_back(client.Ask(IdRecord(SubmissionOp::kGet, id)));
  store.Turn();
  leaver.Push(SealRecord(lease, id, 8));
  store.Turn();
  ASSERT_GT(store.core().Stats().get_waiters, 0u);
  Submission cancel{};
  cancel.op = SubmissionOp::kCancel;
  cancel.request = requests.back();
  client.Push(cancel);
  TurnsOfShares([] { return uint64_t{0}; }, 0);
  EXPECT_EQ(client.Code(requests.back()), AnswerCode::kCancelled);
  EXPECT_EQ(client.Code(requests.front()), AnswerCode::kOk);
}

// One record for all of them, taken when the last one is forgotten.
TEST_F(CoreShare, ACancelOfManyForgetsThemInManyTurnsAndInSilence) {
  std::vector<uint32_t> requests;
  for (int i = 0; i < kMany; ++i) {
    requests.push_back(client.Ask(IdRecord(SubmissionOp::kGet, leaver.NextId())));
  }
  store.Turn();
  Submission cancel{};
  cancel.op = SubmissionOp::kCancel;
  cancel.request = requests[10];
  cancel.flags_or_count = kMany - 20;
  client.Push(cancel);
  TurnsOfShares([&] { return kMany - store.core().Stats().get_waiters; }, 4 * kShare);
  EXPECT_EQ(store.core().Stats().get_waiters, 20u);
  client.Read();
  EXPECT_EQ(client.Code(requests[50]), kNoAnswer);
  store.Close(client);
  TurnsOfShares([] { return uint64_t{0}; }, 0);
  EXPECT_EQ(store.core().Stats().get_waiters, 0u);
}

TEST_F(CoreShare, ACancelOfManyOutOfRangeForgetsNothingElse) {
  const uint32_t request = client.Ask(IdRecord(SubmissionOp::kGet, leaver.NextId()));
  store.Turn();
  Submission cancel{};
  cancel.op = SubmissionOp::kCancel;
  cancel.request = request + 1;
  cancel.flags_or_count = ~uint32_t{0};
  client.Push(cancel);
  TurnsOfShares([] { return uint64_t{0}; }, 0);
  EXPECT_EQ(store.core().Stats().get_waiters, 1u);
  EXPECT_TRUE(store.host().broken.empty());
}

TEST_F(CoreShare, WaitersOfADeadMakersIdsAreRefusedInManyTurns) {
  std::vector<uint32_t> requests;
  for (int i = 0; i < kMany; ++i) {
    requests.push_back(client.Ask(IdRecord(SubmissionOp::kGet, leaver.NextId())));
  }
  const ObjectId one_more = leaver.NextId();
  store.Turn();
  store.Close(leaver);
  EXPECT_GT(store.core().Stats().get_waiters, 0u);
  // One that comes now does not wait for what has been passed already.
  const uint32_t late = client.Ask(IdRecord(SubmissionOp::kGet, one_more));
  TurnsOfShares([&] { return kMany - store.core().Stats().get_waiters; }, 2 * kShare);
  EXPECT_EQ(client.Code(late), AnswerCode::kMakerDied);
  for (const uint32_t request : requests) EXPECT_EQ(client.Code(request), AnswerCode::kMakerDied);
}

// Its requests are nobody's, whatever answers them while they are being forgotten.
TEST_F(CoreShare, ASessionThatIsClosingIsToldNothing) {
  const ObjectId id = client.NextId();
  const FakeLease lease = store.Lease(client, 64);
  for (int i = 0; i < kMany; ++i) leaver.Ask(IdRecord(SubmissionOp::kGet, id));
  store.Turn();
  store.Close(leaver);
  ASSERT_GT(store.core().Stats().get_waiters, 0u);
  client.Push(SealRecord(lease, id, 8));
  const auto told = leaver.segments().daemon->completion_tail.load();
  TurnsOfShares([] { return uint64_t{0}; }, 0);
  EXPECT_EQ(leaver.segments().daemon->completion_tail.load(), told);
  client.Push(SlotRecord(SubmissionOp::kDelete, lease.slot, lease.generation));
  store.Turn();
  EXPECT_EQ(store.core().Stats().objects, 0u) << "a dead session holds it";
}

TEST_F(CoreShare, APlaceIsGivenToAnotherSessionWhenAllOfItsIsDone) {
  for (int i = 0; i < kMany; ++i) leaver.Ask(IdRecord(SubmissionOp::kGet, client.NextId()));
  store.Turn();
  const SessionRow row = leaver.row();
  store.Close(leaver);
  EXPECT_NE(store.Open().row(), row);
  TurnsOfShares([] { return uint64_t{0}; }, 0);
  EXPECT_EQ(store.core().Stats().get_waiters, 0u);
  EXPECT_EQ(store.Open().row(), row);
}

TEST_F(CoreShare, ANameThatADeadSessionHadReservedIsFreeAtOnce) {
  const ObjectId name = ObjectId::FromName("the model");
  store.Reserve(leaver, name, 64);
  for (int i = 0; i < kMany; ++i) leaver.Ask(IdRecord(SubmissionOp::kGet, client.NextId()));
  store.Turn();
  store.Close(leaver);
  store.Reserve(client, name, 64);
}

TEST_F(CoreShare, WhatADeadSessionPinnedIsFreeInTheEnd) {
  std::vector<FakeObject> objects;
  for (int i = 0; i < kMany; ++i) {
    objects.push_back(store.Put(client, 64));
    leaver.TryPin(objects.back().id);
  }
  for (const FakeObject& object : objects) store.Delete(client, object);
  ASSERT_EQ(store.core().Stats().doomed, uint64_t{kMany});
  store.Close(leaver);
  EXPECT_LE(store.core().Stats().freed, kShare);
  TurnsOfShares([&] { return store.core().Stats().freed; }, 2 * kShare);
  EXPECT_EQ(store.core().Stats().objects, 0u);
}

TEST_F(CoreShare, ADaemonThatLeavesFinishesWhatItBegan) {
  for (int i = 0; i < kMany; ++i) store.Put(leaver, 64, kSealSessionBound);
  store.Close(leaver);
  store.Resume(store.Retire());
  EXPECT_EQ(store.core().Stats().objects, 0u);
}

TEST(CoreShares, ManyRingsAreTakenInManyTurns) {
  FakeStore store{{.limits = {.most_records_in_turn = 16}}};
  std::vector<FakeClient*> clients;
  std::vector<uint32_t> last;
  for (int i = 0; i < 20; ++i) clients.push_back(&store.Open());
  for (FakeClient* const client : clients) {
    for (int k = 0; k < 5; ++k) {
      const ObjectId nobody = ObjectId::FromName("nobody makes this");
      const uint32_t request = client->Ask(IdRecord(SubmissionOp::kContains, nobody));
      if (k == 4) last.push_back(request);
    }
  }
  uint64_t before = 0;
  int turns = 0;
  for (; store.Turn(); ++turns) {
    EXPECT_LE(store.core().Stats().records - before, 16u + 4);
    before = store.core().Stats().records;
  }
  EXPECT_GE(turns, 100 / 20);
  for (size_t i = 0; i < clients.size(); ++i) EXPECT_EQ(clients[i]->Code(last[i]), AnswerCode::kOk);
}

// With many sessions the look at pins waits for more deletes; one that leaves does not.
TEST(CoreShares, ADaemonThatLeavesLosesNoDeleteThatItHasMarkedOnly) {
  FakeStore store{{.slots = 256}};
  FakeClient& client = store.Open();
  for (int i = 0; i < 80; ++i) store.Open();
  std::vector<FakeObject> objects;
  for (int i = 0; i < 10; ++i) objects.push_back(store.Put(client, 64));
  for (const FakeObject& object : objects) {
    client.Push(SlotRecord(SubmissionOp::kDelete, object.lease.slot, object.lease.generation));
  }
  store.Turn();
  ASSERT_EQ(store.core().Stats().deleted, 10u);
  ASSERT_GT(store.core().Stats().objects, 0u) << "they were looked at already";
  EXPECT_FALSE(store.core().PreparePark());
  store.Resume(store.Retire());
  store.Turn();
  EXPECT_EQ(store.core().Stats().objects, 0u);
}

TEST(CoreShares, CreatorsBehindALargeOneAreServedInManyTurns) {
  FakeStore store{{.slots = 1024, .arena_bytes = 1 * kMiB, .limits = {.most_steps_in_turn = 2}}};
  FakeClient& client = store.Open();
  const FakeObject all = store.Put(client, 1 * kMiB);
  FakeClient& other = store.Open();
  std::vector<uint32_t> requests;
  for (int i = 0; i < 50; ++i) requests.push_back(other.Ask(LeaseRecord(1024)));
  store.Turn();
  ASSERT_EQ(store.core().Stats().room_waiters, 50u);
  store.Delete(client, all);
  int turns = 0;
  for (; store.core().Stats().room_waiters > 0 && turns < 100; ++turns) store.Turn();
  EXPECT_GT(turns, 20);
  for (const uint32_t request : requests) EXPECT_EQ(other.Code(request), AnswerCode::kOk);
}

}  // namespace
}  // namespace penstock::testing
