// Allocator: which bytes of the arena are free. Best fit over free extents, with a stack
// of recycled blocks in front for each small size class.
//
// Everything here is the daemon's private memory and can be rebuilt from the lease table.
//
// Invariants
//   1. Free extents are disjoint, never touch each other (they are merged), and lie in
//      extents that were added.
//   2. Every byte added is in a free extent, in a class stack, in the reserved window, or
//      handed out, once. Bytes taken away (TakeFreeExtents) are as if never added.
//   3. Nothing in the reserved window is handed out.
//   4. A block is handed out at a multiple of its BlockAlignment.
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_OBJECT_ALLOCATOR_H_
#define PENSTOCK_STORE_OBJECT_ALLOCATOR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "store/shm/size_class.h"

namespace penstock {

class Allocator {
 public:
  struct Extent {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    friend bool operator==(const Extent&, const Extent&) = default;
  };

  // Makes bytes [offset, offset + bytes) available; both multiples of 64.
  void AddExtent(uint64_t offset, uint64_t bytes);
  // The opposite: takes away whole free extents whose ends are multiples of `alignment`, the
  // highest first, as long as `keep_bytes` stay free, and at most so many. AddExtent gives them
  // back.
  std::vector<Extent> TakeFreeExtents(uint64_t alignment, uint64_t keep_bytes,
                                      size_t most_extents = ~size_t{0});

  struct Block {
    uint64_t offset;
    uint64_t bytes;
  };
  // The same where blocks of it are handed out already: `used` lie in it, in rising order.
  void AddUsedExtent(uint64_t offset, uint64_t bytes, std::span<const Block> used);

  // What is free, in rising order, for another allocator. Cost: all stacks are flushed.
  std::vector<Extent> FreeExtents();

  // A block of exactly `block_bytes` (a result of BlockBytes()), or nothing when no free
  // extent has an aligned place for it. Cost: tens of nanoseconds from a stack, else
  // O(log extents).
  std::optional<uint64_t> Allocate(uint64_t block_bytes);

  // Takes a block back. It must be one that Allocate gave with the same size.
  void Free(uint64_t offset, uint64_t block_bytes);

  // Whether blocks that were freed and not merged with their neighbours yet might make a block of
  // this size with them. The next Allocate merges some.
  bool MayMerge(uint64_t block_bytes) const {
    return stacked_bytes_ > 0 && free_bytes_ >= block_bytes;
  }
  // Merges some of them, and those that are freed from here on at once, until OpenStacks. True: all
  // are merged.
  bool CloseStacks();
  void OpenStacks() { stacks_are_closed_ = false; }

  // Keeps [begin, end) from being handed out: what is free in it now, and what is freed in
  // it later. One window at a time. Cost: all stacks are flushed: CloseStacks first.
  void ReserveWindow(uint64_t begin, uint64_t end);
  // Bytes of the window that are free by now. Equal to its length: it is empty.
  uint64_t reserved_bytes() const { return reserved_bytes_; }
  // The window's free bytes may be handed out again, as one extent where it is empty.
  void ReleaseWindow();

  uint64_t total_bytes() const { return total_bytes_; }
  // What Allocate may hand out: without the reserved window.
  uint64_t free_bytes() const { return free_bytes_; }
  // What was added and not taken away, merged: offset -> bytes.
  const absl::btree_map<uint64_t, uint64_t>& ranges() const { return ranges_; }
  uint64_t LongestRange() const;
  // The largest block that a free extent has an aligned place for; stacks apart.
  uint64_t LargestPlace() const;
  // Asserts invariants 1 and 2 (tests and debugging; walks everything).
  void CheckInvariants() const;

 private:
  std::optional<uint64_t> Carve(uint64_t bytes, uint64_t alignment);
  void Cut(Extent extent, uint64_t offset, uint64_t bytes);
  void AddRange(uint64_t offset, uint64_t bytes);
  void Insert(uint64_t offset, uint64_t bytes);
  void Remove(uint64_t offset, uint64_t bytes);
  void FlushStacks();
  bool FlushSome(size_t most);
  void FreeBesideWindow(uint64_t offset, uint64_t block_bytes);

  absl::btree_map<uint64_t, uint64_t> by_offset_;
  absl::btree_set<std::pair<uint64_t, uint64_t>> by_size_;  // bytes, offset
  std::array<std::vector<uint64_t>, kSizeClasses> stacks_;
  uint64_t total_bytes_ = 0;
  uint64_t free_bytes_ = 0;    // in free extents and in stacks
  uint64_t stacked_bytes_ = 0;
  bool stacks_are_closed_ = false;

  absl::btree_map<uint64_t, uint64_t> ranges_;
  // The reserved window; none when window_end_ is 0.
  uint64_t window_begin_ = 0;
  uint64_t window_end_ = 0;
  std::vector<Extent> reserved_;  // its free parts
  uint64_t reserved_bytes_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_ALLOCATOR_H_
