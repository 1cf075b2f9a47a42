// The functions, and their registration.
#include "bench/penstock-bench/runtime_functions.h"

#include <unistd.h>

#include <penstock/client.h>

#include "bench/harness/clock.h"

namespace penstock::bench {

uint64_t NextOf(uint64_t value) { return value + 1; }
int PidOfWorker() { return getpid(); }
Echo* MakeEcho() { return new Echo(); }
int Echo::Pid() const { return getpid(); }

absl::Status InitAndSettle(const Config& config) {
  const ClusterInfo info = Init(config);
  for (;;) {
    const auto status = QueryStatus(info.session_dir);
    if (!status.ok()) return status.status();
    if (status->Counter("population_done") == 1) return absl::OkStatus();
    SleepNs(2'000'000);
  }
}

PENSTOCK_REMOTE(NextOf, PidOfWorker, MakeEcho, &Echo::Pid, &Echo::Next, &Echo::NextOfRef);

}  // namespace penstock::bench
