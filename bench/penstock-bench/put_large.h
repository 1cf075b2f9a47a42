// Puts of 1 MiB and more against a plain copy of the same size.
#ifndef PENSTOCK_BENCH_PUT_LARGE_H_
#define PENSTOCK_BENCH_PUT_LARGE_H_

#include "absl/status/status.h"
#include "bench/harness/private_daemon.h"
#include "bench/harness/report.h"
#include "bench/harness/run_options.h"

namespace penstock::bench {

// put_{1MiB,16MiB,100MB}_gbps and put_100MB_first_touch_gbps.
absl::Status RunPutLarge(const PrivateDaemon& daemon, const RunOptions& options,
                         Report& report);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_PUT_LARGE_H_
