/* SYNC S1 parking, of one ring: how a consumer stops looking at a ring that it hears of by a bell
 * of its own, and sleeps, and misses nothing. s1_parking.pml has the sleep alone.
 *
 * PROTOCOL
 *   Producer: publishes its record; full fence; reads the flag of its ring; rings the ring's own
 *   bell if it is set and was not rung for this number; else reads the consumer's parked flag and
 *   rings for that. Either bell ends the consumer's sleep.
 *   Consumer: finds a watched ring empty; sets the ring's flag to a new number; full fence; looks
 *   at the ring once more; if it is still empty, does not look at it again until its bell is heard,
 *   which clears the flag. Sleeps as in s1_parking.pml, looking at watched rings only.
 *   C++: tail.exchange(seq_cst), unwatched.load(seq_cst), parked.load(seq_cst) in the producer
 *   (SubmissionQueue::RingIfParked); unwatched.exchange(n, seq_cst), tail.load(seq_cst) in the
 *   consumer (Core::LetGo), unwatched.store(0, relaxed) when the bell is heard (Core::Hear).
 *
 * PROPERTY
 *   No lost wake-up: as in s1_parking.pml.
 *
 * MUTATIONS, each of which must fail with lost_wake_up
 *   -DNO_SECOND_LOOK_AT_THE_RING  the ring is let go without another look
 *   -DNO_FLAG_FENCE               the ring's flag is a plain store: it is looked at before that
 *                                 arrives
 *   -DBELL_NOT_HEARD              a bell ends the sleep, and the ring stays out of sight
 */
#define RECORDS 3

/* One producer, one ring. */
#define PROCESSES 2
#define PRODUCER 0
#define CONSUMER 1

#define TAIL 0
#define PARKED 1
#define UNWATCHED 2
#define WORDS 3
#define DEPTH 3

#include "tso.pml"

/* The kernel's: the ring's bell, and whether the consumer was woken for either reason. */
bool bell, woken;
byte head, rung_sleep, rung_time;
bool producer_done;

proctype producer() {
  byte count, flag;
  do
  :: count < RECORDS ->
     count++;
     exchange(PRODUCER, TAIL, count);
     load(PRODUCER, UNWATCHED, flag);
     if
     :: flag != 0 && flag != rung_time -> bell = true; rung_time = flag
     :: else ->
        load(PRODUCER, PARKED, flag);
        if
        :: flag != 0 && flag != rung_sleep -> woken = true; rung_sleep = flag
        :: else
        fi
     fi;
     flag = 0
  :: else -> break
  od;
  producer_done = true
}

proctype consumer() {
  byte seen, number;
  bool watched = true, work, lost_wake_up;
  do
  :: /* Bells are heard between two turns. */
     if
     :: bell ->
        bell = false;
#ifndef BELL_NOT_HEARD
        if
        :: !watched -> watched = true; store(CONSUMER, UNWATCHED, 0)
        :: else
        fi
#endif
     :: else
     fi;
     if
     :: watched ->
        load(CONSUMER, TAIL, seen);
        d_step { work = (seen != head); head = seen; seen = 0 }
        if
        :: !work ->
           /* Let go, or not yet. */
           if
           :: number++;
#ifdef NO_FLAG_FENCE
              store(CONSUMER, UNWATCHED, number);
#else
              exchange(CONSUMER, UNWATCHED, number);
#endif
#ifndef NO_SECOND_LOOK_AT_THE_RING
              load(CONSUMER, TAIL, seen);
              d_step { work = (seen != head); seen = 0 }
#endif
              if
              :: work -> store(CONSUMER, UNWATCHED, 0)
              :: !work -> watched = false
              fi
           :: true
           fi
        :: else
        fi
     :: else
     fi;
     /* Sleeps whenever it can. */
     number++;
     exchange(CONSUMER, PARKED, number);
     work = false;
     if
     :: watched ->
        load(CONSUMER, TAIL, seen);
        d_step { work = (seen != head); seen = 0 }
     :: else
     fi;
     if
     :: work
     :: !work ->
        if
        :: bell || woken -> woken = false
        :: !bell && !woken && producer_done -> break
        fi
     fi;
     work = false;
     store(CONSUMER, PARKED, 0)
  od;
  lost_wake_up = (head < RECORDS);
  assert(!lost_wake_up)
}

init {
  atomic { run producer(); run consumer() }
}
