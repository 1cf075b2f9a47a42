// IndexSegment: typed access to a mapped index, for the daemon and for clients.
#ifndef PENSTOCK_STORE_SHM_INDEX_SEGMENT_H_
#define PENSTOCK_STORE_SHM_INDEX_SEGMENT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "store/shm/slot_layout.h"

namespace penstock {

struct IndexGeometry {
  uint32_t capacity = 0;
  uint32_t bucket_count = 0;
  uint64_t slots_offset = 0;
  uint64_t buckets_offset = 0;
  uint64_t total_bytes = 0;

  // At most a quarter of the bucket words are used when every slot is, since ids come in
  // fours (ObjectId::Hash).
  static IndexGeometry For(uint32_t capacity);
};

// A view; it does not own the mapping. Thread safety: as the words in slot_layout.h.
class IndexSegment {
 public:
  IndexSegment() = default;

  // Daemon: writes the header of a fresh, zeroed segment.
  static IndexSegment Format(std::byte* base, const IndexGeometry& geometry,
                             uint64_t arena_bytes, uint64_t incarnation);

  // Client: checks magic, version and that every table lies inside `bytes`.
  // Errors: FailedPrecondition names both layout versions.
  static absl::StatusOr<IndexSegment> Attach(const std::byte* base, uint64_t bytes);

  IndexHeader& header() const { return *header_; }
  uint32_t capacity() const { return capacity_; }
  Slot& slot(uint32_t index) const { return slots_[index]; }
  uint32_t bucket_mask() const { return bucket_mask_; }
  Bucket& bucket(uint32_t index) const { return buckets_[index]; }

 private:
  IndexSegment(std::byte* base, const IndexHeader& header);

  IndexHeader* header_ = nullptr;
  Slot* slots_ = nullptr;
  Bucket* buckets_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t bucket_mask_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_INDEX_SEGMENT_H_
