// RequestQueue: the ids of equal requests, oldest first, 8 bytes each.
//
// Ids rise with time, so the queue is sorted, a request is found by bisection, and neither
// a map from ids nor a node for each request is needed. A cancelled id is marked in its top
// bit and stays until it comes up or until the marked ones are the majority; then all of
// them go, so a request takes 16 bytes at worst.
// Thread safety: one thread.
#ifndef PENSTOCK_RUNTIME_SCHEDULE_REQUEST_QUEUE_H_
#define PENSTOCK_RUNTIME_SCHEDULE_REQUEST_QUEUE_H_

#include <algorithm>
#include <cstdint>
#include <deque>

#include "store/base/check.h"

namespace penstock {

class RequestQueue {
 public:
  bool empty() const { return waiting_ == 0; }
  size_t size() const { return waiting_; }
  uint64_t front() const { return ids_.front(); }

  // `id` is larger than every one before. O(1).
  void Push(uint64_t id) {
    PENSTOCK_CHECK((id & kCancelled) == 0 &&
                   (ids_.empty() || (ids_.back() & ~kCancelled) < id))
        << "request " << id << " is out of order";
    ids_.push_back(id);
    ++waiting_;
  }
  // O(1), amortized.
  uint64_t Pop() {
    const uint64_t id = ids_.front();
    ids_.pop_front();
    --waiting_;
    Trim();
    return id;
  }
  // False: it is not here. O(log n), amortized.
  bool Cancel(uint64_t id) {
    const auto found = std::lower_bound(
        ids_.begin(), ids_.end(), id,
        [](uint64_t a, uint64_t b) { return (a & ~kCancelled) < b; });
    if (found == ids_.end() || *found != id) return false;
    *found |= kCancelled;
    --waiting_;
    Trim();
    if (ids_.size() > 2 * waiting_ + kFewIds) {
      std::erase_if(ids_, [](uint64_t each) { return (each & kCancelled) != 0; });
      ids_.shrink_to_fit();
    }
    return true;
  }

 private:
  static constexpr uint64_t kCancelled = uint64_t{1} << 63;
  static constexpr size_t kFewIds = 64;  // one block of the deque: not worth a pass

  // The front, if there is one, is always a request that waits.
  void Trim() {
    while (!ids_.empty() && (ids_.front() & kCancelled) != 0) ids_.pop_front();
  }

  std::deque<uint64_t> ids_;
  size_t waiting_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_SCHEDULE_REQUEST_QUEUE_H_
