// penstock-bench ps --table: the reference workload over the number of shards and workers.
#ifndef PENSTOCK_BENCH_PS_TABLE_H_
#define PENSTOCK_BENCH_PS_TABLE_H_

#include <penstock/runtime.h>

#include "absl/status/status.h"
#include "bench/harness/ps_floor.h"
#include "bench/harness/report.h"
#include "bench/harness/run_options.h"

namespace penstock::bench {

// ps_views_s_shards<S>_workers<W> for S and W of 1, 2, 4 and 8, each worker with
// workload.iterations rounds over workload.bytes. Says on standard error how far it is.
// Throws penstock::Error.
absl::Status MeasurePsTable(const PsWorkload& workload, Config config,
                            const RunOptions& options, Report& report);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_PS_TABLE_H_
