// The roles that a crew plays for the latency floors.
#ifndef PENSTOCK_BENCH_HARNESS_LATENCY_ROLES_H_
#define PENSTOCK_BENCH_HARNESS_LATENCY_ROLES_H_

#include "bench/harness/crew.h"

namespace penstock::bench {

// Each plays `order.count` operations. Those that measure leave one observation in
// nanoseconds for each operation (or batch), the others answer them.
absl::Status FutexAsker(Member&, const RoleOrder&, RoleAnswer&);
absl::Status FutexEcho(Member&, const RoleOrder&, RoleAnswer&);
absl::Status SocketAsker(Member&, const RoleOrder&, RoleAnswer&);
absl::Status SocketEcho(Member&, const RoleOrder&, RoleAnswer&);
absl::Status RelayProducer(Member&, const RoleOrder&, RoleAnswer&);
absl::Status RelayMiddle(Member&, const RoleOrder&, RoleAnswer&);
absl::Status RelayConsumer(Member&, const RoleOrder&, RoleAnswer&);  // measures
// One observation, a mean, for each full batch; of its round trips the first is not timed.
inline constexpr uint64_t kSpinBatch = 1000;
inline constexpr uint64_t kCallBatch = 1000;
absl::Status SpinAsker(Member&, const RoleOrder&, RoleAnswer&);
absl::Status SpinEcho(Member&, const RoleOrder&, RoleAnswer&);
absl::Status SystemCaller(Member&, const RoleOrder&, RoleAnswer&);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_LATENCY_ROLES_H_
