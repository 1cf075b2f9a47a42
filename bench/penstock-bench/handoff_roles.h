// The two processes of a hand-off.
//
// The producer leaves the ids of a batch before it makes the objects; the consumer asks
// for one after the other and waits. Timed is the way from before the producer's Put to
// after the consumer's Get.
#ifndef PENSTOCK_BENCH_HANDOFF_ROLES_H_
#define PENSTOCK_BENCH_HANDOFF_ROLES_H_

#include <cstdint>

#include <penstock/object_id.h>

#include "bench/harness/crew.h"

namespace penstock::bench {

inline constexpr uint64_t kHandoffBytes = 64;
inline constexpr uint64_t kMostHandoffs = 4096;  // of one batch

// In the stage's note. The conductor writes `dir`, the producer `ids`.
struct HandoffNote {
  char dir[128];
  ObjectId ids[kMostHandoffs];
};
static_assert(sizeof(HandoffNote) <= Stage::kNoteBytes);

// `order.count` objects, a pause of `order.pause_ns` before each. `order.extra` is this
// batch's number, counted from 1 over all batches.
absl::Status HandoffProducer(Member& member, const RoleOrder& order, RoleAnswer& answer);
// Measures; compares every payload.
absl::Status HandoffConsumer(Member& member, const RoleOrder& order, RoleAnswer& answer);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HANDOFF_ROLES_H_
