// Allocator: the reserved window, extents that are taken away, and its own check.
#include <algorithm>

#include "store/base/check.h"
#include "store/object/allocator.h"

namespace penstock {

// Takes [offset, offset + bytes), which lies in one free extent, out of the trees.
void Allocator::Remove(uint64_t offset, uint64_t bytes) {
  const auto extent = std::prev(by_offset_.upper_bound(offset));
  const auto [extent_offset, extent_bytes] = *extent;
  PENSTOCK_CHECK(offset - extent_offset + bytes <= extent_bytes)
      << "no free extent at " << offset;
  Cut({extent_offset, extent_bytes}, offset, bytes);
}

void Allocator::ReserveWindow(uint64_t begin, uint64_t end) {
  PENSTOCK_CHECK(window_end_ == 0 && begin < end) << "a second window at " << begin;
  FlushStacks();
  window_begin_ = begin;
  window_end_ = end;
  auto extent = by_offset_.upper_bound(begin);
  if (extent != by_offset_.begin()) --extent;
  for (; extent != by_offset_.end() && extent->first < end; ++extent) {
    const uint64_t from = std::max(begin, extent->first);
    const uint64_t to = std::min(end, extent->first + extent->second);
    if (from < to) reserved_.push_back({from, to - from});
  }
  for (const Extent& part : reserved_) {
    Remove(part.offset, part.bytes);
    free_bytes_ -= part.bytes;
    reserved_bytes_ += part.bytes;
  }
}

// A block that lies in the window, or reaches over one of its ends.
void Allocator::FreeBesideWindow(uint64_t offset, uint64_t block_bytes) {
  const uint64_t end = offset + block_bytes;
  const uint64_t from = std::max(offset, window_begin_);
  const uint64_t to = std::min(end, window_end_);
  reserved_.push_back({from, to - from});
  reserved_bytes_ += to - from;
  if (offset < from) Insert(offset, from - offset);
  if (to < end) Insert(to, end - to);
  free_bytes_ += block_bytes - (to - from);
}

void Allocator::ReleaseWindow() {
  window_begin_ = 0;
  window_end_ = 0;
  for (const Extent& part : reserved_) Insert(part.offset, part.bytes);
  free_bytes_ += reserved_bytes_;
  reserved_bytes_ = 0;
  reserved_.clear();
}

uint64_t Allocator::LargestPlace() const {
  constexpr uint64_t kPage = BlockAlignment(kSmallBlockBytes + 1);
  uint64_t largest = 0;
  // From the longest down: one that is shorter than a place found has no longer one.
  for (auto extent = by_size_.rbegin(); extent != by_size_.rend(); ++extent) {
    const auto [bytes, offset] = *extent;
    if (bytes <= largest) break;
    const uint64_t before = RoundUp(offset, kPage) - offset;
    const uint64_t aligned = bytes > before ? (bytes - before) / kPage * kPage : 0;
    largest = std::max({largest, aligned, std::min(bytes, kSmallBlockBytes)});
  }
  return largest;
}

uint64_t Allocator::LongestRange() const {
  uint64_t longest = 0;
  for (const auto& range : ranges_) longest = std::max(longest, range.second);
  return longest;
}

std::vector<Allocator::Extent> Allocator::TakeFreeExtents(uint64_t alignment,
                                                          uint64_t keep_bytes,
                                                          size_t most_extents) {
  FlushStacks();
  std::vector<Extent> taken;
  uint64_t left = free_bytes_;
  for (auto extent = by_offset_.rbegin(); extent != by_offset_.rend(); ++extent) {
    if (left < keep_bytes + alignment || taken.size() == most_extents) break;
    const uint64_t end = (extent->first + extent->second) / alignment * alignment;
    const uint64_t begin = (extent->first + alignment - 1) / alignment * alignment;
    if (begin >= end) continue;
    const uint64_t bytes =
        std::min(end - begin, (left - keep_bytes) / alignment * alignment);
    taken.push_back({end - bytes, bytes});
    left -= bytes;
  }
  for (const Extent& extent : taken) {
    Remove(extent.offset, extent.bytes);
    free_bytes_ -= extent.bytes;
    total_bytes_ -= extent.bytes;
    const auto range = std::prev(ranges_.upper_bound(extent.offset));
    const uint64_t range_end = range->first + range->second;
    const uint64_t end = extent.offset + extent.bytes;
    range->second = extent.offset - range->first;
    if (range->second == 0) ranges_.erase(range);
    if (end < range_end) ranges_.emplace(end, range_end - end);
  }
  return taken;
}

void Allocator::CheckInvariants() const {
  uint64_t sum = 0;
  uint64_t last_end = 0;
  bool first = true;
  for (const auto& [offset, bytes] : by_offset_) {
    PENSTOCK_CHECK(bytes > 0 && (first || offset > last_end))
        << "free extents touch or overlap at " << offset;
    PENSTOCK_CHECK(by_size_.contains({bytes, offset})) << "extent " << offset;
    PENSTOCK_CHECK(offset >= window_end_ || offset + bytes <= window_begin_)
        << "extent " << offset << " lies in the reserved window";
    auto range = ranges_.upper_bound(offset);
    PENSTOCK_CHECK(range != ranges_.begin() &&
                   offset + bytes <= std::prev(range)->first + std::prev(range)->second)
        << "extent " << offset << " was not added";
    sum += bytes;
    last_end = offset + bytes;
    first = false;
  }
  PENSTOCK_CHECK(by_size_.size() == by_offset_.size()) << "the two trees differ";
  PENSTOCK_CHECK(sum + stacked_bytes_ == free_bytes_)
      << sum << " + " << stacked_bytes_ << " != " << free_bytes_;
  uint64_t reserved = 0;
  for (const Extent& part : reserved_) reserved += part.bytes;
  PENSTOCK_CHECK(reserved == reserved_bytes_ &&
                 reserved <= window_end_ - window_begin_)
      << reserved << " reserved, " << reserved_bytes_ << " counted";
  uint64_t added = 0;
  for (const auto& [offset, bytes] : ranges_) added += bytes;
  PENSTOCK_CHECK(added == total_bytes_) << added << " != " << total_bytes_;
}

}  // namespace penstock
