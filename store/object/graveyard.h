// Graveyard: how objects with library-made ids ended lately, so that a get of one says
// "deleted" or "evicted" and does not wait for ever. Fixed size; an old grave may be
// overwritten, and then the answer is the weaker "not here".
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_OBJECT_GRAVEYARD_H_
#define PENSTOCK_STORE_OBJECT_GRAVEYARD_H_

#include <cstdint>
#include <span>

#include "store/shm/lease_layout.h"
#include "store/shm/session_layout.h"

namespace penstock {

class Graveyard {
 public:
  // `graves`: kGraves words, zeroed, or those of a daemon that died.
  explicit Graveyard(std::span<uint64_t> graves) : graves_(graves) {}

  void Bury(uint64_t hash, AnswerCode cause) {
    graves_[GraveOf(hash)] = (hash & ~kCauseMask) | static_cast<uint64_t>(cause);
  }
  // kOk when nothing is known. 56 bits of the hash are compared; a false match needs two
  // ids of 2^56 that also share a grave.
  AnswerCode CauseOf(uint64_t hash) const {
    const uint64_t grave = graves_[GraveOf(hash)];
    if (grave == 0 || ((grave ^ hash) & ~kCauseMask) != 0) return AnswerCode::kOk;
    return static_cast<AnswerCode>(grave & kCauseMask);
  }

 private:
  static constexpr uint64_t kCauseMask = 0xff;

  // Both halves: four successive ids of a session share the low one (ObjectId::Hash) and
  // would lie in one grave.
  static uint64_t GraveOf(uint64_t hash) { return (hash ^ (hash >> 32)) % kGraves; }

  std::span<uint64_t> graves_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_GRAVEYARD_H_
