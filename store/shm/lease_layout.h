// The lease table, as pure data: one entry for each slot, in a segment that only the
// daemon writes, with what else its successor must know.
//
// 1. LAYOUT (little endian; LeaseGeometry computes)
//      0        LeaseHeader, 4096 bytes
//      1 MiB    graves: kGraves x 8 bytes (store/object/graveyard.h)
//      2 MiB    extents: kMostExtents x 16 bytes, header.extent_count of them in use
//      4 MiB    capacity x LeaseEntry (64 bytes), entry i belongs to slot i
// 2. WHO WRITES EACH WORD: the daemon alone, plain stores. The operator's tools map the
//    segment read-only and take what they find as a snapshot that may be torn.
//    `session` is stored last when a lease is granted and first when it ends;
//    `extent_count` after the extent that it counts.
// 3. STATES: session != 0 and kind kLease: granted, not sealed. Kind kObject: the block of
//    a sealed object. Kind kNone: the slot has no block.
// 4. SYNC POINTS: none; the grant's completion record is written after its entry.
// 5. INVARIANTS
//      a. An entry is written before the client hears of its lease (Core::TakeLease).
//      b. Blocks of entries with a kind never overlap (Core::CheckInvariants adds them up).
//      c. Every block lies in an extent (Core::CheckInvariants).
// 6. CRASH SAFETY: after the daemon's death slots and this table alone say which bytes are
//    in use; the next daemon rebuilds its allocator from them (Core::Recover), whatever two
//    stores the death fell between. A lease whose grant was never published (`told_at`) is
//    nobody's and returns. A client's death returns its leases.
//    Proof: tests/unit/object/core_{recover,death}_test.cc, tests/crash/.
// 7. TRUST: private to the daemon; a record from a client is compared with it. A successor
//    believes an entry only as far as it fits the arena and no other entry.
// 8. VERSION: kLeaseLayoutVersion, in the header; another one is refused before anything
//    is touched.
// 9. TESTS: tests/unit/object/core_{lease,death,hostile,property,recover}_test.cc,
//    tests/fuzz/{recover,segments}.cc. More of all parts in docs/formats/lease_table.md.
#ifndef PENSTOCK_STORE_SHM_LEASE_LAYOUT_H_
#define PENSTOCK_STORE_SHM_LEASE_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <penstock/object_id.h>

namespace penstock {

inline constexpr uint64_t kLeaseMagic = 0x53414c4b434e5450;  // "PTNCKLAS"
inline constexpr uint32_t kLeaseLayoutVersion = 2;

inline constexpr uint32_t kGraves = 1 << 16;
inline constexpr uint32_t kMostExtents = 1 << 17;

struct LeaseHeader {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t capacity;        // entries
  uint64_t arena_bytes;
  uint64_t incarnation;     // of the store
  uint64_t next_session;    // number of the next session; never given twice
  uint32_t arena_is_hugetlb;
  uint32_t extent_count;
};
static_assert(sizeof(LeaseHeader) == 48 && offsetof(LeaseHeader, extent_count) == 44);

// Bytes of the arena that are populated and in use.
struct ExtentEntry {
  uint64_t offset;
  uint64_t bytes;
};
static_assert(sizeof(ExtentEntry) == 16);

enum class LeaseKind : uint32_t { kNone = 0, kLease = 1, kObject = 2 };

struct LeaseEntry {
  uint64_t offset;       // of the block in the arena
  uint64_t block_bytes;  // a multiple of 64
  uint64_t session;      // number of the session that holds the lease; 0: nobody
  LeaseKind kind;
  int32_t maker_pid;     // of the session's process
  uint64_t told_at;      // position of its grant in the completion ring, or kNotTold
  ObjectId reserved_id;  // that the lease is bound to; nil: none
};
static_assert(sizeof(LeaseEntry) == 64 && offsetof(LeaseEntry, kind) == 24);
static_assert(offsetof(LeaseEntry, told_at) == 32 && offsetof(LeaseEntry, reserved_id) == 40);
static_assert(std::is_trivially_copyable_v<LeaseEntry>);

// Blocks that the store itself fills: an object on its way back from disk. No session has
// this number, so a successor finds them nobody's.
inline constexpr uint64_t kStoreSession = ~uint64_t{0};

// The grant waits outside the ring.
inline constexpr uint64_t kNotTold = ~uint64_t{0};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_LEASE_LAYOUT_H_
