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

/* Producer: tail.exchange(count, seq_cst); parked.load(seq_cst); write(eventfd). */
inline publish(who, ring, count, flag) {
#ifdef NO_PRODUCER_FENCE
  store(who, TAIL(ring), count);
#else
  exchange(who, TAIL(ring), count);
#endif
  load(who, PARKED, flag);
  if
  :: flag -> eventfd = true; flag = 0
  :: else
  fi
}

/* Consumer: takes everything that it sees in one ring. */
inline take_all(who, ring, seen) {
  load(who, TAIL(ring), seen);
  d_step { head[ring] = seen; seen = 0 }
}

/* Consumer: parked.exchange(1, seq_cst); tail.load(seq_cst) of every ring. After it the
 * caller sleeps on its eventfd, unless there is work. */
inline announce_sleep(who, seen, work) {
#ifdef NO_CONSUMER_FENCE
  store(who, PARKED, 1);
#else
  exchange(who, PARKED, 1);
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
