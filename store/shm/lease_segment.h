// LeaseSegment: typed access to a mapped lease table, for a daemon and its successor.
#ifndef PENSTOCK_STORE_SHM_LEASE_SEGMENT_H_
#define PENSTOCK_STORE_SHM_LEASE_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "store/base/units.h"
#include "store/shm/lease_layout.h"

namespace penstock {

struct LeaseGeometry {
  static constexpr uint64_t kGravesOffset = 1 * kMiB;
  static constexpr uint64_t kExtentsOffset = 2 * kMiB;
  static constexpr uint64_t kEntriesOffset = 4 * kMiB;
  static constexpr uint64_t TotalBytes(uint32_t capacity) {
    return kEntriesOffset + RoundUp(uint64_t{capacity} * sizeof(LeaseEntry), kHugePageBytes);
  }
};
static_assert(kGraves * sizeof(uint64_t) <= 1 * kMiB);
static_assert(kMostExtents * sizeof(ExtentEntry) <= 2 * kMiB);

// A view; it does not own the mapping. Thread safety: one thread.
class LeaseSegment {
 public:
  LeaseSegment() = default;

  // Writes the header of a fresh, zeroed segment.
  static LeaseSegment Format(std::byte* base, uint32_t capacity, uint64_t arena_bytes,
                             uint64_t incarnation);

  // Takes over the segment of a daemon that died. Errors: FailedPrecondition names both
  // layout versions; InvalidArgument when it is none, or says what cannot be.
  static absl::StatusOr<LeaseSegment> Attach(std::byte* base, uint64_t bytes);

  LeaseHeader& header() const { return *header_; }
  LeaseEntry& operator[](uint32_t slot) const { return entries_[slot]; }
  LeaseEntry* entry(uint32_t slot) const { return &entries_[slot]; }
  std::span<uint64_t> graves() const { return {graves_, kGraves}; }
  std::span<const ExtentEntry> extents() const { return {extents_, header_->extent_count}; }

  // Remembers that these bytes are in use. Extents that touch become one; should the daemon die
  // in the middle, its successor finds two that overlap. Cost: a look at each extent.
  void AddExtent(uint64_t offset, uint64_t bytes);
  // They are not any more. The same holds.
  void RemoveExtent(uint64_t offset, uint64_t bytes);
  // At least so many extents can be added.
  uint32_t SpareExtents() const { return kMostExtents - header_->extent_count; }

 private:
  explicit LeaseSegment(std::byte* base);

  LeaseHeader* header_ = nullptr;
  uint64_t* graves_ = nullptr;
  ExtentEntry* extents_ = nullptr;
  LeaseEntry* entries_ = nullptr;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_LEASE_SEGMENT_H_
