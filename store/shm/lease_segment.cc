// Formatting and taking over of the lease table.
#include "store/shm/lease_segment.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <span>

#include <fmt/format.h>

#include "store/base/check.h"
#include "store/shm/session_layout.h"

namespace penstock {

LeaseSegment::LeaseSegment(std::byte* base)
    : header_(reinterpret_cast<LeaseHeader*>(base)),
      graves_(reinterpret_cast<uint64_t*>(base + LeaseGeometry::kGravesOffset)),
      extents_(reinterpret_cast<ExtentEntry*>(base + LeaseGeometry::kExtentsOffset)),
      entries_(reinterpret_cast<LeaseEntry*>(base + LeaseGeometry::kEntriesOffset)) {}

LeaseSegment LeaseSegment::Format(std::byte* base, uint32_t capacity, uint64_t arena_bytes,
                                  uint64_t incarnation) {
  auto* const header = new (base) LeaseHeader{};
  header->layout_version = kLeaseLayoutVersion;
  header->capacity = capacity;
  header->arena_bytes = arena_bytes;
  header->incarnation = incarnation;
  header->next_session = 1;
  header->magic = kLeaseMagic;
  return LeaseSegment(base);
}

absl::StatusOr<LeaseSegment> LeaseSegment::Attach(std::byte* base, uint64_t bytes) {
  const auto& header = *reinterpret_cast<const LeaseHeader*>(base);
  if (bytes < LeaseGeometry::kEntriesOffset || header.magic != kLeaseMagic) {
    return absl::InvalidArgumentError("the memory kept is no lease table of Penstock");
  }
  if (header.layout_version != kLeaseLayoutVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "the lease table kept has layout version {}, this daemon knows version {}: go on with "
        "the release that made it", header.layout_version, kLeaseLayoutVersion));
  }
  if (header.capacity == 0 || header.capacity > kMaxSlots ||
      bytes < LeaseGeometry::TotalBytes(header.capacity) ||
      header.extent_count > kMostExtents || header.arena_bytes > kMaxArenaBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "the lease table kept speaks of {} slots and {} extents in {} bytes, which cannot be",
        header.capacity, header.extent_count, bytes));
  }
  return LeaseSegment(base);
}

void LeaseSegment::AddExtent(uint64_t offset, uint64_t bytes) {
  ExtentEntry* before = nullptr;  // ends where the new one begins
  ExtentEntry* after = nullptr;   // begins where it ends
  ExtentEntry* unused = nullptr;
  for (ExtentEntry& entry : std::span(extents_, header_->extent_count)) {
    if (entry.bytes == 0) {
      unused = &entry;
    } else if (entry.offset + entry.bytes == offset) {
      before = &entry;
    } else if (entry.offset == offset + bytes) {
      after = &entry;
    }
  }
  const uint64_t grown_bytes = bytes + (after != nullptr ? after->bytes : 0);
  if (before != nullptr) {
    before->bytes += grown_bytes;
  } else if (unused != nullptr) {
    unused->offset = offset;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    unused->bytes = grown_bytes;
  } else {
    PENSTOCK_CHECK(header_->extent_count < kMostExtents) << "extent at " << offset;
    extents_[header_->extent_count] = {offset, grown_bytes};
    std::atomic_signal_fence(std::memory_order_seq_cst);
    ++header_->extent_count;
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (after != nullptr) after->bytes = 0;
}

void LeaseSegment::RemoveExtent(uint64_t offset, uint64_t bytes) {
  const uint64_t end = offset + bytes;
  uint64_t removed_bytes = 0;
  for (uint32_t i = 0; i < header_->extent_count; ++i) {
    ExtentEntry& entry = extents_[i];
    const uint64_t entry_end = entry.offset + entry.bytes;
    const uint64_t from = std::max(offset, entry.offset);
    const uint64_t to = std::min(end, entry_end);
    if (from >= to) continue;
    // What lies above it first: no byte in use is ever in no extent.
    if (to < entry_end) AddExtent(to, entry_end - to);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    entry.bytes = from - entry.offset;
    removed_bytes += to - from;
  }
  // More where a death left two that overlap.
  PENSTOCK_CHECK(removed_bytes >= bytes) << "no extent at " << offset;
}

}  // namespace penstock
