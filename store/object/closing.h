// What is left to do of a session's end, and of a walk through the objects of sessions.
#ifndef PENSTOCK_STORE_OBJECT_CLOSING_H_
#define PENSTOCK_STORE_OBJECT_CLOSING_H_

#include <cstdint>
#include <vector>

#include <penstock/object_id.h>

#include "absl/container/flat_hash_set.h"
#include "store/object/session.h"
#include "store/shm/session_layout.h"

namespace penstock {

struct Closing {
  SessionRow row = 0;
  std::vector<uint64_t> touched{};  // the bitmap of its pins, as of its end
  // How far each walk has come.
  ObjectId orphans_from{};
  uint32_t doomed_from = 0;
  uint32_t evictable_from = 0;
  uint32_t clean_from = 0;

  bool Touched(uint32_t slot) const {
    const uint32_t page = slot / kPinsPerPage;
    return ((touched[page / 64] >> (page % 64)) & 1) != 0;
  }
};

struct Sweep {
  absl::flat_hash_set<uint64_t> sessions{};
  uint32_t slot = 0;
  ObjectId copies_from{};
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_CLOSING_H_
