// The daemon's private facts about each slot, and lists of slots through them.
#ifndef PENSTOCK_STORE_OBJECT_INTRUSIVE_SLOTS_H_
#define PENSTOCK_STORE_OBJECT_INTRUSIVE_SLOTS_H_

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "store/base/check.h"

namespace penstock {

inline constexpr uint32_t kNoSlot = ~uint32_t{0};

// All zeros is a slot that was never used.
struct SlotInfo {
  uint32_t prev;   // in its session's list of leases or of bound objects
  uint32_t next;
  uint32_t holds;  // answers whose asker has not confirmed its own pin yet
  uint32_t maker;  // index into the table of makers
  uint32_t copy_plus_one;  // on disk, of a sealed object; 0: none
  uint64_t epoch;  // last use known, for evictable objects (Core::Epoch)
  bool in_list;
  bool reserved;   // leased for an id that the caller chose
  bool overflow;   // its id is in the overflow table, not in the hash index
  bool wanted;     // SYNC S3: a creator waits for its last pin

  bool has_copy() const { return copy_plus_one != 0; }
};

// What lay in a slot once, whatever lies there now.
struct SlotGeneration {
  uint32_t slot;
  uint64_t generation;
};

// One SlotInfo for each slot. The memory comes zeroed from the kernel as it is touched, so
// a table for millions of slots is made at once.
class SlotInfoTable {
 public:
  explicit SlotInfoTable(uint32_t capacity)
      : own_(static_cast<SlotInfo*>(calloc(capacity, sizeof(SlotInfo)))), infos_(own_.get()) {
    PENSTOCK_CHECK(infos_ != nullptr) << "no memory for " << capacity << " slots";
  }
  // In memory of the caller's: all zeros, or what another table left there.
  explicit SlotInfoTable(SlotInfo* infos) : infos_(infos) {}
  SlotInfo& operator[](uint32_t slot) { return infos_[slot]; }
  const SlotInfo& operator[](uint32_t slot) const { return infos_[slot]; }

 private:
  struct Free {
    void operator()(SlotInfo* infos) const { free(infos); }
  };
  std::unique_ptr<SlotInfo, Free> own_;
  SlotInfo* infos_;
};

// A doubly linked list of slots; a slot is in at most one list at a time.
class SlotList {
 public:
  SlotList() = default;
  // A list that stands in the table already.
  explicit SlotList(uint32_t head) : head_(head) {}
  void PushFront(SlotInfoTable& infos, uint32_t slot) {
    SlotInfo& info = infos[slot];
    info.prev = kNoSlot;
    info.next = head_;
    info.in_list = true;
    if (head_ != kNoSlot) infos[head_].prev = slot;
    head_ = slot;
  }
  void Remove(SlotInfoTable& infos, uint32_t slot) {
    SlotInfo& info = infos[slot];
    if (info.prev != kNoSlot) infos[info.prev].next = info.next;
    if (info.next != kNoSlot) infos[info.next].prev = info.prev;
    if (head_ == slot) head_ = info.next;
    info.in_list = false;
  }
  uint32_t front() const { return head_; }
  bool empty() const { return head_ == kNoSlot; }

 private:
  uint32_t head_ = kNoSlot;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_INTRUSIVE_SLOTS_H_
