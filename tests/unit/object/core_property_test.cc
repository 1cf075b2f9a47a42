// Random sequences of operations by several clients against a plain model, all invariants
// walked after every turn. A failure prints its seed; PENSTOCK_TEST_SEED runs that one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>

#include <fmt/format.h>

#include "tests/support/fake_client.h"
#include "tests/unit/object/store_model.h"

namespace penstock::testing {
namespace {

constexpr int kSeeds = 60;
constexpr int kSteps = 4000;
constexpr int kClients = 4;

struct Actor {
  FakeClient* client = nullptr;
  std::vector<FakeLease> leases;
  std::vector<std::pair<ObjectId, FakeLease>> reserved;
  std::vector<uint32_t> pins;            // slots, one entry for each pin
  std::vector<Completion> unconfirmed;   // answers whose hold stands
  std::map<uint32_t, ObjectId> gets;     // requests without an answer
  std::map<uint32_t, Submission> rooms;
};

class World {
 public:
  explicit World(uint64_t seed)
      : random_(seed), one_size_(seed % 2 == 1),
        store_({.slots = static_cast<uint32_t>(seed % 3 == 0 ? 12 : 48),
                .arena_bytes = 24 * kKiB}),
        model_(store_) {
    actors_.resize(kClients);
    for (Actor& actor : actors_) actor.client = &store_.Open();
    for (int i = 0; i < 5; ++i) names_.push_back(ObjectId::FromName(std::to_string(i)));
  }

  void Step() {
    Actor& actor = actors_[Below(kClients)];
    switch (Below(20)) {
      case 0: case 1: case 2: AskForRoom(actor, LeaseRecord(BlockSize(), 1 + Below(3))); break;
      case 3: AskForRoom(actor, ReserveRecord(Pick(names_), BlockSize())); break;
      case 4: case 5: case 6: SealOne(actor); break;
      case 7: SealReserved(actor); break;
      case 8: Abort(actor); break;
      case 9: case 10: Get(actor); break;
      case 11: case 12: PinLocally(actor); break;
      case 13: case 14: ConfirmOne(actor); break;
      case 15: case 16: UnpinOne(actor); break;
      case 17: Delete(actor); break;
      case 18: Cancel(actor); break;
      default: Below(8) == 0 ? Reopen(actor) : SealForAnother(actor, actors_[Below(kClients)]);
    }
    Settle();
  }

  void End() {
    for (Actor& actor : actors_) Close(actor);
    Settle();
    FakeClient& last = store_.Open();
    while (!model_.live().empty()) {
      const FakeObject object = model_.live().begin()->second.object;
      store_.Delete(last, object);
      model_.Deleted(object.id);
      model_.Reconcile(true);
    }
    const CoreStats stats = store_.core().Stats();
    EXPECT_EQ(stats.objects, 0u);
    EXPECT_EQ(stats.leases, 0u);
    EXPECT_EQ(stats.free_bytes, stats.ready_bytes);
    EXPECT_EQ(stats.room_waiters + stats.get_waiters + stats.doomed, 0u);
    EXPECT_EQ(stats.evictable_bytes, 0u);
    EXPECT_TRUE(store_.host().broken.empty());
    // A sequence that never gets anywhere proves nothing.
    EXPECT_GT(stats.sealed, 50u);
    EXPECT_GT(stats.deleted, 10u);
    EXPECT_GT(stats.evicted, 0u);
    EXPECT_EQ(stats.moved_objects, model_.moves());
    EXPECT_GT(stats.refused_full, 0u);
  }

 private:
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  template <typename T>
  T& Pick(std::vector<T>& items) { return items[Below(static_cast<uint32_t>(items.size()))]; }
  template <typename T>
  T TakeFrom(std::vector<T>& items) {
    std::swap(Pick(items), items.back());
    T item = items.back();
    items.pop_back();
    return item;
  }
  uint64_t BlockSize() {
    constexpr uint64_t kSizes[] = {64, 128, 1024, 1152, 2048, 5120, 10240};
    return one_size_ ? 1024 : kSizes[Below(7)];
  }
  uint32_t Flags() {
    constexpr uint32_t kPriorityFlags[] = {0, kSealLowPriority, kSealHighPriority};
    return kPriorityFlags[Below(3)] | (Below(2) == 0 ? kSealEvictable : 0u) |
           (Below(4) == 0 ? kSealSessionBound : 0u);
  }
  ObjectId KnownId() {
    if (model_.live().empty() || Below(3) == 0) {
      return Below(2) == 0 ? Pick(names_) : actors_[Below(kClients)].client->NextId();
    }
    auto at = model_.live().begin();
    std::advance(at, Below(static_cast<uint32_t>(model_.live().size())));
    return at->first;
  }

  void AskForRoom(Actor& actor, const Submission& record) {
    // Not everybody hoards, or all would only wait.
    if (!actor.rooms.empty() || actor.leases.size() + actor.reserved.size() > 2) return;
    actor.rooms[actor.client->Ask(record)] = record;
    pressure_ = true;
  }
  void Seal(Actor& actor, const FakeLease& lease, const ObjectId& id) {
    const uint64_t size = lease.block_bytes - Below(64);
    const uint32_t flags = Flags();
    actor.client->Push(SealRecord(lease, id, size, flags));
    if (model_.IsLive(id)) {
      ++refusals_expected_;
      model_.Returned(lease);
    } else {
      model_.Sealed({{id, lease, size}, flags, actor.client});
    }
  }
  void SealOne(Actor& actor) {
    if (actor.leases.empty()) return DeleteSometimes(actor);
    ObjectId id = actor.client->NextId();
    for (const auto& [live, object] : model_.live()) {
      if (live.session == actor.client->number() && Below(20) == 0) id = live;  // once more
    }
    Seal(actor, TakeFrom(actor.leases), id);
  }
  void SealReserved(Actor& actor) {
    if (actor.reserved.empty()) return DeleteSometimes(actor);
    const auto [id, lease] = TakeFrom(actor.reserved);
    Seal(actor, lease, id);
  }
  // A seal and another's get of it in one turn: it must be found.
  void SealForAnother(Actor& maker, Actor& reader) {
    if (maker.leases.empty()) return;
    const ObjectId id = maker.client->NextId();
    const uint32_t request =
        reader.client->Ask(IdRecord(SubmissionOp::kGet, id, kGetNoWait));
    Seal(maker, TakeFrom(maker.leases), id);
    store_.Turn();
    const auto answer = reader.client->Answer(request);
    ASSERT_TRUE(answer && answer->op == CompletionOp::kObject) << "a seal was overlooked";
    reader.unconfirmed.push_back(*answer);
    model_.Use(answer->object.slot);
  }
  void Abort(Actor& actor) {
    if (actor.leases.empty() && actor.reserved.empty()) return;
    FakeLease lease;
    if (actor.leases.empty()) lease = TakeFrom(actor.reserved).second;
    else lease = TakeFrom(actor.leases);
    actor.client->Push(
        SlotRecord(SubmissionOp::kReturnLease, lease.slot, lease.generation));
    model_.Returned(lease);
  }
  void Get(Actor& actor) {
    const ObjectId id = KnownId();
    const uint32_t flags = Below(2) == 0 ? kGetNoWait : 0u;
    actor.gets[actor.client->Ask(IdRecord(SubmissionOp::kGet, id, flags))] = id;
    if (flags != 0) no_wait_ = {&actor, actor.gets.rbegin()->first};
  }
  void PinLocally(Actor& actor) {
    const ObjectId id = KnownId();
    const auto slot = actor.client->TryPin(id);
    if (slot) {
      ASSERT_TRUE(model_.IsLive(id)) << "pinned what is not there";
      ASSERT_EQ(*slot, model_.live().at(id).object.lease.slot);
      actor.pins.push_back(*slot);
      model_.Use(*slot);
    }
  }
  void ConfirmOne(Actor& actor) {
    if (actor.unconfirmed.empty()) return;
    const Completion answer = TakeFrom(actor.unconfirmed);
    actor.client->Confirm(answer);
    actor.pins.push_back(answer.object.slot);  // the pin takes the hold's place
  }
  void UnpinOne(Actor& actor) {
    if (actor.pins.empty()) return;
    const uint32_t slot = TakeFrom(actor.pins);
    actor.client->Unpin(slot);
    model_.Unuse(slot);
  }
  void Delete(Actor& actor) {
    const ObjectId id = KnownId();
    const auto found = model_.live().find(id);
    if (found != model_.live().end() && Below(2) == 0) {
      const FakeLease& lease = found->second.object.lease;
      actor.client->Push(SlotRecord(SubmissionOp::kDelete, lease.slot, lease.generation));
    } else {
      const uint32_t request = actor.client->Ask(IdRecord(SubmissionOp::kDeleteById, id));
      store_.Turn();
      EXPECT_EQ(actor.client->Code(request),
                model_.IsLive(id) ? AnswerCode::kOk : AnswerCode::kNotFound);
    }
    model_.Deleted(id);
  }
  void DeleteSometimes(Actor& actor) {
    if (Below(4) == 0) Delete(actor);
  }
  void Cancel(Actor& actor) {
    Submission cancel{};
    cancel.op = SubmissionOp::kCancel;
    if (!actor.gets.empty()) cancel.request = actor.gets.begin()->first;
    if (!actor.rooms.empty() && Below(2) == 0) cancel.request = actor.rooms.begin()->first;
    actor.client->Push(cancel);
    pressure_ = true;
  }
  void Close(Actor& actor) {
    const FakeClient* const maker = actor.client;
    std::vector<ObjectId> bound;
    for (const auto& [id, object] : model_.live()) {
      if (object.maker == maker && (object.flags & kSealSessionBound) != 0) bound.push_back(id);
    }
    for (const ObjectId& id : bound) model_.Deleted(id);
    for (const FakeLease& lease : actor.leases) model_.Returned(lease);
    for (const auto& [id, lease] : actor.reserved) model_.Returned(lease);
    for (const uint32_t slot : actor.pins) model_.Unuse(slot);
    for (const Completion& answer : actor.unconfirmed) model_.Unuse(answer.object.slot);
    store_.Close(*actor.client);
    closed_.insert(maker->number());
    pressure_ = true;
    actor = Actor{};
  }
  void Reopen(Actor& actor) {
    Close(actor);
    actor.client = &store_.Open();
  }

  void Settle() {
    do store_.Turn(); while (store_.core().IsCompacting());
    store_.Turn();  // a compaction in vain is followed by eviction
    pressure_ = pressure_ || store_.core().Stats().room_waiters > 0;
    model_.Reconcile(pressure_);
    uint64_t room_waiters = 0;
    uint64_t get_waiters = 0;
    for (Actor& actor : actors_) {
      if (actor.client == nullptr) continue;
      TakeAnswers(actor);
      refusals_expected_ -= actor.client->TakeRefusedSeals().size();
      room_waiters += actor.rooms.size();
      get_waiters += actor.gets.size();
    }
    EXPECT_EQ(refusals_expected_, 0u);
    const CoreStats stats = store_.core().Stats();
    EXPECT_EQ(stats.room_waiters, room_waiters);
    EXPECT_EQ(stats.get_waiters, get_waiters);
    if (room_waiters > 0) {
      EXPECT_FALSE(model_.AnythingToEvict()) << "a creator waits beside what may go";
      if (one_size_ && stats.objects + stats.leases < stats.slots) {
        EXPECT_LT(stats.free_bytes, 1024u) << "a creator waits beside free memory";
      }
    }
    model_.ExpectAllStands();
    pressure_ = room_waiters > 0;
    no_wait_ = {};
  }

  void TakeAnswers(Actor& actor) {
    std::erase_if(actor.rooms, [&](const auto& item) {
      const auto& [request, record] = item;
      const auto answer = actor.client->Answer(request);
      if (!answer) return false;
      if (answer->op == CompletionOp::kGrant) {
        const FakeLease lease = LeaseIn(*answer);
        EXPECT_EQ(lease.block_bytes, record.size);
        model_.Granted(lease);
        if (record.op == SubmissionOp::kReserve) actor.reserved.push_back({record.id, lease});
        else actor.leases.push_back(lease);
      } else if (answer->code == AnswerCode::kAlreadyExists) {
        EXPECT_EQ(record.op, SubmissionOp::kReserve);
      } else {
        EXPECT_TRUE(answer->code == AnswerCode::kFull || answer->code == AnswerCode::kNoSlots);
      }
      return true;
    });
    for (const FakeLease& lease : actor.client->TakeSpareLeases()) {
      model_.Granted(lease);
      actor.leases.push_back(lease);
    }
    std::erase_if(actor.gets, [&](const auto& item) {
      const auto& [request, id] = item;
      const auto answer = actor.client->Answer(request);
      const bool dead = !id.IsFromName() && closed_.contains(id.session);
      if (!answer) {
        EXPECT_FALSE(model_.IsLive(id)) << "waits for what is here";
        EXPECT_FALSE(dead) << "waits for what will never come";
        EXPECT_FALSE(no_wait_.first == &actor && no_wait_.second == request);
        return false;
      }
      if (answer->op == CompletionOp::kObject) {
        EXPECT_TRUE(model_.IsLive(id) &&
                    model_.live().at(id).object.lease.slot == answer->object.slot);
        actor.unconfirmed.push_back(*answer);
        model_.Use(answer->object.slot);
        return true;
      }
      EXPECT_FALSE(model_.IsLive(id)) << "code " << static_cast<int>(answer->code);
      if (answer->code == AnswerCode::kMakerDied) {
        EXPECT_TRUE(dead || id.IsFromName());
      } else if (answer->code != AnswerCode::kNotFound &&
                 answer->code != AnswerCode::kCancelled) {
        EXPECT_TRUE(model_.HasEnded(id)) << "code " << static_cast<int>(answer->code);
      }
      return true;
    });
  }

  std::mt19937_64 random_;
  const bool one_size_;  // no fragmentation: whoever waits waits for a reason
  FakeStore store_;
  StoreModel model_;
  std::vector<Actor> actors_;
  std::vector<ObjectId> names_;
  std::set<uint64_t> closed_;  // numbers of sessions
  bool pressure_ = false;
  uint64_t refusals_expected_ = 0;
  std::pair<Actor*, uint32_t> no_wait_;
};

TEST(CoreProperty, RandomSequencesAgreeWithThePlainModel) {
  const char* const chosen = std::getenv("PENSTOCK_TEST_SEED");
  const uint64_t first = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  const uint64_t last = chosen != nullptr ? first : kSeeds;
  for (uint64_t seed = first; seed <= last; ++seed) {
    const auto world = std::make_unique<World>(seed);
    for (int step = 0; step < kSteps; ++step) {
      world->Step();
      ASSERT_FALSE(::testing::Test::HasFailure())
          << fmt::format("PENSTOCK_TEST_SEED={} step {}", seed, step);
    }
    world->End();
    ASSERT_FALSE(::testing::Test::HasFailure()) << fmt::format("PENSTOCK_TEST_SEED={}", seed);
  }
}

}  // namespace
}  // namespace penstock::testing
