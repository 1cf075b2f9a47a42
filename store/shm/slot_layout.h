// The slot table and the hash table of the index segment, as pure data.
//
// 1. LAYOUT (little endian, offsets from the start of the index segment)
//      0        IndexHeader, 4096 bytes
//      slots    at header.slots_offset (a multiple of 2 MiB): capacity x 64 bytes
//      buckets  at header.buckets_offset (a multiple of 2 MiB): bucket_count x 64 bytes,
//               8 words each
//    Nothing here is a pointer. `offset` in a slot counts from the start of the arena.
// 2. WHO WRITES EACH WORD: everything in this segment is written by the daemon alone and
//    mapped read-only by clients.
//      header.parked   exchange seq_cst, clients load seq_cst         SYNC S1
//      header.epoch    store relaxed, clients load relaxed            (a hint for LRU)
//      header.copy_plan store relaxed once, clients load relaxed; any value is harmless, a
//                      client takes kernels that it knows and can run (UseCopyPlan)
//      header.restarts exchange seq_cst, clients load seq_cst after their pin    SYNC S4
//      slot.state      exchange/store seq_cst, clients load seq_cst   SYNC S2, S3
//      slot.<others>   plain stores before the state becomes sealed; read only by those
//                      whose pin the daemon has seen or will see      SYNC S2
//      bucket words    store release, clients load acquire; a hint, verified by S2
// 3. STATES of a slot (low 3 bits of its state word; the daemon takes every edge)
//      free -> leased        granted to a session
//      leased -> sealed      its maker's seal record was accepted
//      leased -> free        given back, or its session died            generation + 1
//      leased -> deleted     its seal was refused; freed when the last pin goes
//      sealed -> evicting    the daemon wants the memory and looks for pins
//      evicting -> sealed    somebody pins it: put back
//      evicting -> free      nobody does                                generation + 1
//      sealed -> deleted     deleted by a client; freed when the last pin goes
//      deleted -> free                                                  generation + 1
//    `wanted` is a flag beside `sealed`: the daemon waits for its last pin or hold.
// 4. SYNC POINTS: S1 parking (parking.h), S2 pin/evict and S3 last release (pin_row.h),
//    S4 hold (Session::TakeHeld and Core::Recover).
// 5. INVARIANTS
//      a. A slot's generation never decreases and never repeats (SlotTable::Free).
//      b. Fields other than the state change only while the state is free or leased
//         (SlotTable::Publish).
//      c. A bucket word names a slot whose id hashes to that bucket, or is zero
//         (HashIndex::Insert).
// 6. CRASH SAFETY: a daemon killed between two stores leaves each slot in one of the
//    states above; its successor brings each to one of them and repairs the bucket words
//    (Core::Recover): tests/unit/object/core_recover_test.cc,
//    tests/integration/daemon_death_test.cc.
// 7. TRUST: written by the daemon, so a client trusts it. A client can never write it: its
//    descriptor is read-only.
// 8. VERSION: kIndexLayoutVersion; any change of a struct here, of ObjectId::Hash or of
//    the bucket rule bumps it. A client refuses another version when it attaches.
// 9. TESTS: tests/unit/shm/{slot_table,hash_index,index_segment,pin_row}_test.cc,
//    tests/model/{s1_parking,s2_pin_evict,s3_last_release}.pml. More of all parts in
//    docs/formats/index.md.
#ifndef PENSTOCK_STORE_SHM_SLOT_LAYOUT_H_
#define PENSTOCK_STORE_SHM_SLOT_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <penstock/internal/slot.h>
#include <penstock/object_id.h>

namespace penstock {

inline constexpr uint64_t kIndexMagic = 0x5844494b434e5450;  // "PTNCKIDX"
inline constexpr uint32_t kIndexLayoutVersion = 3;

enum class SlotState : uint64_t {
  kFree = 0,
  kLeased = 1,
  kSealed = 2,
  kEvicting = 3,
  kDeleted = 4,
};

inline constexpr uint64_t kSlotStateMask = 0x7;
inline constexpr uint64_t kSlotWanted = 0x8;
inline constexpr int kSlotGenerationShift = 16;
inline constexpr uint64_t kSlotGenerationMask = (uint64_t{1} << 48) - 1;

constexpr uint64_t SlotWord(SlotState state, uint64_t generation) {
  return (generation << kSlotGenerationShift) | static_cast<uint64_t>(state);
}
constexpr SlotState StateOf(uint64_t word) {
  return static_cast<SlotState>(word & kSlotStateMask);
}
constexpr uint64_t GenerationOf(uint64_t word) { return word >> kSlotGenerationShift; }
// Sealed and not wanted: a release of it needs no record (SYNC S3).
constexpr bool IsPlainlySealed(uint64_t word) {
  return (word & (kSlotStateMask | kSlotWanted)) == static_cast<uint64_t>(SlotState::kSealed);
}

static_assert(sizeof(Slot) == 64 && alignof(Slot) == 64);
static_assert(offsetof(Slot, id) == 8 && offsetof(Slot, offset) == 32);
static_assert(offsetof(Slot, size) == 40 && offsetof(Slot, metadata_size) == 48);
static_assert(offsetof(Slot, type_tag) == 52 && offsetof(Slot, flags) == 56);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

enum SealFlags : uint32_t {
  kSealEvictable = 1,     // may be dropped when room is needed
  kSealSessionBound = 2,  // is deleted when its maker's session ends
  // Of two that could make room, the one of lower priority does. Neither: normal; no object
  // has both.
  kSealLowPriority = 4,
  kSealHighPriority = 8,
};

inline constexpr uint32_t kPriorities = 3;
// 0 low, 1 normal, 2 high.
constexpr uint32_t PriorityOf(uint32_t seal_flags) {
  if ((seal_flags & kSealHighPriority) != 0) return 2;
  return (seal_flags & kSealLowPriority) != 0 ? 0 : 1;
}

inline constexpr uint32_t kBucketWords = 8;
struct alignas(64) Bucket {
  // 0, or tag << 32 | slot + 1. The tag is the upper half of the id's hash.
  std::atomic<uint64_t> words[kBucketWords];
};
static_assert(sizeof(Bucket) == 64);

struct IndexHeader {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t capacity;        // slots
  uint32_t bucket_count;    // a power of two
  std::atomic<uint32_t> copy_plan;  // kernels for large copies (CopyPlan); 0: not measured
  uint64_t slots_offset;
  uint64_t buckets_offset;
  uint64_t arena_bytes;
  uint64_t incarnation;     // of this store: never the same twice

  alignas(64) std::atomic<uint64_t> parked;  // SYNC S1: number of the daemon's sleep
  uint64_t reserved_b[7];                    // keeps `parked` alone in its line
  alignas(64) std::atomic<uint32_t> epoch;   // counts turns that sealed evictable objects
  std::atomic<uint32_t> restarts;            // of the daemon, in this store
  uint32_t reserved_c[14];
};
static_assert(offsetof(IndexHeader, copy_plan) == 20);
static_assert(offsetof(IndexHeader, parked) == 64);
static_assert(offsetof(IndexHeader, epoch) == 128);
static_assert(sizeof(IndexHeader) == 192);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_SLOT_LAYOUT_H_
