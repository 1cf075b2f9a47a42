// The daemon's private facts about each slot, and lists of slots through them.
#ifndef PENSTOCK_STORE_OBJECT_INTRUSIVE_SLOTS_H_
#define PENSTOCK_STORE_OBJECT_INTRUSIVE_SLOTS_H_

#include <cstdint>
#include <vector>

namespace penstock {

inline constexpr uint32_t kNoSlot = ~uint32_t{0};

struct SlotInfo {
  uint32_t prev = kNoSlot;  // in its session's list of leases or of bound objects
  uint32_t next = kNoSlot;
  uint32_t holds = 0;       // answers whose asker has not confirmed its own pin yet
  uint32_t maker = 0;       // index into the table of makers
  uint32_t epoch = 0;       // last use known, for evictable objects
  bool in_list = false;
  bool reserved = false;    // leased for an id that the caller chose
  bool overflow = false;    // its id is in the overflow table, not in the hash index
  bool wanted = false;      // SYNC S3: a creator waits for its last pin
};

// A doubly linked list of slots; a slot is in at most one list at a time.
class SlotList {
 public:
  void PushFront(std::vector<SlotInfo>& infos, uint32_t slot) {
    SlotInfo& info = infos[slot];
    info.prev = kNoSlot;
    info.next = head_;
    info.in_list = true;
    if (head_ != kNoSlot) infos[head_].prev = slot;
    head_ = slot;
  }
  void Remove(std::vector<SlotInfo>& infos, uint32_t slot) {
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
