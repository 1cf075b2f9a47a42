/* SYNC S1 parking, shared by s1_parking.pml (which proves it) and s3_last_release.pml
 * (which builds on it). Included after tso.pml.
 *
 * The including model defines RINGS, TAIL(ring) and PARKED, words of shared memory. A ring
 * is its tail alone here: what lies in the entries is ring.pml's business.
 *
 * Neither system call is taken to drain the caller's store buffer. The kernel's locks do
 * that in practice, but the protocol does not lean on it.
 */

/* The kernel's counter. Only zero or not zero matters to a sleeper. */
bool eventfd;

/* The consumer's own: how far it has taken each ring. */
byte head[RINGS];

#if defined(NUMBERED_SLEEPS) || defined(RING_ONCE_FOR_EVER)
/* The consumer's own: the number of its sleep, and a producer's: what it rang for last. */
byte sleep_number;
byte rung[RINGS];
#define FELL_ASLEEP sleep_number++
#define SLEEP_NUMBER sleep_number
#ifdef RING_ONCE_FOR_EVER
#define RUNG_ALREADY(ring, flag) (rung[ring] != 0)
#else
#define RUNG_ALREADY(ring, flag) (rung[ring] == flag)
#endif
#define REMEMBER(ring, flag) rung[ring] = flag
#else
/* The general case: a producer may ring for every record. Fewer states. */
#define FELL_ASLEEP skip
#define SLEEP_NUMBER 1
#define RUNG_ALREADY(ring, flag) false
#define REMEMBER(ring, flag) skip
#endif

/* Producer: tail.exchange(count, seq_cst); parked.load(seq_cst); write(eventfd), with
 * numbered sleeps once for each number (RingMemory::RingOnce). */
inline publish(who, ring, count, flag) {
#ifdef NO_PRODUCER_FENCE
  store(who, TAIL(ring), count);
#else
  exchange(who, TAIL(ring), count);
#endif
  load(who, PARKED, flag);
  if
  :: flag != 0 && !RUNG_ALREADY(ring, flag) -> eventfd = true; REMEMBER(ring, flag)
  :: else
  fi;
  flag = 0
}

/* Consumer: takes everything that it sees in one ring. */
inline take_all(who, ring, seen) {
  load(who, TAIL(ring), seen);
  d_step { head[ring] = seen; seen = 0 }
}

/* Consumer: parked.exchange(n, seq_cst); tail.load(seq_cst) of every ring. After it the
 * caller sleeps on its eventfd, unless there is work. */
inline announce_sleep(who, seen, work) {
  FELL_ASLEEP;
#ifdef NO_CONSUMER_FENCE
  store(who, PARKED, SLEEP_NUMBER);
#else
  exchange(who, PARKED, SLEEP_NUMBER);
#endif
#ifndef NO_SECOND_LOOK
  load(who, TAIL(0), seen);
  d_step { work = (seen != head[0]); seen = 0 }
#if RINGS > 1
  load(who, TAIL(1), seen);
  d_step { work = (work || seen != head[1]); seen = 0 }
#endif
#endif
}

/* Consumer: parked.store(0, relaxed). Late is harmless: somebody rings for nothing. */
inline awake(who) {
  store(who, PARKED, 0)
}
