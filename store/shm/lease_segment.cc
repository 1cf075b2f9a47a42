// Formatting and taking over of the lease table.
#include "store/shm/lease_segment.h"

#include <new>

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
  const uint32_t count = header_->extent_count;
  if (count > 0) {
    ExtentEntry& last = extents_[count - 1];
    if (last.offset + last.bytes == offset) {
      last.bytes += bytes;
      return;
    }
  }
  PENSTOCK_CHECK(count < kMostExtents) << "extent at " << offset;
  extents_[count] = {offset, bytes};
  header_->extent_count = count + 1;
}

}  // namespace penstock
