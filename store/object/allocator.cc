// Best fit with merging, and the stacks of recycled blocks. The window and what is taken
// away are in allocator_windows.cc.
#include "store/object/allocator.h"

#include <algorithm>

#include "store/base/check.h"

namespace penstock {
namespace {

// A stack takes at most this many bytes, and this part of the arena, before blocks go back
// to be merged.
constexpr uint64_t kStackLimitBytes = 8 * kMiB;
constexpr uint64_t kStackLimitPart = 1024;
// How much is carved at once for an empty stack: neighbours stay neighbours, and the
// price of a tree search is shared. In a full arena single blocks are carved, which fill the
// small gaps and leave the long ones whole.
constexpr uint64_t kRefillBytes = 64 * kKiB;
constexpr uint64_t kRefillPart = 16384;
constexpr uint64_t kFullPart = 4;  // less than this part is free
constexpr uint64_t kColourBytes = 64;
// Blocks that are merged with their neighbours at once: some 0.1 ms.
constexpr size_t kMostFlushed = 512;

}  // namespace

void Allocator::AddExtent(uint64_t offset, uint64_t bytes) {
  total_bytes_ += bytes;
  free_bytes_ += bytes;
  Insert(offset, bytes);
  AddRange(offset, bytes);
}

void Allocator::AddRange(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  auto next = ranges_.lower_bound(offset);
  if (next != ranges_.end() && offset + bytes == next->first) {
    bytes += next->second;
    next = ranges_.erase(next);
  }
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += bytes;
      return;
    }
  }
  ranges_.emplace(offset, bytes);
}

void Allocator::AddUsedExtent(uint64_t offset, uint64_t bytes, std::span<const Block> used) {
  total_bytes_ += bytes;
  AddRange(offset, bytes);
  uint64_t at = offset;
  const auto add_gap = [&](uint64_t end) {
    if (end == at) return;
    free_bytes_ += end - at;
    Insert(at, end - at);
  };
  for (const Block& block : used) {
    PENSTOCK_CHECK(block.offset >= at && block.offset + block.bytes <= offset + bytes)
        << "block at " << block.offset;
    add_gap(block.offset);
    at = block.offset + block.bytes;
  }
  add_gap(offset + bytes);
}

std::vector<Allocator::Extent> Allocator::FreeExtents() {
  FlushStacks();
  std::vector<Extent> extents;
  for (const auto& [offset, bytes] : by_offset_) extents.push_back({offset, bytes});
  return extents;
}

std::optional<uint64_t> Allocator::Allocate(uint64_t block_bytes) {
  if (IsSmallBlock(block_bytes)) {
    std::vector<uint64_t>& stack = stacks_[SizeClassOf(block_bytes)];
    const uint64_t blocks = std::min(kRefillBytes, total_bytes_ / kRefillPart) / block_bytes;
    const bool is_refilled = stack.empty() && !stacks_are_closed_ && blocks > 1;
    if (is_refilled && free_bytes_ >= total_bytes_ / kFullPart) {
      // Colouring: each run starts a cache line further on than the last one, or the first
      // words of all objects of a size like 1 KiB would share a sixteenth of the cache's
      // sets. The line left out stays a free extent of its own.
      auto run = Carve(blocks * block_bytes + kColourBytes, kColourBytes);
      if (run) {
        Insert(*run, kColourBytes);
        *run += kColourBytes;
      }
      if (run) {
        // Pushed backwards, so that addresses come out in rising order.
        for (uint64_t i = blocks; i-- > 0;) stack.push_back(*run + i * block_bytes);
        stacked_bytes_ += blocks * block_bytes;
      }
    }
    if (!stack.empty()) {
      const uint64_t offset = stack.back();
      stack.pop_back();
      stacked_bytes_ -= block_bytes;
      free_bytes_ -= block_bytes;
      return offset;
    }
  }
  std::optional<uint64_t> offset = Carve(block_bytes, BlockAlignment(block_bytes));
  if (!offset && MayMerge(block_bytes)) {
    FlushSome(kMostFlushed);
    offset = Carve(block_bytes, BlockAlignment(block_bytes));
  }
  if (offset) free_bytes_ -= block_bytes;
  return offset;
}

void Allocator::Free(uint64_t offset, uint64_t block_bytes) {
  if (offset < window_end_ && offset + block_bytes > window_begin_) [[unlikely]] {
    FreeBesideWindow(offset, block_bytes);
    return;
  }
  free_bytes_ += block_bytes;
  if (IsSmallBlock(block_bytes) && !stacks_are_closed_) {
    std::vector<uint64_t>& stack = stacks_[SizeClassOf(block_bytes)];
    if ((stack.size() + 1) * block_bytes <=
        std::min(kStackLimitBytes, total_bytes_ / kStackLimitPart)) {
      stack.push_back(offset);
      stacked_bytes_ += block_bytes;
      return;
    }
  }
  Insert(offset, block_bytes);
}

// From the shortest extent with a place for it. Only extents that are longer by less than the
// alignment can lack one, so few are looked at in vain.
std::optional<uint64_t> Allocator::Carve(uint64_t bytes, uint64_t alignment) {
  for (auto best = by_size_.lower_bound({bytes, 0}); best != by_size_.end(); ++best) {
    const auto [extent_bytes, extent_offset] = *best;
    const uint64_t offset = RoundUp(extent_offset, alignment);
    const uint64_t before = offset - extent_offset;
    if (before + bytes > extent_bytes) continue;
    Cut({extent_offset, extent_bytes}, offset, bytes);
    return offset;
  }
  return std::nullopt;
}

// Takes [offset, offset + bytes) out of the free extent it lies in.
void Allocator::Cut(Extent extent, uint64_t offset, uint64_t bytes) {
  const uint64_t before = offset - extent.offset;
  const uint64_t after = extent.bytes - before - bytes;
  by_size_.erase({extent.bytes, extent.offset});
  by_offset_.erase(extent.offset);
  if (before > 0) {
    by_offset_.emplace(extent.offset, before);
    by_size_.emplace(before, extent.offset);
  }
  if (after > 0) {
    by_offset_.emplace(offset + bytes, after);
    by_size_.emplace(after, offset + bytes);
  }
}

void Allocator::Insert(uint64_t offset, uint64_t bytes) {
  auto next = by_offset_.lower_bound(offset);
  PENSTOCK_CHECK(next == by_offset_.end() || offset + bytes <= next->first)
      << "block at " << offset << " freed twice";
  if (next != by_offset_.end() && offset + bytes == next->first) {
    bytes += next->second;
    by_size_.erase({next->second, next->first});
    next = by_offset_.erase(next);
  }
  if (next != by_offset_.begin()) {
    const auto before = std::prev(next);
    PENSTOCK_CHECK(before->first + before->second <= offset)
        << "block at " << offset << " freed twice";
    if (before->first + before->second == offset) {
      offset = before->first;
      bytes += before->second;
      by_size_.erase({before->second, before->first});
      by_offset_.erase(before);
    }
  }
  by_offset_.emplace(offset, bytes);
  by_size_.emplace(bytes, offset);
}

void Allocator::FlushStacks() {
  while (!FlushSome(~size_t{0})) {
  }
}

bool Allocator::CloseStacks() {
  stacks_are_closed_ = true;
  return FlushSome(kMostFlushed);
}

// The largest blocks first: of them the fewest may be enough. True: none are left.
bool Allocator::FlushSome(size_t most) {
  for (uint32_t i = kSizeClasses; stacked_bytes_ > 0 && i-- > 0;) {
    // The class's block size is recovered from its number once, not kept per block.
    uint64_t block_bytes = 64 * (uint64_t{i} + 1);
    if (i >= 16) {
      const uint64_t octave = (i - 16) / 8;
      const uint64_t start = kKiB << octave;
      block_bytes = start + ((i - 16) % 8 + 1) * (start / 8);
    }
    std::vector<uint64_t>& stack = stacks_[i];
    for (; !stack.empty(); --most) {
      if (most == 0) return false;
      Insert(stack.back(), block_bytes);
      stack.pop_back();
      stacked_bytes_ -= block_bytes;
    }
  }
  return true;
}

}  // namespace penstock
