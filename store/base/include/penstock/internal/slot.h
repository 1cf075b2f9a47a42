// Slot: one line of the index, what the daemon says of an object. Not for users: views read
// it where they are made, without a call. Its states, orders and asserts stand in
// store/shm/slot_layout.h.
#ifndef PENSTOCK_INTERNAL_SLOT_H_
#define PENSTOCK_INTERNAL_SLOT_H_

#include <atomic>
#include <cstdint>

#include <penstock/object_id.h>

namespace penstock {

struct alignas(64) Slot {
  std::atomic<uint64_t> state;  // generation << 16 | flags | SlotState
  ObjectId id;
  uint64_t offset;              // of the payload in the arena, a multiple of 64
  uint64_t size;                // payload bytes; metadata follows at the next 8 bytes
  uint32_t metadata_size;
  uint32_t type_tag;
  uint32_t flags;               // SealFlags
  uint32_t reserved;            // zero; rounds the slot to one cache line
};

inline constexpr uint64_t MetadataOffset(uint64_t payload_size) {
  return (payload_size + 7) / 8 * 8;
}

}  // namespace penstock

#endif  // PENSTOCK_INTERNAL_SLOT_H_
