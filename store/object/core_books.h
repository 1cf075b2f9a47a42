// What the core remembers of those who wait, and of those who made objects.
#ifndef PENSTOCK_STORE_OBJECT_CORE_BOOKS_H_
#define PENSTOCK_STORE_OBJECT_CORE_BOOKS_H_

#include <cstdint>

#include <penstock/object_id.h>

#include "store/object/intrusive_slots.h"
#include "store/object/pin_columns.h"
#include "store/object/session.h"
#include "store/shm/session_layout.h"

namespace penstock {

// A session's part in the store, which outlives it as long as its objects do.
struct Maker {
  uint64_t session = 0;
  int32_t pid = 0;
  bool live = false;
  SessionRow row = 0;  // while it lives
  uint64_t objects = 0;
  uint64_t bytes = 0;
};

// For the seal of an id. In the order of ids, and of one id in the order in which they came: so
// one tree holds all, and never has to move many of them at once.
struct Waiter {
  ObjectId id;
  uint64_t ticket;
  SessionRow row = 0;
  uint32_t request = 0;

  friend bool operator<(const Waiter& a, const Waiter& b) {
    return a.id != b.id ? a.id < b.id : a.ticket < b.ticket;
  }
};

// What the waiters of an id are told that came before `until_ticket`: the object in `slot`, which
// is held meanwhile, or `refusal`.
struct Telling {
  ObjectId id;
  uint64_t until_ticket = 0;
  uint32_t slot = kNoSlot;
  Completion refusal{};
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
  uint64_t round;     // that took it; of a sync, the last in which it waited for a lap
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

// Rounds through the rings in sight, by number. A long one takes several turns.
struct Rounds {
  uint64_t begun = 0;         // the last one
  size_t rings_left = 0;      // in it
  bool are_all_taken = true;  // in it: what the rings held
  uint64_t completed = 0;
  uint64_t clean = 0;         // the last one that left nothing in any ring
};

// Looks into rings out of sight, counted on and on; a lap is `rows` of them.
struct Laps {
  uint64_t looked = 0;
  uint64_t ends = 0;  // how far that is to go
  size_t rows = 0;
};

// The pass over those who wait for room behind the first in line, some in each turn.
struct OthersPass {
  uint64_t after = 0;  // the ticket up to which they were tried
  uint64_t refused_bytes = 0;
  bool go_on = false;  // there are more to be tried
  bool again = false;  // room changed since the first was
};

// What is left of this turn's share of long work, and what such work cost.
struct TurnShare {
  size_t eviction_looks_left = 0;
  bool has_more_to_flush = false;  // a block may be in the allocator's stacks
  size_t mark_words_left = kPinWordsInATurn;  // of pins, to be read for deletes
  size_t words_for_a_look = 0;     // at one slot, in the last look
  size_t forgets_left = 0;         // of cancelled requests
  size_t tells_left = 1024;        // answers to those who wait for a seal
};

struct Holder {
  int32_t pid = 0;
  uint64_t bytes = 0;
};

// Who pins most, and who made and leased most, as of the last walk through all rows and makers, or
// of the one that is under way. A walk goes on some steps at a time.
struct TopHolders {
  Holder pins, pins_in_this_walk;
  SessionRow row = 0;         // of which the pins are being counted,
  uint32_t slot = 0;          // from this one on,
  uint64_t row_bytes = 0;     // and so far
  Holder made, made_in_this_walk;
  size_t maker = 0;
  uint64_t turn = 0;          // of the last step
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_CORE_BOOKS_H_
