// The role of a process that gets and releases as fast as it can.
#ifndef PENSTOCK_BENCH_GET_WORKER_H_
#define PENSTOCK_BENCH_GET_WORKER_H_

#include "bench/harness/crew.h"

namespace penstock::bench {

// Ids that the conductor left in the stage's note.
struct GetWorkerNote {
  char dir[128];
  uint64_t ids;
  // `ids` times an ObjectId follow.
};

// Connects when it is played first. `order.extra`: the count of arrivals that the meeting
// word reaches when all who are to run at the same time are there. Then `order.count` gets;
// the answer says when they began and ended. `order.first`: kBareSteps for gets without a
// library, from memory of the member's own (BareStore).
inline constexpr uint64_t kBareSteps = 1;
absl::Status GetWorker(Member& member, const RoleOrder& order, RoleAnswer& answer);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_GET_WORKER_H_
