/* SYNC S2 pin/evict: a reader pins a sealed object without asking the daemon, while the
 * daemon evicts and moves objects and gives their slot to others.
 *
 * PROTOCOL
 *   Reader: its look-up names a slot; reads the slot's state (generation, sealed?);
 *   increments its own pin word; full fence; reads the state again: same generation,
 *   sealed; only now reads id (the one asked for?) and offset. Otherwise it decrements and
 *   takes the slow path. When done with the bytes, it decrements.
 *   Daemon: marks the slot evicting; full fence; reads the slot's pin word in every row.
 *   Pinned: puts it back. Not pinned: either frees it, generation + 1, and seals another
 *   object in the slot; or moves the object, same generation, new offset.
 *   C++: pin.fetch_add(1, seq_cst), state.load(seq_cst); state.exchange(evicting, seq_cst),
 *   pin.load(seq_cst). The fence is the fetch_add or the exchange itself. All other stores
 *   are release; the decrement is modelled as one too, which is weaker than the fetch_sub
 *   that S3 asks for.
 *
 * PROPERTY
 *   While a reader holds a validated pin, the bytes at its offset are those of the id it
 *   asked for (stale_bytes).
 *
 * MADE HARDER THAN REAL
 *   The look-up always names the slot, whatever is in it: a hash table's hit is a hint.
 *   Bytes are lost the moment the daemon finds no pin, before any of its later stores
 *   arrive: the next owner is another process. The daemon never rests; readers never end.
 *
 * MUTATIONS, each of which must fail with stale_bytes
 *   -DNO_READER_FENCE     the pin is a plain store: the slot is read before it arrives
 *   -DNO_DAEMON_FENCE     the mark is a plain store: the rows are read before it arrives
 *   -DNO_REREAD           the state read before the pin is believed
 *   -DOFFSET_BEFORE_PIN   the offset read before the pin is used
 *   -DMOVE_WITHOUT_LOOK   an object is moved whoever pins it
 *   -DOFFSET_AFTER_PUT_BACK  a moved object's new offset is stored after it is put back
 *
 * VARIANT, which must hold
 *   -DNO_FIRST_LOOK       the reader pins at once and compares no generation: what it reads
 *                         after the fence is enough
 */
#define READERS 2
#define LAST_GENERATION 2
#define OFFSETS 2

/* Reader r is process r and has pin word PIN(r). */
#define PROCESSES 3
#define DAEMON 2

#define STATE 0
#define ID 1
#define OFFSET 2
#define PIN(reader) (3 + (reader))
#define WORDS 5
/* Daemon, from one mark to the next: free, id, offset, sealed. */
#define DEPTH 4

#include "tso.pml"

/* Leased is left out: to a reader it is as good as free. */
#define FREE 0
#define SEALED 1
#define EVICTING 2
#define WORD(state, generation) (4 * (generation) + (state))
#define IS_SEALED(word) ((word) % 4 == SEALED)

#ifdef MOVE_WITHOUT_LOOK
#define MAY_MOVE true
#else
#define MAY_MOVE !pinned
#endif

#define NOBODY 0
#define ID_A 1
#define ID_B 2

/* The arena: whose bytes lie at each offset. */
byte bytes[OFFSETS];

inline pin(reader) {
#ifdef NO_READER_FENCE
  store(reader, PIN(reader), 1)
#else
  exchange(reader, PIN(reader), 1)
#endif
}

inline mark_evicting(generation) {
#ifdef NO_DAEMON_FENCE
  store(DAEMON, STATE, WORD(EVICTING, generation))
#else
  exchange(DAEMON, STATE, WORD(EVICTING, generation))
#endif
}

proctype reader(byte me) {
  byte wanted_id, before, after, id, offset;
  bool stale_bytes;

  do
  :: if
     :: wanted_id = ID_A
     :: wanted_id = ID_B
     fi;
#ifdef OFFSET_BEFORE_PIN
     load(me, STATE, before);
     load(me, OFFSET, offset);
#elif !defined(NO_FIRST_LOOK)
     load(me, STATE, before);
#endif
     pin(me);
#ifdef NO_REREAD
     after = before;
#else
     load(me, STATE, after);
#endif
     if
#ifdef NO_FIRST_LOOK
     :: IS_SEALED(after) ->
#else
     :: IS_SEALED(after) && after == before ->
#endif
        load(me, ID, id);
        if
        :: id == wanted_id ->
#ifndef OFFSET_BEFORE_PIN
           load(me, OFFSET, offset);
#endif
           /* The pin is valid. The look at the bytes may come at any time from here. */
           d_step {
             stale_bytes = (bytes[offset] != wanted_id);
             assert(!stale_bytes)
           }
        :: else   /* slow path */
        fi
     :: else      /* slow path */
     fi;
     store(me, PIN(me), 0);
     d_step { wanted_id = 0; before = 0; after = 0; id = 0; offset = 0 }
  od
}

proctype daemon() {
  byte generation, id, offset, pinned;
  id = ID_A;

  do
  :: mark_evicting(generation);
     load(DAEMON, PIN(0), pinned);
     if
     :: !pinned -> load(DAEMON, PIN(1), pinned)
     :: else
     fi;
     if
     :: pinned ->
        pinned = 0;
        store(DAEMON, STATE, WORD(SEALED, generation))
     :: !pinned && generation < LAST_GENERATION ->
        /* Free, then another object (or the same id, made anew) at any offset. */
        atomic {
          bytes[offset] = NOBODY;
          generation++;
          store(DAEMON, STATE, WORD(FREE, generation))
        }
        atomic {
          if
          :: id = ID_A
          :: id = ID_B
          fi;
          if
          :: offset = 0
          :: offset = 1
          fi;
          bytes[offset] = id;
          store(DAEMON, ID, id)
        }
        store(DAEMON, OFFSET, offset);
        store(DAEMON, STATE, WORD(SEALED, generation))
     :: MAY_MOVE ->
        /* Move: the copy was made before the mark; the old bytes are given away. */
        d_step {
          pinned = 0;
          bytes[1 - offset] = id;
          bytes[offset] = NOBODY;
          offset = 1 - offset
        }
#ifdef OFFSET_AFTER_PUT_BACK
        store(DAEMON, STATE, WORD(SEALED, generation));
        store(DAEMON, OFFSET, offset)
#else
        store(DAEMON, OFFSET, offset);
        store(DAEMON, STATE, WORD(SEALED, generation))
#endif
     fi
  od
}

init {
  atomic {
    memory[STATE] = WORD(SEALED, 0);
    memory[ID] = ID_A;
    bytes[0] = ID_A;
    run reader(0);
    run reader(1);
    run daemon()
  }
}
