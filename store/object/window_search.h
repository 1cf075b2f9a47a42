// WindowSearch: of all aligned places where `bytes` bytes in a row could be emptied, the one
// with the fewest bytes to copy. It is told of the arena's blocks in the order of their addresses,
// and keeps those under the window alone.
//
// Why it suffices to try windows that begin at the first aligned place where a block has ended
// (or a range begun): as a window slides up, what it covers grows when its end passes a
// block's begin and shrinks when its begin passes a block's end, so the least is reached just
// after such a shrinking.
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_OBJECT_WINDOW_SEARCH_H_
#define PENSTOCK_STORE_OBJECT_WINDOW_SEARCH_H_

#include <cstdint>
#include <deque>
#include <optional>

#include "store/base/units.h"

namespace penstock {

class WindowSearch {
 public:
  struct Window {
    uint64_t begin = 0;
    uint64_t copied_bytes = 0;  // of all blocks that touch it
    uint64_t blocks = 0;
  };

  // Windows begin at multiples of `alignment`.
  WindowSearch(uint64_t bytes, uint64_t alignment) : bytes_(bytes), alignment_(alignment) {}

  // Memory begins here.
  void BeginRange(uint64_t offset) { Restart(offset); }
  // The next block, at or after the end of the last one. What lies between is free.
  void AddBlock(uint64_t offset, uint64_t bytes, bool movable);
  // Memory ends here. Nothing between two ranges can be used.
  void EndRange(uint64_t end);
  // What comes next does not adjoin: another range, or the same from its middle.
  void Forget() { begin_.reset(); under_.clear(); copied_bytes_ = 0; }

  const std::optional<Window>& best() const { return best_; }

 private:
  struct Block {
    uint64_t end;
    uint64_t bytes;
  };
  void Restart(uint64_t offset) {
    Forget();
    begin_ = RoundUp(offset, alignment_);
  }
  // Tries the windows that end at or before `end`.
  void TryUpTo(uint64_t end);

  const uint64_t bytes_;
  const uint64_t alignment_;
  std::optional<uint64_t> begin_;  // of the next window to try; none: not known yet
  std::deque<Block> under_;        // blocks that end after begin_, all movable
  uint64_t copied_bytes_ = 0;      // their sum
  std::optional<Window> best_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_WINDOW_SEARCH_H_
