/* SYNC S1 parking: how a process sleeps without missing its wake-up.
 *
 * PROTOCOL
 *   Producer: publishes its record; full fence; reads the consumer's parked flag; rings the
 *   consumer's eventfd if the flag is set and it has not rung for this number before.
 *   Consumer: finds nothing to do; sets its parked flag to the number of this sleep; full
 *   fence; looks at every ring once more; if they are still empty, sleeps on its one
 *   eventfd; clears the flag.
 *   C++: tail.exchange(seq_cst) then parked.load(seq_cst) in the producer;
 *   parked.exchange(n, seq_cst) then tail.load(seq_cst) of every ring in the consumer. The
 *   fence is the exchange itself. (parking.pml)
 *
 * PROPERTY
 *   No lost wake-up: the consumer is never asleep with its eventfd at zero and records
 *   unconsumed when all producers are done, so that nobody will ring any more
 *   (lost_wake_up).
 *
 * VARIANT
 *   -DNUMBERED_SLEEPS     as the C++ does: a producer rings once for each sleep
 *
 * MUTATIONS, each of which must fail with lost_wake_up
 *   -DNO_PRODUCER_FENCE   the tail is a plain store: the flag is read before it arrives
 *   -DNO_CONSUMER_FENCE   the flag is a plain store: the rings are read before it arrives
 *   -DNO_SECOND_LOOK      the consumer sleeps without looking again
 *   -DRING_ONCE_FOR_EVER  numbered sleeps, but a producer that rang does not ring for a later sleep
 */
#define RINGS 2
#if defined(NUMBERED_SLEEPS) || defined(RING_ONCE_FOR_EVER)
#define RECORDS 2   /* from each producer; the numbers multiply the states */
#else
#define RECORDS 3
#endif

/* Producer r writes ring r. */
#define PROCESSES 3
#define CONSUMER 2

#define TAIL(ring) (ring)
#define PARKED 2
#define WORDS 3
/* Between two fences nobody makes more than one store; the mutated ones make two. */
#define DEPTH 2

#include "tso.pml"
#include "parking.pml"

byte producers_done;

proctype producer(byte me) {
  byte count, flag;

  do
  :: count < RECORDS ->
     count++;
     publish(me, me, count, flag)
  :: else -> break
  od;
  producers_done++
}

proctype consumer() {
  byte seen;
  bool work, lost_wake_up;

  do
  :: take_all(CONSUMER, 0, seen);
     take_all(CONSUMER, 1, seen);
     work = false;
     announce_sleep(CONSUMER, seen, work);
     if
     :: work
     :: !work ->
        /* Asleep. The second branch is a sleep that can never end. */
        if
        :: eventfd -> eventfd = false
        :: !eventfd && producers_done == RINGS -> break
        fi
     fi;
     awake(CONSUMER)
  od;
  lost_wake_up = (head[0] + head[1] < RINGS * RECORDS);
  assert(!lost_wake_up)
}

init {
  atomic { run producer(0); run producer(1); run consumer() }
}
