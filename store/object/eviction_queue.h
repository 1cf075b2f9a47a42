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
#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

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

class EvictionQueue {
  using Heap = std::priority_queue<EvictionEntry, std::vector<EvictionEntry>, std::greater<>>;

 public:
  void Push(uint32_t priority, uint64_t epoch, uint32_t slot, uint64_t generation) {
    heap_.push({priority, epoch, next_order_++, slot, generation});
  }
  // Keeps the entry's place among equals.
  void PushAgain(const EvictionEntry& entry) { heap_.push(entry); }
  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  EvictionEntry Pop() {
    EvictionEntry top = heap_.top();
    heap_.pop();
    return top;
  }
  // Of all, in no order: for another queue's Restore.
  std::vector<EvictionEntry> entries() const {
    std::vector<EvictionEntry> all;
    for (Heap heap = heap_; !heap.empty(); heap.pop()) all.push_back(heap.top());
    return all;
  }
  void Restore(std::vector<EvictionEntry> entries) {
    for (const EvictionEntry& entry : entries) {
      next_order_ = std::max(next_order_, entry.order + 1);
    }
    heap_ = Heap(std::greater<>(), std::move(entries));
  }
  // Entries of objects that are gone stay until they come up; this drops them.
  template <typename IsLive>
  void Compact(IsLive&& is_live) {
    std::vector<EvictionEntry> live;
    while (!heap_.empty()) {
      if (is_live(heap_.top())) live.push_back(heap_.top());
      heap_.pop();
    }
    for (const EvictionEntry& entry : live) heap_.push(entry);
  }

 private:
  Heap heap_;
  uint64_t next_order_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_EVICTION_QUEUE_H_
