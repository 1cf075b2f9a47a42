// Making objects of 1 KiB: how long one takes, and how many a second for ten seconds.
#ifndef PENSTOCK_BENCH_PUT_SMALL_H_
#define PENSTOCK_BENCH_PUT_SMALL_H_

#include "absl/status/status.h"
#include "bench/harness/private_daemon.h"
#include "bench/harness/report.h"
#include "bench/harness/run_options.h"

namespace penstock::bench {

// create_seal_1KiB_ns and create_seal_delete_ops_per_s.
absl::Status RunPutSmall(const PrivateDaemon& daemon, const RunOptions& options,
                         Report& report);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_PUT_SMALL_H_
