// What the daemon's core keeps of one session.
#ifndef PENSTOCK_STORE_OBJECT_SESSION_H_
#define PENSTOCK_STORE_OBJECT_SESSION_H_

#include <cstdint>
#include <deque>
#include <string>

#include "store/object/intrusive_slots.h"
#include "store/object/pool_allocator.h"
#include "store/shm/parking.h"
#include "store/shm/session_segment.h"

namespace penstock {

// A session's place in the core; reused after the session's end.
using SessionRow = uint32_t;

// What a session may do. One that reads only gets, looks, lists and subscribes; a record of
// it that would change the store is a breach, for its library never sends one.
enum class SessionRole : uint8_t { kReadWrite, kReadOnly };

// A request that waits for its answer.
struct PendingRequest {
  // kDeferred: a get, contains or delete that waits for what the other rings hold.
  enum class Kind { kDeferred, kGet, kRoom } kind;
  ObjectId id;  // what was asked for, or is to be reserved
  uint64_t ticket = 0;  // of a wait for a seal or for room: its own, also of two with one number
  bool is_cancelled = false;  // of a wait for room, by its asker
};

struct CoreSession {
  uint64_t number = 0;  // part of the ids it makes; never reused
  int32_t pid = 0;
  SessionRole role = SessionRole::kReadWrite;
  SessionSegments segments;
  SubmissionConsumer submissions;
  CompletionProducer completions;
  PinRowReader pins;
  RingMemory rings;

  bool open = false;
  // Taken over from a daemon that died. What its client goes on saying of holds and requests
  // of that time is no breach.
  bool kept = false;
  uint64_t replay_until = 0;  // records before this position may have been handled by it
  bool broken = false;      // broke the protocol: revoked, not read any more
  bool asked_for_leases = false;
  bool unpublished = false; // completions written in this turn
  bool is_watched = false;  // its ring is in sight (core_watch.cc)
  uint64_t worked_at = 0;   // the last turn that found anything in its ring
  std::string broken_why;

  uint32_t maker = 0;
  SlotList leases;
  SlotList bound_objects;
  uint64_t leased_bytes = 0;
  int64_t over_pin_quota_since_ms = 0;  // 0: it is not
  uint64_t pinned_bytes = 0;  // as of the last time that they were counted (core_quota.cc)
  uint32_t room_waits = 0;
  uint32_t subscriptions = 0;

  // Completions without room in the ring, in order.
  std::deque<Completion, PoolAllocator<Completion>> backlog;
  uint64_t backlog_events = 0;
  uint64_t events_lost = 0;
  // By number. A tree: it never has to move all of them at once while others wait.
  PooledMap<uint32_t, PendingRequest> requests;
  PooledMap<uint32_t, uint32_t> holds;  // slot -> answers not confirmed yet
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_SESSION_H_
