// What the core remembers of those who wait, and of those who made objects.
#ifndef PENSTOCK_STORE_OBJECT_CORE_BOOKS_H_
#define PENSTOCK_STORE_OBJECT_CORE_BOOKS_H_

#include <cstdint>

#include <penstock/object_id.h>

#include "store/object/session.h"
#include "store/shm/session_layout.h"

namespace penstock {

// A session's part in the store, which outlives it as long as its objects do.
struct Maker {
  uint64_t session = 0;
  int32_t pid = 0;
  bool live = false;
  uint64_t objects = 0;
  uint64_t bytes = 0;
};

// For the seal of an id.
struct Waiter {
  SessionRow row;
  uint32_t request;
};

struct RoomWaiter {
  SessionRow row;
  uint64_t session;
  uint32_t request;
  uint64_t block_bytes;
  bool reserve;
  ObjectId id;
  uint64_t ticket;
};

// For what other rings hold.
struct Deferred {
  SessionRow row;
  uint64_t session;
  Submission record;
  uint64_t turn;      // that took it; of a sync, the last in which it waited for a lap
  uint64_t lap_ends;  // Core::LapFromHere, of a sync
};

// Cancelled before all was looked at that may make room for it.
struct LateCancel {
  SessionRow row;
  uint64_t session;
  uint32_t request;
  uint64_t until_turn;
  uint64_t lap_ends;
};

// Who pins most, as of some turns ago.
struct TopPinner {
  bool is_known = false;
  int32_t pid = 0;
  uint64_t bytes = 0;
  uint64_t turn = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_CORE_BOOKS_H_
