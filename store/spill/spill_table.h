// SpillTable: the named operations on the words of spill_layout.h. A view; copies are the
// same table. Thread safety: End and Visit from the daemon's thread, Publish, Move and Free
// from the spill thread, the rest from both.
#ifndef PENSTOCK_STORE_SPILL_SPILL_TABLE_H_
#define PENSTOCK_STORE_SPILL_SPILL_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "store/spill/spill_layout.h"
#include "store/spill/spill_types.h"

namespace penstock {

// What an entry says of its record.
struct SpillFacts {
  SpilledObject object;
  uint64_t stored_bytes = 0;
  uint64_t checksum = 0;
};

class SpillTable {
 public:
  SpillTable() = default;

  static uint64_t BytesFor(uint32_t capacity) {
    return sizeof(SpillTableHeader) + uint64_t{capacity} * sizeof(SpillEntry);
  }
  // A new table in zeroed memory of BytesFor(capacity) bytes, 64-byte aligned, which
  // outlives the view. capacity: 1 to 2^31.
  static SpillTable Make(std::byte* memory, uint32_t capacity, uint64_t incarnation);
  // An earlier daemon's. FailedPrecondition for another version or what is no table.
  static absl::StatusOr<SpillTable> Attach(std::byte* memory, uint64_t bytes);

  uint32_t capacity() const { return header_->capacity; }
  uint64_t incarnation() const { return header_->incarnation; }
  uint32_t next_file() const { return header_->next_file; }
  void set_next_file(uint32_t number) { header_->next_file = number; }

  // Entries below it may be live; those from it on never were.
  SpillHandle used() const { return header_->used.load(std::memory_order_acquire); }

  bool IsLive(SpillHandle handle) const;
  SpillPlace Place(SpillHandle handle) const;
  // Of an entry that is live, or was when the caller's operation began.
  SpillFacts Facts(SpillHandle handle) const;

  // free -> live; the state is the last store.
  void Publish(SpillHandle handle, const SpillFacts& facts, SpillPlace place);
  // The one store by which an object moves.
  void Move(SpillHandle handle, SpillPlace to);
  // live -> ended; the first store of a drop.
  void End(SpillHandle handle);
  // ended -> free.
  void Free(SpillHandle handle);

  // Every live entry, in order. Cost: one cache line for each entry below used().
  void Visit(const std::function<void(SpillHandle, const SpillFacts&)>& visit) const;

 private:
  SpillTable(std::byte* memory);
  SpillEntry& At(SpillHandle handle) const;

  SpillTableHeader* header_ = nullptr;
  SpillEntry* entries_ = nullptr;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_TABLE_H_
