/* SYNC S3 last release: the daemon sleeps until the last pin goes, and is told.
 *
 * PROTOCOL
 *   Reader, at every release, also of a pin that S2 refused: decrements its own pin word;
 *   full fence; reads the slot; if that is anything but plainly sealed (evicting, deleted,
 *   wanted, free), pushes a release record and rings the daemon as in S1.
 *   Daemon, delete: marks the slot deleted; full fence; reads the pins; not pinned: frees
 *   it; pinned: sleeps until a release record comes, and reads them again.
 *   Daemon, wants the memory: marks the slot wanted (readers may still pin it); full fence;
 *   reads the pins; pinned: sleeps until a release record comes. Then S2: marks it evicting;
 *   full fence; reads the pins; not pinned: frees it; pinned: puts it back, and starts again
 *   with wanted.
 *   C++: pin.fetch_sub(1, seq_cst), state.load(seq_cst); state.exchange(deleted or wanted,
 *   seq_cst), pin.load(seq_cst). The fence is the fetch_sub or the exchange itself. Sleeping
 *   and ringing are S1's, in full (parking.pml).
 *
 * PROPERTY
 *   When all readers are done, the daemon does not sleep on: the slot is freed (never_freed).
 *   It is not freed while somebody holds a validated pin (freed_while_pinned).
 *
 * MUTATIONS, each of which must fail with never_freed
 *   -DNO_READER_FENCE   the decrement is a plain store: the slot is read before it arrives
 *   -DNO_DAEMON_FENCE   the marks deleted and wanted are plain stores: the pins are read
 *                       before they arrive (evicting keeps its fence, which is S2's)
 *   -DREFUSED_PIN_IS_SILENT   a pin that S2 refused is taken back without reading the slot
 */
#define READERS 2
#define GETS 2   /* by each reader */

/* Reader r is process r, has pin word PIN(r) and writes ring r. */
#define PROCESSES 3
#define DAEMON 2

#define STATE 0
#define PIN(reader) (1 + (reader))
#define TAIL(ring) (3 + (ring))
#define PARKED 5
#define WORDS 6
/* Daemon, from one fence to the next: the flag cleared, put back. */
#define DEPTH 2
#define RINGS READERS

#include "tso.pml"
#include "parking.pml"

#define FREE 0
#define SEALED 1
#define WANTED 2   /* sealed, with the flag */
#define EVICTING 3
#define DELETED 4

byte readers_done;
bool freed;
/* For the property only: validated pins. */
byte held;

inline mark(state) {
#ifdef NO_DAEMON_FENCE
  store(DAEMON, STATE, state)
#else
  exchange(DAEMON, STATE, state)
#endif
}

inline decrement(reader) {
#ifdef NO_READER_FENCE
  store(reader, PIN(reader), 0)
#else
  exchange(reader, PIN(reader), 0)
#endif
}

inline look_at_pins(pinned) {
  load(DAEMON, PIN(0), pinned);
  if
  :: !pinned -> load(DAEMON, PIN(1), pinned)
  :: else
  fi
}

proctype reader(byte me) {
  byte gets, state, records, flag;

  do
  :: gets < GETS ->
     gets++;
     exchange(me, PIN(me), 1);
     load(me, STATE, state);
     if
     :: state == SEALED || state == WANTED ->
        held++;
        /* It reads the bytes here, for as long as it likes. */
        held--;
        decrement(me);
        load(me, STATE, state)
     :: else ->
#ifdef REFUSED_PIN_IS_SILENT
        exchange(me, PIN(me), 0);
        state = SEALED
#else
        decrement(me);
        load(me, STATE, state)
#endif
     fi;
     if
     :: state != SEALED ->
        records++;
        publish(me, me, records, flag)
     :: else
     fi;
     state = 0
  :: else -> break
  od;
  readers_done++
}

/* Takes what is in the rings; if there was nothing, sleeps until somebody rings. Nobody
 * looks at the pins in here: only a release record ends the wait. */
inline wait_for_release(seen, work) {
  work = false;
  do
  :: announce_sleep(DAEMON, seen, work);
     if
     :: !work ->
        /* Asleep. The second branch is a sleep that can never end. */
        if
        :: eventfd -> eventfd = false
        :: !eventfd && readers_done == READERS -> goto asleep_for_ever
        fi
     :: else
     fi;
     awake(DAEMON);
     if
     :: work -> break
     :: else
     fi
  od;
  work = false;
  take_all(DAEMON, 0, seen);
  take_all(DAEMON, 1, seen)
}

proctype daemon() {
  byte seen, pinned;
  bool deleting, work, never_freed, freed_while_pinned;

  if
  :: deleting = true; mark(DELETED)
  :: deleting = false
  fi;
  do
  :: if
     :: !deleting -> mark(WANTED)
     :: else
     fi;
     look_at_pins(pinned);
     if
     :: pinned -> wait_for_release(seen, work)
     :: !pinned && deleting -> break
     :: else
     fi;
     if
     :: !deleting ->
        exchange(DAEMON, STATE, EVICTING);
        look_at_pins(pinned);
        if
        :: pinned -> store(DAEMON, STATE, SEALED)
        :: else -> break
        fi
     :: else
     fi
  od;
#ifndef NO_DAEMON_FENCE
  /* Deleting without the fence breaks S2 as well; that mutation is here for S3 alone. */
  freed_while_pinned = (held > 0);
  assert(!freed_while_pinned);
#endif
  store(DAEMON, STATE, FREE);
  freed = true;
asleep_for_ever:
  never_freed = !freed;
  assert(!never_freed)
}

init {
  atomic {
    memory[STATE] = SEALED;
    run reader(0);
    run reader(1);
    run daemon()
  }
}
