// The subcommands of penstock-bench. Each measures, checks what it moved, and fills the
// report; an error means that it could not measure.
#ifndef PENSTOCK_BENCH_SUBCOMMANDS_H_
#define PENSTOCK_BENCH_SUBCOMMANDS_H_

#include "absl/status/status.h"
#include "bench/harness/crew.h"
#include "bench/harness/report.h"
#include "bench/harness/run_options.h"

namespace penstock::bench {

using Subcommand = absl::Status (*)(Crew& crew, const RunOptions& options, Report& report);

absl::Status RunFloor(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunGet(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunPut(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunCopies(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunHandoff(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunSpill(Crew& crew, const RunOptions& options, Report& report);

absl::Status RunTask(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunActor(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunCrowd(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunChurn(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunRestart(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunTurns(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunSessions(Crew& crew, const RunOptions& options, Report& report);
absl::Status RunPs(Crew& crew, const RunOptions& options, Report& report);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_SUBCOMMANDS_H_
