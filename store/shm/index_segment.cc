// Formatting and attaching of the index segment.
#include "store/shm/index_segment.h"

#include <algorithm>
#include <bit>
#include <new>

#include <fmt/format.h>
#include "store/base/units.h"

namespace penstock {

IndexGeometry IndexGeometry::For(uint32_t capacity) {
  IndexGeometry geometry;
  geometry.capacity = capacity;
  geometry.bucket_count = std::bit_ceil(std::max(capacity / 2, 2u));
  geometry.slots_offset = kHugePageBytes;
  geometry.buckets_offset = geometry.slots_offset +
                            RoundUp(uint64_t{capacity} * sizeof(Slot), kHugePageBytes);
  geometry.total_bytes =
      geometry.buckets_offset +
      RoundUp(uint64_t{geometry.bucket_count} * sizeof(Bucket), kHugePageBytes);
  return geometry;
}

IndexSegment::IndexSegment(std::byte* base, const IndexHeader& header)
    : header_(reinterpret_cast<IndexHeader*>(base)),
      slots_(reinterpret_cast<Slot*>(base + header.slots_offset)),
      buckets_(reinterpret_cast<Bucket*>(base + header.buckets_offset)),
      capacity_(header.capacity),
      bucket_mask_(header.bucket_count - 1) {}

IndexSegment IndexSegment::Format(std::byte* base, const IndexGeometry& geometry,
                                  uint64_t arena_bytes, uint64_t incarnation) {
  auto* header = new (base) IndexHeader{};
  header->layout_version = kIndexLayoutVersion;
  header->capacity = geometry.capacity;
  header->bucket_count = geometry.bucket_count;
  header->slots_offset = geometry.slots_offset;
  header->buckets_offset = geometry.buckets_offset;
  header->arena_bytes = arena_bytes;
  header->incarnation = incarnation;
  header->epoch.store(1, std::memory_order_relaxed);
  header->magic = kIndexMagic;
  // A zeroed segment is a valid table of free slots of generation 0 and empty buckets.
  return IndexSegment(base, *header);
}

absl::StatusOr<IndexSegment> IndexSegment::Attach(const std::byte* base, uint64_t bytes) {
  if (bytes < sizeof(IndexHeader)) {
    return absl::InvalidArgumentError("the index is smaller than its header");
  }
  const auto& header = *reinterpret_cast<const IndexHeader*>(base);
  if (header.magic != kIndexMagic) {
    return absl::InvalidArgumentError(
        "the memory received is no Penstock index: something else answers on this socket");
  }
  if (header.layout_version != kIndexLayoutVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "the daemon's index has layout version {}, this library knows version {}: use the "
        "same release of Penstock for both", header.layout_version, kIndexLayoutVersion));
  }
  const IndexGeometry expected = IndexGeometry::For(header.capacity);
  if (header.slots_offset != expected.slots_offset ||
      header.buckets_offset != expected.buckets_offset ||
      header.bucket_count != expected.bucket_count || bytes < expected.total_bytes) {
    return absl::InvalidArgumentError(
        fmt::format("the index has {} bytes, a table of {} slots needs {} in the usual places",
                    bytes, header.capacity, expected.total_bytes));
  }
  // The mapping is read-only; const_cast only shares the accessors with the daemon.
  return IndexSegment(const_cast<std::byte*>(base), header);
}

}  // namespace penstock
