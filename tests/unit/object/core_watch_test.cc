// Rings that no turn looks at: nobody is told a lie for them, and their bells bring them back.
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint32_t kWatched = 2;
constexpr int kClients = 10;

class CoreWatch : public ::testing::Test {
 protected:
  CoreWatch() {
    for (int i = 0; i < kClients; ++i) clients.push_back(&store.Open());
  }
  // Until as few rings are in sight as may be.
  void LetAllGo() {
    for (int i = 0; i < 1000; ++i) store.Turn();
    out_of_sight.clear();
    for (FakeClient* const client : clients) {
      if (client->segments().daemon->unwatched != 0) out_of_sight.push_back(client);
    }
    ASSERT_EQ(out_of_sight.size(), kClients - kWatched);
  }
  // Of the core alone: no bell is heard.
  void TurnDeaf(int turns = 1) {
    for (int i = 0; i < turns; ++i) store.core().Turn();
  }

  FakeStore store{{.slots = 64,
                   .limits = {.max_sessions = 16,
                              .most_idle_watched = kWatched,
                              .most_empty_looks = 64}}};
  std::vector<FakeClient*> clients;
  std::vector<FakeClient*> out_of_sight;
};

TEST_F(CoreWatch, FewSessionsAreAlwaysInSight) {
  FakeStore few;
  FakeClient& client = few.Open();
  for (int i = 0; i < 100'000; ++i) few.core().Turn();
  EXPECT_FALSE(few.core().depends_on_bells());
  EXPECT_EQ(client.segments().daemon->unwatched, 0u);
}

TEST_F(CoreWatch, ARecordInARingOutOfSightIsTakenWhenItsBellIsHeard) {
  LetAllGo();
  FakeClient& client = *out_of_sight[0];
  const uint32_t request = client.Ask(LeaseRecord(64));
  TurnDeaf(100);
  EXPECT_EQ(client.Code(request), kNoAnswer) << "a turn looked at this ring";
  store.Turn();
  EXPECT_EQ(client.Code(request), AnswerCode::kOk);
  EXPECT_EQ(client.segments().daemon->unwatched, 0u) << "it rings for every record";
}

TEST_F(CoreWatch, ALapFindsWhatLiesInAllRings) {
  LetAllGo();
  std::vector<uint32_t> requests;
  for (FakeClient* const client : clients) requests.push_back(client->Ask(LeaseRecord(64)));
  const uint32_t sync = clients[0]->Ask(IdRecord(SubmissionOp::kSync, {}));
  store.core().Hear(clients[0]->row());
  TurnDeaf(50);
  EXPECT_EQ(clients[0]->Code(sync), AnswerCode::kOk);
  for (size_t i = 0; i < clients.size(); ++i) {
    EXPECT_EQ(clients[i]->Code(requests[i]), AnswerCode::kOk);
  }
}

TEST_F(CoreWatch, AQuestionFindsASealOfWhichNoBellWasHeard) {
  LetAllGo();
  FakeClient& maker = *out_of_sight[0];
  const FakeLease lease = store.Lease(maker, 64);
  LetAllGo();
  const ObjectId id = maker.NextId();
  maker.Push(SealRecord(lease, id, 8));
  FakeClient& asker = *out_of_sight[1];
  const uint32_t request = asker.Ask(IdRecord(SubmissionOp::kContains, id));
  store.core().Hear(asker.row());
  TurnDeaf(2);
  const auto answer = asker.Answer(request);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->detail[0], 1u) << "sealed before it was asked for";
}

TEST_F(CoreWatch, ASyncAnswersAfterWhatAllOthersHadPublished) {
  LetAllGo();
  std::vector<FakeLease> leases;
  for (FakeClient* const client : out_of_sight) leases.push_back(store.Lease(*client, 64));
  const std::vector<FakeClient*> makers = out_of_sight;
  LetAllGo();
  for (size_t i = 0; i < makers.size(); ++i) {
    makers[i]->Push(SealRecord(leases[i], makers[i]->NextId(), 8));
  }
  const uint32_t request = clients[0]->Ask(IdRecord(SubmissionOp::kSync, {}));
  store.core().Hear(clients[0]->row());
  for (int i = 0; i < 50 && clients[0]->Code(request) == kNoAnswer; ++i) TurnDeaf();
  EXPECT_EQ(store.core().Stats().sealed, makers.size());
}

TEST_F(CoreWatch, NobodyIsRefusedRoomThatADeleteGivesWhoseBellWasNotHeard) {
  FakeClient& maker = *clients[0];
  const FakeObject object = store.Put(maker, 1 * kMiB);
  LetAllGo();
  maker.Push(SlotRecord(SubmissionOp::kDelete, object.lease.slot, object.lease.generation));
  maker.TakeBell();
  FakeClient& creator = *clients[1];
  const uint32_t request = creator.Ask(LeaseRecord(1 * kMiB));
  Submission cancel{};
  cancel.op = SubmissionOp::kCancel;
  cancel.request = request;
  creator.Push(cancel);
  store.core().Hear(creator.row());
  TurnDeaf(20);
  EXPECT_EQ(creator.Code(request), AnswerCode::kOk);
}

TEST_F(CoreWatch, WhatIsLeftInTheRingOfADeadClientCounts) {
  LetAllGo();
  FakeClient& maker = *out_of_sight[0];
  const FakeLease lease = store.Lease(maker, 64);
  LetAllGo();
  maker.Push(SealRecord(lease, maker.NextId(), 8));
  store.Close(maker);
  EXPECT_EQ(store.core().Stats().sealed, 1u);
}

TEST_F(CoreWatch, CompletionsWithoutRoomGoOutWhenTheBellOfTheirReaderIsHeard) {
  FakeClient& reader = *clients[0];
  for (uint32_t i = 0; i < kCompletionEntries + 10; ++i) {
    if (!reader.HasRoom()) TurnDeaf(10);
    reader.Ask(IdRecord(SubmissionOp::kContains, ObjectId::FromName("none")));
  }
  LetAllGo();
  reader.Read();
  store.Turn();
  EXPECT_EQ(reader.Read(), 10u);
}

}  // namespace
}  // namespace penstock::testing
