/* Store buffers made explicit: total store order, the memory model of x86.
 *
 * A process does not write memory. Its stores go to a first-in first-out buffer of its
 * own, and a flusher moves them to memory one by one, at any later time. Its loads see the
 * newest entry of its own buffer for that word, or else memory. A sequentially consistent
 * read-modify-write waits until the buffer is empty and then acts on memory in one step,
 * which is what a locked instruction does: it is the full fence.
 *
 *   here               C++                                         x86
 *   load               load(acquire), load(seq_cst)                mov
 *   store              store(release), store(relaxed)              mov
 *   exchange           exchange(seq_cst); fetch_add and fetch_sub  xchg, lock xadd
 *                      on a word that only the caller writes
 *
 * A model defines before it includes this file:
 *   PROCESSES   how many processes have a store buffer; they are numbered from 0
 *   WORDS       how many words of shared memory there are
 *   DEPTH       entries in a buffer. A store into a full one waits, as in hardware. Each
 *               model makes it large enough that its unmutated form never waits there:
 *               one entry more gives the same number of states.
 */
byte memory[WORDS];

typedef StoreBuffer {
  byte length;
  byte word[DEPTH];
  byte value[DEPTH]
}
StoreBuffer buffer[PROCESSES];

/* Used inside one d_step only, so it is no part of the state. */
hidden byte cursor;

inline store(who, where, what) {
  d_step {
    buffer[who].length < DEPTH ->
    buffer[who].word[buffer[who].length] = where;
    buffer[who].value[buffer[who].length] = what;
    buffer[who].length++
  }
}

inline load(who, where, result) {
  d_step {
    result = memory[where];
    cursor = 0;
    do
    :: cursor < buffer[who].length ->
       if
       :: buffer[who].word[cursor] == where -> result = buffer[who].value[cursor]
       :: else
       fi;
       cursor++
    :: else -> break
    od
  }
}

inline exchange(who, where, what) {
  d_step {
    buffer[who].length == 0 ->
    memory[where] = what
  }
}

/* One for each buffer. This file is included before the model's own processes are
 * declared, so the flushers' numbers (_pid) are 0 to PROCESSES - 1. */
active [PROCESSES] proctype flusher() {
end:
  do
  :: d_step {
       buffer[_pid].length > 0 ->
       memory[buffer[_pid].word[0]] = buffer[_pid].value[0];
       buffer[_pid].length--;
       cursor = 0;
       do
       :: cursor < buffer[_pid].length ->
          buffer[_pid].word[cursor] = buffer[_pid].word[cursor + 1];
          buffer[_pid].value[cursor] = buffer[_pid].value[cursor + 1];
          cursor++
       :: else -> break
       od;
       /* Left-overs would make equal states look different. */
       buffer[_pid].word[cursor] = 0;
       buffer[_pid].value[cursor] = 0
     }
  od
}
