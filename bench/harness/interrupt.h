// Ctrl-C and SIGTERM end a run between two samples, so that daemon, processes and
// directory are put away as after an error.
#ifndef PENSTOCK_BENCH_HARNESS_INTERRUPT_H_
#define PENSTOCK_BENCH_HARNESS_INTERRUPT_H_

#include "absl/status/status.h"

namespace penstock::bench {

// Call once, after the crew was forked: its members end by the signal itself.
void CatchInterrupts();
// Cancelled once one came.
absl::Status NotInterrupted();

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_INTERRUPT_H_
