// What the core asks of whoever writes objects to disk. The core decides which object goes
// when; how it lies there is not its business.
#ifndef PENSTOCK_STORE_OBJECT_SPILL_HOST_H_
#define PENSTOCK_STORE_OBJECT_SPILL_HOST_H_

#include <cstdint>

#include <penstock/object_id.h>

#include "store/shm/session_layout.h"

namespace penstock {

// What has to be known of an object on disk to make it one in memory again.
struct SpilledFacts {
  ObjectId id;
  uint64_t size = 0;
  uint64_t stored_bytes = 0;  // payload, gap and metadata
  uint32_t metadata_size = 0;
  uint32_t type_tag = 0;
  uint32_t flags = 0;         // SealFlags
  uint64_t maker_session = 0;
  int32_t maker_pid = 0;
  uint64_t origin = 0;        // says which object of this id was written
};

// The end of a write or read. `copy` names what was written until it is dropped.
struct SpillOutcome {
  uint64_t ticket = 0;
  SpillTrouble trouble = SpillTrouble::kNone;
  uint32_t copy = 0;
  uint32_t file = 0;     // number of the file concerned, or 0
  int error_number = 0;  // errno behind the trouble, or 0
};

class SpillHost {
 public:
  virtual ~SpillHost() = default;
  // Writes the bytes of the arena at `offset`, which stand still until the ticket's outcome.
  virtual void SpillWrite(uint64_t ticket, const SpilledFacts& facts, uint64_t offset) = 0;
  // Reads them back into the arena at `offset`.
  virtual void SpillRead(uint64_t ticket, uint32_t copy, uint64_t stored_bytes,
                         uint64_t offset) = 0;
  // Nobody needs the copy any more. Survives the daemon's death once it has returned.
  virtual void SpillDrop(uint32_t copy) = 0;
  virtual SpilledFacts SpillFacts(uint32_t copy) const = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_SPILL_HOST_H_
