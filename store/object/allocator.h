// Allocator: which bytes of the arena are free. Best fit over free extents, with a stack
// of recycled blocks in front for each small size class.
//
// Everything here is the daemon's private memory and can be rebuilt from the lease table.
//
// Invariants
//   1. Free extents are disjoint, never touch each other (they are merged), and lie in
//      extents that were added.
//   2. Every byte added is in a free extent, in a class stack, or handed out, once.
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_OBJECT_ALLOCATOR_H_
#define PENSTOCK_STORE_OBJECT_ALLOCATOR_H_

#include <array>
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
  // Makes bytes [offset, offset + bytes) available; both multiples of 64.
  void AddExtent(uint64_t offset, uint64_t bytes);

  struct Block {
    uint64_t offset;
    uint64_t bytes;
  };
  // The same where blocks of it are handed out already: `used` lie in it, in rising order.
  void AddUsedExtent(uint64_t offset, uint64_t bytes, std::span<const Block> used);

  // A block of exactly `block_bytes` (a result of BlockBytes()), or nothing when no free
  // extent is long enough. Cost: tens of nanoseconds from a stack, else O(log extents).
  std::optional<uint64_t> Allocate(uint64_t block_bytes);

  // Takes a block back. It must be one that Allocate gave with the same size.
  void Free(uint64_t offset, uint64_t block_bytes);

  uint64_t total_bytes() const { return total_bytes_; }
  uint64_t free_bytes() const { return free_bytes_; }
  uint64_t largest_free_extent() const {
    return by_size_.empty() ? 0 : by_size_.rbegin()->first;
  }
  // Asserts invariants 1 and 2 (tests and debugging; walks everything).
  void CheckInvariants() const;

 private:
  std::optional<uint64_t> Carve(uint64_t bytes);
  void Insert(uint64_t offset, uint64_t bytes);
  void FlushStacks();

  absl::btree_map<uint64_t, uint64_t> by_offset_;
  absl::btree_set<std::pair<uint64_t, uint64_t>> by_size_;  // bytes, offset
  std::array<std::vector<uint64_t>, kSizeClasses> stacks_;
  uint64_t total_bytes_ = 0;
  uint64_t free_bytes_ = 0;    // in free extents and in stacks
  uint64_t stacked_bytes_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_ALLOCATOR_H_
