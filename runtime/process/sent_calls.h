// SentCalls: the calls that one peer has not answered, by number.
#ifndef PENSTOCK_RUNTIME_PROCESS_SENT_CALLS_H_
#define PENSTOCK_RUNTIME_PROCESS_SENT_CALLS_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/process/outgoing_call.h"

namespace penstock::internal {

// Numbers count on from 1. Answers come in nearly the same order, so a ring holds them: the
// oldest that is open at `first_`. Thread safety: one thread at a time.
class SentCalls {
 public:
  uint64_t next_number() const { return next_; }
  uint32_t open() const { return open_; }

  // Keeps `call` as next_number().
  void Push(OutgoingCall&& call) {
    if (next_ - first_ == ring_.size()) Grow();
    ring_[next_++ & (ring_.size() - 1)] = std::move(call);
    ++open_;
  }
  // Nothing when no open call has this number: the peer made it up.
  std::optional<OutgoingCall> Take(uint64_t number) {
    if (number - first_ >= next_ - first_) return std::nullopt;
    std::optional<OutgoingCall>& place = ring_[number & (ring_.size() - 1)];
    if (!place.has_value()) return std::nullopt;
    std::optional<OutgoingCall> call = std::move(place);
    place.reset();
    --open_;
    while (first_ != next_ && !ring_[first_ & (ring_.size() - 1)].has_value()) ++first_;
    return call;
  }
  // All that are open, oldest first.
  std::vector<OutgoingCall> TakeAll() {
    std::vector<OutgoingCall> calls;
    for (; first_ != next_; ++first_) {
      std::optional<OutgoingCall>& place = ring_[first_ & (ring_.size() - 1)];
      if (place.has_value()) calls.push_back(*std::move(place));
      place.reset();
    }
    open_ = 0;
    return calls;
  }

 private:
  void Grow() {
    std::vector<std::optional<OutgoingCall>> larger(ring_.empty() ? 4 : 2 * ring_.size());
    for (uint64_t i = first_; i != next_; ++i) {
      larger[i & (larger.size() - 1)] = std::move(ring_[i & (ring_.size() - 1)]);
    }
    ring_ = std::move(larger);
  }

  std::vector<std::optional<OutgoingCall>> ring_;  // a power of two, or none
  uint64_t first_ = 1;
  uint64_t next_ = 1;
  uint32_t open_ = 0;
};

}  // namespace penstock::internal

#endif  // PENSTOCK_RUNTIME_PROCESS_SENT_CALLS_H_
