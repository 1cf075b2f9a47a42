// The process around a core: what the core asks of it, what the core is given when it takes over
// and says then, and the limits that the process sets.
#ifndef PENSTOCK_STORE_OBJECT_CORE_HOST_H_
#define PENSTOCK_STORE_OBJECT_CORE_HOST_H_

#include <cstdint>
#include <string>

#include "store/object/session.h"

namespace penstock {

// What the core asks of the process around it.
class CoreHost {
 public:
  virtual ~CoreHost() = default;
  // Ring this session's doorbell: it is parked and has completions.
  virtual void Wake(SessionRow row) = 0;
  // Somebody waits for room: this session should return leases that it holds ahead of
  // need.
  virtual void AskForLeases(SessionRow row) = 0;
  // Copies bytes within the arena, between ranges that do not overlap. At most
  // kCopiedBytesPerTurn in a turn.
  virtual void CopyBlock(uint64_t from, uint64_t to, uint64_t bytes) = 0;
  // This session pins more than its quota while others wait. It is ended if it goes on.
  virtual void PinQuotaExceeded(SessionRow, uint64_t /*pinned_bytes*/) {}
  // This session broke the protocol; tell it why. Its process stays a pin holder until
  // CloseSession.
  virtual void SessionBroken(SessionRow row, const std::string& why) = 0;
};

// A session as the keeper kept it while there was no daemon.
struct KeptSession {
  SessionSegments segments;
  uint64_t number = 0;
  int32_t pid = 0;
  SessionRole role = SessionRole::kReadWrite;
};

// What a successor found.
struct RecoveryReport {
  uint64_t objects = 0;          // kept
  uint64_t leases = 0;           // kept
  uint64_t leases_returned = 0;  // granted, and never heard of by their client
  uint64_t frees_finished = 0;   // that the death interrupted
  uint64_t dropped = 0;          // slots that said what cannot be
};

struct CoreLimits {
  uint32_t max_sessions = 4096;
  uint32_t max_requests_per_session = 65536;
  uint32_t max_leases_per_request = 2048;
  // Of one ring in a turn: some 20 us.
  uint32_t most_records_at_once = 128;
  // Of all rings together in a turn.
  uint64_t most_records_in_turn = 1024;
  // Of long work of each kind in a turn, in steps of some 0.3 us, 1 us where nothing is in the
  // caches: what a session leaves behind, answers to those who wait for one id, creators that are
  // served.
  size_t most_steps_in_turn = 128;
  // Rings that stay in sight though nothing comes (core_watch.cc): some 3 us of an empty turn.
  uint32_t most_idle_watched = 64;
  // At an empty ring, by all watched ones together, before it is let out of sight.
  uint64_t most_empty_looks = 65536;
  // Threads of one client that wait for room: each asks for one block at a time.
  uint32_t max_room_waits_per_session = 4096;
  uint64_t max_event_backlog = 65536;
  // Of one session; 0: no quota. What it made and has leased, and what it pins.
  uint64_t client_quota_bytes = 0;
  uint64_t pin_quota_bytes = 0;
  int64_t pin_quota_grace_ms = 2000;
  // What of the arena is not populated comes when it is wanted (MemoryWanted), and free extents
  // may go to the host (TakeFreeExtents).
  bool memory_comes_back = false;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_CORE_HOST_H_
