// One pass with two ends: blocks enter at the window's end and leave at its begin.
#include "store/object/window_search.h"

namespace penstock {

void WindowSearch::AddBlock(uint64_t offset, uint64_t bytes, bool movable) {
  // Here all blocks of under_ begin before the window's end: one that does not would have
  // had the window tried and moved on before it entered.
  TryUpTo(offset);
  if (!movable || !begin_) {
    Restart(offset + bytes);
    return;
  }
  if (offset + bytes <= *begin_) return;  // before the aligned place
  under_.push_back({offset + bytes, bytes});
  copied_bytes_ += bytes;
}

void WindowSearch::EndRange(uint64_t end) {
  TryUpTo(end);
  Forget();
}

void WindowSearch::TryUpTo(uint64_t end) {
  while (begin_ && *begin_ + bytes_ <= end) {
    if (!best_ || copied_bytes_ < best_->copied_bytes) {
      best_ = Window{*begin_, copied_bytes_, under_.size()};
    }
    if (under_.empty()) return;
    begin_ = RoundUp(under_.front().end, alignment_);
    while (!under_.empty() && under_.front().end <= *begin_) {
      copied_bytes_ -= under_.front().bytes;
      under_.pop_front();
    }
  }
}

}  // namespace penstock
