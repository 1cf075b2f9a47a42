// The lease table, as pure data: one entry for each slot, in a segment that only the
// daemon maps.
//
// 1. LAYOUT (little endian): capacity x LeaseEntry (32 bytes), entry i belongs to slot i.
// 2. WHO WRITES EACH WORD: the daemon alone, plain stores; nobody else reads it.
//    `session` is stored last when a lease is granted and first when it ends.
// 3. STATES: session != 0 and kind kLease: granted, not sealed. Kind kObject: the block of
//    a sealed object. Kind kNone: the slot has no block.
// 4. SYNC POINTS: none; the grant's completion record is written after its entry.
// 5. INVARIANTS
//      a. An entry is written before the client hears of its lease (Core::TakeLease).
//      b. Blocks of entries with a kind never overlap (Core::CheckInvariants adds them up).
// 6. CRASH SAFETY: after the daemon's death slots and this table alone say which bytes are
//    in use; the allocator keeps nothing else. Until the daemon keeps its store across a
//    restart, a new daemon starts with a new table. A client's death returns its leases:
//    tests/unit/object/core_death_test.cc.
// 7. TRUST: private to the daemon; a record from a client is compared with it.
// 8. VERSION: kLeaseLayoutVersion.
// 9. TESTS: tests/unit/object/core_{lease,death,hostile,property}_test.cc. More of all
//    parts in docs/formats/lease_table.md.
#ifndef PENSTOCK_STORE_SHM_LEASE_LAYOUT_H_
#define PENSTOCK_STORE_SHM_LEASE_LAYOUT_H_

#include <cstddef>
#include <cstdint>

namespace penstock {

inline constexpr uint32_t kLeaseLayoutVersion = 1;

enum class LeaseKind : uint32_t { kNone = 0, kLease = 1, kObject = 2 };

struct LeaseEntry {
  uint64_t offset;       // of the block in the arena
  uint64_t block_bytes;  // a multiple of 64
  uint64_t session;      // number of the session that holds the lease; 0: nobody
  LeaseKind kind;
  uint32_t reserved;     // zero
};
static_assert(sizeof(LeaseEntry) == 32 && offsetof(LeaseEntry, kind) == 24);

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_LEASE_LAYOUT_H_
