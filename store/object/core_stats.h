// Counters of the core, for `penstock status` and for tests.
#ifndef PENSTOCK_STORE_OBJECT_CORE_STATS_H_
#define PENSTOCK_STORE_OBJECT_CORE_STATS_H_

#include <array>
#include <cstdint>

#include "store/shm/slot_layout.h"

namespace penstock {

struct CoreStats {
  // Now.
  uint64_t arena_bytes = 0;      // size of the arena
  uint64_t ready_bytes = 0;      // of it populated and given to the allocator
  uint64_t free_bytes = 0;       // of those, in no block
  uint64_t object_bytes = 0;     // in blocks of sealed (or deleted and pinned) objects
  uint64_t leased_bytes = 0;     // in blocks leased and not sealed
  uint64_t evictable_bytes = 0;  // of object_bytes, what may be dropped
  uint64_t objects = 0;
  std::array<uint64_t, kPriorities> objects_of = {};  // the same by priority, low first
  uint64_t leases = 0;
  uint64_t doomed = 0;           // deleted objects that somebody still pins
  uint64_t sessions = 0;
  uint64_t slots = 0;
  uint64_t room_waiters = 0;
  uint64_t get_waiters = 0;
  uint64_t spilled_objects = 0;  // on disk only
  uint64_t clean_bytes = 0;      // of object_bytes, what is on disk too
  uint64_t writing_bytes = 0;    // on their way to disk
  uint64_t restoring = 0;        // objects that somebody waits for to come back
  uint64_t spill_trouble = 0;    // SpillTrouble of the last write; 0: none
  // Since the start.
  uint64_t sealed = 0;
  uint64_t deleted = 0;
  uint64_t evicted = 0;
  uint64_t eviction_looks = 0;  // at candidates, those that were evicted among them
  uint64_t freed = 0;
  uint64_t refused_full = 0;
  uint64_t compactions = 0;      // windows emptied
  uint64_t given_up = 0;         // windows left as they were: pinned, or nobody's any more
  uint64_t moved_objects = 0;
  uint64_t moved_bytes = 0;      // of their blocks
  uint64_t broken_sessions = 0;
  uint64_t spill_written = 0;    // objects written to disk
  uint64_t spilled = 0;          // objects whose memory was freed for others
  uint64_t restored = 0;
  uint64_t spill_failed_writes = 0;
  uint64_t spill_failed_reads = 0;
  uint64_t turns = 0;
  uint64_t records = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_CORE_STATS_H_
