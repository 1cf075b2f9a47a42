// penstock-bench ps: the sharded parameter server against its own traffic as plain loops.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/interrupt.h"
#include "bench/harness/paired_runner.h"
#include "bench/harness/pinning.h"
#include "bench/harness/ps_floor.h"
#include "bench/penstock-bench/ps_jobs.h"
#include "bench/penstock-bench/ps_table.h"
#include "bench/penstock-bench/runtime_functions.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr int kLeastFirsts = 15, kMostFirsts = 45;  // more only until they agree

Series SeriesOf(PsWay way, const PsWorkload& workload, Verification& verification) {
  std::string name = way.name;
  const auto job = std::make_shared<AsynchronousJob>(std::move(way), verification);
  return SecondsOf(std::move(name),
                   [job, workload] { return job->Run(workload.workers, workload.iterations); });
}

// From Init on: nothing is warm, and the store's memory is still being made.
absl::Status MeasureFirst(const PsWorkload& workload, const Config& config,
                          const RunOptions& options, Report& report) {
  Sample firsts;
  Result first;
  first.name = "ps_first_s";
  first.unit = "s";
  const int least = options.quick ? 2 : kLeastFirsts, most = options.quick ? 2 : kMostFirsts;
  for (int i = 0; i < least || (i < most && first.noisy); ++i) {
    PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
    const int64_t start_ns = NowNs();
    Init(config);
    {
      AsynchronousJob job(ServerWay("ps_first_s", workload, /*contiguous=*/true),
                          report.verification);
      job.Run(workload.workers, workload.iterations);
      firsts.Add(SecondsSince(start_ns));
    }
    Shutdown();
    if (i + 1 >= least) ConcludeRun(Kind::kLatency, firsts, first);
  }
  first.more["from"] = "Init, self-check and one contiguous run";
  report.results.push_back(std::move(first));
  return absl::OkStatus();
}

// Rows with the same floor are sampled in one group with it.
absl::Status MeasureWarm(const PsWorkload& workload, Config config,
                         const RunOptions& options, Report& report) {
  config.prefault = true;
  Init(config);
  PENSTOCK_ASSIGN_OR_RETURN(const auto floor, PsFloor::Create(workload, AllowedCpus()));
  report.host.pages = PagesName(floor->is_huge());
  Verification& verification = report.verification;
  const auto asynchronous = [&](PsWay way) {
    return SeriesOf(std::move(way), workload, verification);
  };
  const auto run = [&](PsTraffic traffic, std::vector<Series> values) {
    return RunGroup({floor->AsSeries(traffic, verification), std::move(values)}, options, report);
  };
  PENSTOCK_RETURN_IF_ERROR(run(
      PsTraffic::kContiguous,
      {asynchronous(ServerWay("ps_contiguous_s", workload, /*contiguous=*/true)),
       asynchronous(PlainActorsWay("ps_plain_actors_s", workload, /*contiguous=*/true))}));
  PENSTOCK_RETURN_IF_ERROR(run(
      PsTraffic::kViews,
      {asynchronous(ServerWay("ps_views_s", workload, /*contiguous=*/false)),
       asynchronous(PlainActorsWay("ps_views_unfused_s", workload, /*contiguous=*/false))}));
  const auto rounds =
      std::make_shared<SynchronousJob>("ps_views_read_s", workload, verification);
  return run(PsTraffic::kViewsRead,
             {SecondsOf("ps_views_read_s", [rounds] { return rounds->Run(); })});
}

absl::Status Measure(const RunOptions& options, Report& report) {
  PsWorkload workload;
  Config config;
  if (options.quick) {
    workload.bytes = 8'000'000;
    config.memory = kGiB;  // less to make before it is settled
    report.AddNote("quick: 8 MB of parameters instead of 100");
  }
  if (options.table) return MeasurePsTable(workload, config, options, report);
  config.num_cpus = workload.workers;  // all of them run, on however many cores
  PENSTOCK_RETURN_IF_ERROR(MeasureFirst(workload, config, options, report));
  return MeasureWarm(workload, config, options, report);
}

}  // namespace

absl::Status RunPs(Crew&, const RunOptions& options, Report& report) {
  report.host.io = "epoll";
  absl::Status status;
  try {
    status = Measure(options, report);
  } catch (const Error& error) {
    status = absl::UnavailableError(error.what());
  }
  Shutdown();
  return status;
}

}  // namespace penstock::bench
