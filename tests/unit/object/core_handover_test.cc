// A core that leaves in order, and the one that goes on with what it left.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "store/object/core_state.h"
#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

// A maker with one of everything that a core knows of.
struct Scene {
  Scene() {
    reader_slot = *reader.TryPin(doomed.id);
    store.Delete(maker, doomed);
    store.Turn();
  }
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& reader = store.Open();
  FakeObject object = store.Put(maker, 5000);
  FakeObject evictable = store.Put(maker, 700, kSealEvictable);
  FakeObject bound = store.Put(maker, 300, kSealSessionBound);
  FakeObject doomed = store.Put(maker, 900);
  FakeLease lease = store.Lease(maker, 2048);
  ObjectId name = ObjectId::FromName("reserved");
  FakeLease reserved = store.Reserve(maker, name, 64);
  uint32_t reader_slot = 0;
};

TEST(CoreHandover, TheNextCoreKnowsWhatTheLastOneKnew) {
  Scene scene;
  FakeStore& store = scene.store;
  const CoreStats before = store.core().Stats();
  ASSERT_EQ(before.doomed, 1u);
  store.Resume(store.Retire());
  const CoreStats after = store.core().Stats();
  EXPECT_EQ(after.objects, before.objects);
  EXPECT_EQ(after.leases, before.leases);
  EXPECT_EQ(after.doomed, before.doomed);
  EXPECT_EQ(after.free_bytes, before.free_bytes);
  EXPECT_EQ(after.object_bytes, before.object_bytes);
  EXPECT_EQ(after.leased_bytes, before.leased_bytes);
  EXPECT_EQ(after.evictable_bytes, before.evictable_bytes);
  EXPECT_EQ(after.sealed, before.sealed) << "counters go on";
  // Leases are good, the name is still taken, and the last pin frees.
  const ObjectId id = scene.maker.NextId();
  scene.maker.Push(SealRecord(scene.lease, id, 2000));
  const uint32_t again = scene.reader.Ask(ReserveRecord(scene.name, 64));
  store.Turn();
  EXPECT_EQ(scene.reader.Code(again), AnswerCode::kAlreadyExists);
  scene.maker.Push(SealRecord(scene.reserved, scene.name, 64));
  store.Turn();
  for (const ObjectId& each : {id, scene.name, scene.object.id, scene.evictable.id}) {
    EXPECT_EQ(store.GetNow(scene.reader, each), AnswerCode::kOk) << each.ToHex();
  }
  scene.reader.Unpin(scene.reader_slot);
  store.Turn();
  EXPECT_EQ(store.core().Stats().doomed, 0u);
  // What ends with its session does so.
  store.Close(scene.maker);
  EXPECT_FALSE(store.Contains(scene.reader, scene.bound.id));
  EXPECT_EQ(store.core().Stats().leases, 0u);
  EXPECT_TRUE(store.host().broken.empty());
}

TEST(CoreHandover, GrantsThatFoundNoRoomInTheRingComeBack) {
  FakeStore store;
  FakeClient& client = store.Open();
  // Nobody reads the answers: the ring fills, the rest waits in the core.
  for (int turn = 0; turn < 400; ++turn) {
    for (int i = 0; i < 50; ++i) client.Ask(IdRecord(SubmissionOp::kSync, {}));
    store.Turn();
  }
  client.Ask(LeaseRecord(64));
  store.Turn();
  ASSERT_EQ(store.core().Stats().leases, 1u);
  store.Resume(store.Retire());
  const CoreStats after = store.core().Stats();
  EXPECT_EQ(after.leases, 0u);
  EXPECT_EQ(after.free_bytes, after.ready_bytes);
}

TEST(CoreHandover, AnotherLayoutOrAnOlderStateIsNotGoneOnWith) {
  Scene scene;
  const std::string state = scene.store.Retire();
  const IndexSegment index = scene.store.index();
  EXPECT_TRUE(Core::CanResume(state, index));
  EXPECT_FALSE(Core::CanResume("", index));
  EXPECT_FALSE(Core::CanResume(state.substr(0, state.size() - 1), index));
  for (const size_t at : {offsetof(CoreStateHeader, magic), offsetof(CoreStateHeader, version),
                          offsetof(CoreStateHeader, slot_info_bytes),
                          offsetof(CoreStateHeader, incarnation),
                          offsetof(CoreStateHeader, capacity)}) {
    std::string other = state;
    ++other[at];
    EXPECT_FALSE(Core::CanResume(other, index)) << at;
  }
  // Another daemon has served since.
  scene.store.Restart();
  EXPECT_FALSE(Core::CanResume(state, index));
}

}  // namespace
}  // namespace penstock::testing
