// A session that may only read: what it may ask for, and that nothing else of it counts. And
// thousands of requests that one client makes and takes back at no cost to others.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

struct Scene {
  FakeStore store{{.slots = 32, .arena_bytes = 1 * kMiB}};
  FakeClient& owner = store.Open(1000);
  FakeClient& reader = store.Open(2000, SessionRole::kReadOnly);
  FakeObject kept = store.Put(owner, 100);
};

TEST(CoreRole, AReaderGetsLooksWaitsAndSubscribes) {
  Scene scene;
  EXPECT_TRUE(scene.store.Contains(scene.reader, scene.kept.id));
  EXPECT_EQ(scene.store.GetNow(scene.reader, scene.kept.id), AnswerCode::kOk);
  EXPECT_EQ(scene.reader.TryPin(scene.kept.id), scene.kept.lease.slot);
  const uint32_t waiting =
      scene.reader.Ask(IdRecord(SubmissionOp::kGet, ObjectId::FromName("later")));
  scene.reader.Push(IdRecord(SubmissionOp::kSubscribe, {}, kSubscribeSeals));
  scene.store.Turn();
  scene.store.PutAs(scene.owner, ObjectId::FromName("later"), 50);
  EXPECT_EQ(scene.reader.Code(waiting), AnswerCode::kOk);
  EXPECT_EQ(scene.reader.TakeEvents().size(), 1u);
  // Deleted under its pin, and its release is heard.
  scene.store.Delete(scene.owner, scene.kept);
  EXPECT_TRUE(scene.reader.Unpin(scene.kept.lease.slot));
  scene.store.Turn();
  EXPECT_EQ(scene.store.StateOfSlot(scene.kept.lease.slot), SlotState::kFree);
  EXPECT_TRUE(scene.store.host().broken.empty());
}

TEST(CoreRole, EveryRecordOfAReaderThatWritesIsABreachAndChangesNothing) {
  const auto breaks = [](const char* what, auto&& make) {
    SCOPED_TRACE(what);
    Scene scene;
    const FakeLease lease = scene.store.Lease(scene.owner, 192);
    scene.reader.Push(make(scene, lease));
    scene.store.Turn();
    EXPECT_EQ(scene.store.host().broken.size(), 1u);
    const std::string& why = scene.store.host().broken[scene.reader.row()];
    EXPECT_NE(why.find(fmt::format("may only read, and asked to {}", what)), std::string::npos)
        << why;
    EXPECT_EQ(scene.reader.segments().daemon->revoked.load(), 1u);
    EXPECT_TRUE(scene.store.Contains(scene.owner, scene.kept.id));
    EXPECT_EQ(scene.store.core().Stats().leases, 1u);
    EXPECT_EQ(scene.store.core().Stats().objects, 1u);
  };
  breaks("seal", [](Scene& scene, const FakeLease& lease) {
    return SealRecord(lease, scene.reader.NextId(), 10);
  });
  breaks("delete", [](Scene& scene, const FakeLease&) {
    return SlotRecord(SubmissionOp::kDelete, scene.kept.lease.slot,
                      scene.kept.lease.generation);
  });
  breaks("delete", [](Scene& scene, const FakeLease&) {
    return IdRecord(SubmissionOp::kDeleteById, scene.kept.id);
  });
  breaks("lease", [](Scene&, const FakeLease&) { return LeaseRecord(64); });
  breaks("reserve", [](Scene&, const FakeLease&) {
    return ReserveRecord(ObjectId::FromName("x"), 64);
  });
  breaks("give back a lease", [](Scene&, const FakeLease& lease) {
    return SlotRecord(SubmissionOp::kReturnLease, lease.slot, lease.generation);
  });
}

TEST(CoreRole, OutlivesTheCoreThatGaveIt) {
  Scene scene;
  scene.store.Restart();
  EXPECT_EQ(scene.store.GetNow(scene.reader, scene.kept.id), AnswerCode::kOk);
  scene.reader.Push(LeaseRecord(64));
  scene.store.Turn();
  EXPECT_TRUE(scene.store.host().broken.contains(scene.reader.row()));
  EXPECT_FALSE(scene.store.host().broken.contains(scene.owner.row()));
}

// Each cancel takes the last one's place in the line: none is lost, none answered twice.
TEST(CoreWaiters, GoInAnyOrderAndTheOthersAreStillAnswered) {
  FakeStore store;
  FakeClient& maker = store.Open(1), &first = store.Open(2), &second = store.Open(3);
  const ObjectId id = ObjectId::FromName("awaited");
  std::vector<uint32_t> of_first, of_second;
  for (int i = 0; i < 50; ++i) {
    of_first.push_back(first.Ask(IdRecord(SubmissionOp::kGet, id)));
    of_second.push_back(second.Ask(IdRecord(SubmissionOp::kGet, id)));
    store.Turn();
  }
  const auto cancel = [](FakeClient& client, uint32_t request) {
    Submission record{};
    record.op = SubmissionOp::kCancel;
    record.request = request;
    client.Push(record);
  };
  for (size_t i = 0; i < 50; i += 3) cancel(first, of_first[i]);
  cancel(second, of_second[49]);
  cancel(second, of_second[0]);
  store.Turn();
  EXPECT_EQ(store.core().Stats().get_waiters, 100u - 17u - 2u);
  store.Close(second);
  EXPECT_EQ(store.core().Stats().get_waiters, 50u - 17u);
  store.PutAs(maker, id, 10);
  for (size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(first.Code(of_first[i]), i % 3 == 0 ? AnswerCode::kCancelled : AnswerCode::kOk)
        << i;
  }
  EXPECT_EQ(store.core().Stats().get_waiters, 0u);
}

TEST(CoreWaiters, ForRoomWhoCancelAndAskAgainUnderOneNumberAreAnsweredOnceEach) {
  FakeStore store({.slots = 32, .arena_bytes = 64 * kKiB});
  FakeClient& holder = store.Open(1), &asker = store.Open(2);
  const FakeLease all = store.Lease(holder, 64 * kKiB);
  Submission ask = LeaseRecord(4 * kKiB), cancel{};
  cancel.op = SubmissionOp::kCancel;
  for (int i = 0; i < 5; ++i) {
    ask.request = cancel.request = 1000;
    asker.Push(ask);
    if (i < 4) asker.Push(cancel);
  }
  ask.request = 1001;
  asker.Push(ask);
  store.Turn();
  EXPECT_EQ(store.core().Stats().room_waiters, 2u);
  EXPECT_EQ(store.core().Stats().refused_full, 4u);
  holder.Push(SlotRecord(SubmissionOp::kReturnLease, all.slot, all.generation));
  store.Turn();
  EXPECT_EQ(store.core().Stats().room_waiters, 0u);
  EXPECT_EQ(asker.Code(1001), AnswerCode::kOk);
}

TEST(CoreWaiters, ForRoomHaveALimitOfTheirOwn) {
  CoreLimits limits;
  limits.max_room_waits_per_session = 3;
  FakeStore store({.slots = 32, .arena_bytes = 64 * kKiB, .limits = limits});
  FakeClient& holder = store.Open(1), &asker = store.Open(2);
  store.Lease(holder, 64 * kKiB);
  std::vector<uint32_t> asked;
  for (int i = 0; i < 4; ++i) asked.push_back(asker.Ask(LeaseRecord(4 * kKiB)));
  store.Turn();
  EXPECT_EQ(asker.Code(asked[2]), kNoAnswer);
  EXPECT_EQ(asker.Code(asked[3]), AnswerCode::kTooManyRequests);
  EXPECT_TRUE(store.host().broken.empty());
}

}  // namespace
}  // namespace penstock::testing
