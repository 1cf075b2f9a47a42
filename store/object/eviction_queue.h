// EvictionQueue: evictable objects, those of lower priority first, and among equals the least
// recently used.
//
// Gets never meet the daemon; they leave an epoch in their own pin word. So the order
// kept here is of the last use *known*; the caller reads the true one when an object
// comes up and puts it back when it was used since. What comes out in the end is in the
// true order, and a get costs its reader nothing.
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_OBJECT_EVICTION_QUEUE_H_
#define PENSTOCK_STORE_OBJECT_EVICTION_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "store/object/chunked_array.h"

namespace penstock {

struct EvictionEntry {
  uint32_t priority = 0;
  uint64_t epoch = 0;
  uint64_t order = 0;  // among equal epochs, the older entry first
  uint32_t slot = 0;
  uint64_t generation = 0;

  friend bool operator>(const EvictionEntry& a, const EvictionEntry& b) {
    if (a.priority != b.priority) return a.priority > b.priority;
    return a.epoch != b.epoch ? a.epoch > b.epoch : a.order > b.order;
  }
};

// A heap of its own, and not std::priority_queue: it grows without moving what it holds, and
// entries of objects that are gone are taken out of its middle, some at a time.
class EvictionQueue {
 public:
  void Push(uint32_t priority, uint64_t epoch, uint32_t slot, uint64_t generation) {
    PushAgain({priority, epoch, next_order_++, slot, generation});
  }
  // Keeps the entry's place among equals.
  void PushAgain(const EvictionEntry& entry) {
    heap_.push_back(entry);
    MoveUp(heap_.size() - 1);
  }
  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  EvictionEntry Pop() {
    const EvictionEntry top = heap_[0];
    RemoveAt(0);
    return top;
  }
  // Of all, in no order: for another queue's Restore.
  std::vector<EvictionEntry> entries() const { return heap_.ToVector(); }
  void Restore(const std::vector<EvictionEntry>& entries) {
    heap_.clear();
    for (const EvictionEntry& entry : entries) {
      next_order_ = std::max(next_order_, entry.order + 1);
      PushAgain(entry);
    }
  }
  // Entries of objects that are gone stay until they come up; this looks at the next `count` of
  // all and drops those.
  template <typename IsLive>
  void Sweep(size_t count, IsLive&& is_live) {
    for (; count > 0 && !heap_.empty(); --count) {
      if (swept_ >= heap_.size()) swept_ = 0;
      if (is_live(heap_[swept_])) {
        ++swept_;
      } else {
        RemoveAt(swept_);
      }
    }
  }

 private:
  void RemoveAt(size_t place) {
    const EvictionEntry last = heap_.back();
    heap_.pop_back();
    if (place == heap_.size()) return;
    heap_[place] = last;
    MoveDown(MoveUp(place));
  }
  size_t MoveUp(size_t place) {
    const EvictionEntry entry = heap_[place];
    for (; place > 0 && heap_[(place - 1) / 2] > entry; place = (place - 1) / 2) {
      heap_[place] = heap_[(place - 1) / 2];
    }
    heap_[place] = entry;
    return place;
  }
  void MoveDown(size_t place) {
    const EvictionEntry entry = heap_[place];
    for (size_t child; (child = 2 * place + 1) < heap_.size(); place = child) {
      if (child + 1 < heap_.size() && heap_[child] > heap_[child + 1]) ++child;
      if (!(entry > heap_[child])) break;
      heap_[place] = heap_[child];
    }
    heap_[place] = entry;
  }

  ChunkedArray<EvictionEntry> heap_;
  uint64_t next_order_ = 0;
  size_t swept_ = 0;  // entries before it were looked at
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_EVICTION_QUEUE_H_
