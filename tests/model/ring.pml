/* The ring: one producer, one consumer, fixed entries.
 *
 * PROTOCOL
 *   Producer: reads the head (acquire) to know how much room there is; writes entries;
 *   publishes the tail (release), after one entry or after several.
 *   Consumer: reads the tail (acquire); copies the entries up to it; publishes the head
 *   (release).
 *   Head and tail count up; the entry's place is the count modulo the capacity. An entry
 *   has two words here, so that a torn copy would show.
 *   C++: entries plain; tail and head atomic, load(acquire) and store(release).
 *
 * PROPERTY
 *   The consumer copies each entry once, in order, whole (wrong_entry), and the producer
 *   never writes over an entry that has not been copied (overwritten).
 *
 * MUTATIONS, each of which must fail
 *   -DTAIL_BEFORE_ENTRY   the tail is published before the entry is written: wrong_entry
 *   -DHEAD_BEFORE_COPY    the head is published before the entries are copied: overwritten
 */
#define CAPACITY 3
#define ENTRIES 8

#define PROCESSES 2
#define PRODUCER 0
#define CONSUMER 1

#define TAIL 0
#define HEAD 1
#define FIRST(count) (2 + 2 * ((count) % CAPACITY))
#define SECOND(count) (3 + 2 * ((count) % CAPACITY))
#define WORDS (2 + 2 * CAPACITY)
/* The room bounds what waits in the producer's buffer: per entry, two words and a tail. */
#define DEPTH (3 * CAPACITY)

#include "tso.pml"

/* For the property only: how many entries have been copied. */
byte copied;

proctype producer() {
  byte tail, published, head;
  bool overwritten;

  do
  :: tail < ENTRIES ->
     /* Room? Until there is, look again: the consumer's head has to arrive. */
     do
     :: tail - head < CAPACITY -> break
     :: else -> load(PRODUCER, HEAD, head)
     od;
#ifdef TAIL_BEFORE_ENTRY
     store(PRODUCER, TAIL, tail + 1);
     published = tail + 1;
#endif
     overwritten = (tail - copied >= CAPACITY);
     assert(!overwritten);
     store(PRODUCER, FIRST(tail), tail + 1);
     store(PRODUCER, SECOND(tail), tail + 1);
     tail++;
     if
     :: published < tail ->
        store(PRODUCER, TAIL, tail);
        published = tail
     :: tail < ENTRIES && tail - head < CAPACITY   /* publish it with the next one */
     :: published == tail                          /* only when mutated */
     fi
  :: else -> break
  od
}

proctype consumer() {
  byte head, tail, first, second;
  bool wrong_entry;

  do
  :: head < ENTRIES ->
     do
     :: head < tail -> break
     :: else -> load(CONSUMER, TAIL, tail)
     od;
#ifdef HEAD_BEFORE_COPY
     store(CONSUMER, HEAD, tail);
#endif
     do
     :: head < tail ->
        load(CONSUMER, FIRST(head), first);
        load(CONSUMER, SECOND(head), second);
        d_step {
          wrong_entry = (first != head + 1 || second != head + 1);
          assert(!wrong_entry);
          head++;
          copied = head;
          first = 0;
          second = 0
        }
     :: else -> break
     od;
#ifndef HEAD_BEFORE_COPY
     store(CONSUMER, HEAD, head)
#endif
  :: else -> break
  od
}

init {
  atomic { run producer(); run consumer() }
}
