// Which processor runs what.
#ifndef PENSTOCK_BENCH_HARNESS_PINNING_H_
#define PENSTOCK_BENCH_HARNESS_PINNING_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace penstock::bench {

// Those that this process was allowed when it was first asked, in order.
const std::vector<int>& AllowedCpus();

// Keeps the calling thread (pid 0) or another process's main thread on one of them.
absl::Status PinToCpu(int cpu, pid_t pid = 0);
// Back on all of them.
absl::Status Unpin(pid_t pid = 0);

// Where a producer, whoever passes its word on (relay or daemon), and a consumer sit.
struct Placement {
  int producer = 0;
  int relay = 0;
  int consumer = 0;
  std::string ToString() const;
};
// Producer, relay and consumer on a core each; with two cores, producer and consumer
// share the first. None with one core.
std::optional<Placement> AcrossCores();
Placement SameCore();

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_PINNING_H_
