// What a store should say, as plain maps: the model that core_property_test compares the
// core with after every turn. It knows nothing of rings, hashes or bitmaps.
#ifndef PENSTOCK_TESTS_UNIT_OBJECT_STORE_MODEL_H_
#define PENSTOCK_TESTS_UNIT_OBJECT_STORE_MODEL_H_

#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {

struct ModelObject {
  FakeObject object;
  uint32_t flags = 0;
  const FakeClient* maker = nullptr;
};

class StoreModel {
 public:
  explicit StoreModel(FakeStore& store) : store_(store) {}

  const std::map<ObjectId, ModelObject>& live() const { return live_; }
  bool IsLive(const ObjectId& id) const { return live_.contains(id); }
  bool HasEnded(const ObjectId& id) const { return ended_.contains(id); }

  // A block was granted: it must be nobody else's. Its first bytes are marked as its own.
  void Granted(const FakeLease& lease) {
    EXPECT_TRUE(slots_.insert(lease.slot).second) << "slot granted twice";
    Occupy(lease, ++next_mark_);
    std::memcpy(store_.Bytes(lease.offset, 8).data(), &next_mark_, 8);
  }
  void Occupy(const FakeLease& lease, uint64_t mark) {
    const auto next = blocks_.lower_bound(lease.offset);
    if (next != blocks_.end()) {
      EXPECT_LE(lease.offset + lease.block_bytes, next->first) << "blocks overlap";
    }
    if (next != blocks_.begin()) {
      EXPECT_LE(std::prev(next)->second.second, lease.offset) << "blocks overlap";
    }
    blocks_[lease.offset] = {mark, lease.offset + lease.block_bytes};
  }
  void Returned(const FakeLease& lease) {
    ExpectBytesStand(lease);
    Forget(lease);
  }
  // The core has freed it, and another object may have moved into it by now.
  void Forget(const FakeLease& lease) {
    slots_.erase(lease.slot);
    blocks_.erase(lease.offset);
  }
  // Nobody else wrote into a block that is leased, sealed or pinned.
  void ExpectBytesStand(const FakeLease& lease) {
    uint64_t mark = 0;
    std::memcpy(&mark, store_.Bytes(lease.offset, 8).data(), 8);
    EXPECT_EQ(mark, blocks_.at(lease.offset).first) << "bytes were reused";
  }

  void Sealed(const ModelObject& object) { live_[object.object.id] = object; }
  // Deleted by a client: gone for who looks now, its bytes stay while pinned or held.
  void Deleted(const ObjectId& id) {
    const auto found = live_.find(id);
    if (found == live_.end()) return;
    doomed_[found->second.object.lease.slot] = found->second.object;
    ended_.insert(id);
    live_.erase(found);
  }
  void Use(uint32_t slot) { ++users_[slot]; }  // a pin or a hold more
  void Unuse(uint32_t slot) {
    if (--users_[slot] == 0) users_.erase(slot);
  }
  bool InUse(uint32_t slot) const { return users_.contains(slot); }
  // When all grants are known too.
  void ExpectAllStands() {
    for (const auto& [id, object] : live_) ExpectBytesStand(object.object.lease);
    for (const auto& [slot, object] : doomed_) ExpectBytesStand(object.lease);
    const CoreStats stats = store_.core().Stats();
    EXPECT_EQ(stats.objects, live_.size() + doomed_.size());
    EXPECT_EQ(stats.doomed, doomed_.size());
    EXPECT_EQ(stats.objects + stats.leases, slots_.size());
  }

  // Compares with the slots. `pressure`: somebody asked for room, so evictable objects
  // that nobody uses may have gone.
  void Reconcile(bool pressure) {
    std::vector<ObjectId> evicted;
    uint32_t highest_gone = 0;
    uint32_t lowest_left = kPriorities;  // of those that might have gone
    for (const auto& [id, object] : live_) {
      const FakeLease& lease = object.object.lease;
      const bool is_gone = store_.GenerationOfSlot(lease.slot) != lease.generation;
      if (is_gone) highest_gone = std::max(highest_gone, PriorityOf(object.flags));
      if (!is_gone && (object.flags & kSealEvictable) != 0 && !InUse(lease.slot)) {
        lowest_left = std::min(lowest_left, PriorityOf(object.flags));
      }
      if (is_gone) {
        EXPECT_TRUE(pressure) << "dropped without need";
        EXPECT_TRUE((object.flags & kSealEvictable) != 0) << "a plain object was dropped";
        EXPECT_FALSE(InUse(lease.slot)) << "a pinned object was dropped";
        evicted.push_back(id);
      }
    }
    EXPECT_LE(highest_gone, lowest_left) << "one of higher priority was dropped before";
    for (const ObjectId& id : evicted) {
      Forget(live_.at(id).object.lease);
      ended_.insert(id);
      live_.erase(id);
    }
    std::erase_if(doomed_, [&](const auto& item) {
      const FakeLease& lease = item.second.lease;
      const bool freed = store_.GenerationOfSlot(lease.slot) != lease.generation;
      EXPECT_EQ(freed, !InUse(lease.slot)) << "deleted slot " << lease.slot;
      if (freed) Forget(lease);
      return freed;
    });
    FollowMoves();
    for (const auto& [id, object] : live_) {
      const FakeLease& lease = object.object.lease;
      EXPECT_EQ(store_.StateOfSlot(lease.slot), SlotState::kSealed);
      const Slot& slot = store_.index().slot(lease.slot);
      EXPECT_EQ(slot.id, id);
      EXPECT_EQ(slot.size, object.object.size);
      EXPECT_EQ(slot.offset, lease.offset);
    }
  }
  // Objects that nobody uses may lie elsewhere now, with the same bytes.
  void FollowMoves() {
    std::vector<std::pair<FakeLease*, uint64_t>> moved;  // and its mark
    for (auto& [id, object] : live_) {
      FakeLease& lease = object.object.lease;
      const Slot& slot = store_.index().slot(lease.slot);
      if (store_.GenerationOfSlot(lease.slot) != lease.generation ||
          slot.offset == lease.offset) {
        continue;
      }
      EXPECT_FALSE(InUse(lease.slot)) << "moved under a pin";
      EXPECT_EQ(store_.lease_entry(lease.slot).offset, slot.offset);
      moved.push_back({&lease, blocks_.at(lease.offset).first});
      blocks_.erase(lease.offset);
      lease.offset = slot.offset;
    }
    moves_ += moved.size();
    for (const auto& [lease, mark] : moved) {
      Occupy(*lease, mark);
      ExpectBytesStand(*lease);
    }
  }
  uint64_t moves() const { return moves_; }
  bool AnythingToEvict() const {
    for (const auto& [id, object] : live_) {
      if ((object.flags & kSealEvictable) != 0 && !InUse(object.object.lease.slot)) return true;
    }
    return false;
  }

 private:
  FakeStore& store_;
  std::map<ObjectId, ModelObject> live_;
  std::map<uint32_t, FakeObject> doomed_;  // by slot
  std::set<ObjectId> ended_;               // deleted or evicted once
  std::map<uint32_t, uint32_t> users_;     // slot -> pins and holds of all clients
  std::map<uint64_t, std::pair<uint64_t, uint64_t>> blocks_;  // offset -> mark, end
  std::set<uint32_t> slots_;
  uint64_t next_mark_ = 0;
  uint64_t moves_ = 0;
};

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_UNIT_OBJECT_STORE_MODEL_H_
