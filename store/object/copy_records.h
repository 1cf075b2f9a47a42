// What the core remembers of objects on disk, of writes and of reads.
#ifndef PENSTOCK_STORE_OBJECT_COPY_RECORDS_H_
#define PENSTOCK_STORE_OBJECT_COPY_RECORDS_H_

#include <cstdint>

#include <penstock/object_id.h>

#include "store/object/intrusive_slots.h"

namespace penstock {

struct CleanCopy {
  uint32_t slot;
  uint64_t generation;
  uint64_t epoch;  // last use known
};

struct SpillCandidate {
  uint64_t age;
  uint32_t slot;
};

// Of an object on its way back from disk.
struct Restore {
  uint32_t slot = kNoSlot;  // kNoSlot: it waits for room
  uint64_t ticket = 0;      // of that wait
};

struct SpillJob {
  uint32_t slot;
  ObjectId id;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_COPY_RECORDS_H_
