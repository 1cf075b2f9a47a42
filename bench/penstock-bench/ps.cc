// penstock-bench ps: the sharded parameter server against its own traffic as plain loops.
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/pinning.h"
#include "bench/harness/ps_floor.h"
#include "bench/penstock-bench/runtime_functions.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr int kFirsts = 5;

// The reference workload on a cluster that is up: all workers at once, until every update
// has been applied.
class Job {
 public:
  Job(const PsWorkload& workload, Verification& verification)
      : workload_(workload), verification_(verification),
        count_(workload.bytes / sizeof(double)), server_(count_, workload.shards) {
    // The self-check, untimed: one worker, one iteration.
    expected_ += *Task(WorkOnParameters).Remote(server_, count_, 1, 0).Get();
    Check();
  }

  double Run(Gather gather) {
    const int64_t start_ns = NowNs();
    std::vector<ObjectRef<int>> workers;
    for (uint32_t i = 0; i < workload_.workers; ++i) {
      workers.push_back(Task(WorkOnParameters)
                            .Remote(server_, count_, static_cast<int>(workload_.iterations),
                                    static_cast<int>(gather)));
    }
    for (const auto& worker : workers) expected_ += *worker.Get();
    // They have flushed what they sent; asked now, the shards answer when all is applied.
    views_ = server_.Views();
    const double seconds = SecondsSince(start_ns);
    Check();
    return seconds;
  }

 private:
  void Check() {
    views_ = server_.Views();
    for (const auto& view : views_) {
      if (!view.AllEqual(expected_)) {
        verification_.Fail(fmt::format("ps: not every element is {}, the number of updates",
                                       expected_));
      }
    }
    views_.clear();
  }

  const PsWorkload workload_;
  Verification& verification_;
  const uint64_t count_;
  ParameterServer server_;
  std::vector<Array<double>> views_;
  int expected_ = 0;
};

Series JobSeries(std::string name, Job& job, Gather gather) {
  Series series{std::move(name), "s", Kind::kLatency, nullptr, {}, nullptr};
  series.take = [&job, gather](Sample& sample) {
    sample.Add(job.Run(gather));
    return absl::OkStatus();
  };
  return series;
}

// From Init on: nothing is warm, and the store's memory is still being made.
absl::Status MeasureFirst(const PsWorkload& workload, const Config& config,
                          const RunOptions& options, Report& report) {
  Sample firsts;
  for (int i = 0; i < (options.quick ? 2 : kFirsts); ++i) {
    const int64_t start_ns = NowNs();
    Init(config);
    {
      Job job(workload, report.verification);
      job.Run(Gather::kContiguous);
      firsts.Add(SecondsSince(start_ns));
    }
    Shutdown();
  }
  Result first;
  first.name = "ps_first_s";
  first.unit = "s";
  ConcludeRun(Kind::kLatency, firsts, first);
  first.more["from"] = "Init, self-check and one contiguous run";
  report.results.push_back(std::move(first));
  return absl::OkStatus();
}

absl::Status Measure(const RunOptions& options, Report& report) {
  PsWorkload workload;
  if (options.quick) {
    workload.bytes = 8'000'000;
    report.AddNote("quick: 8 MB of parameters instead of 100");
  }
  Config config;
  config.num_cpus = workload.workers;  // all of them run, on however many cores
  PENSTOCK_RETURN_IF_ERROR(MeasureFirst(workload, config, options, report));
  PENSTOCK_RETURN_IF_ERROR(InitAndSettle(config));
  Job job(workload, report.verification);
  PENSTOCK_ASSIGN_OR_RETURN(const auto floor, PsFloor::Create(workload, AllowedCpus()));
  report.host.pages = floor->is_huge() ? "2 MiB (collapsed memfd)" : "4 KiB (memfd)";
  for (const auto& [name, traffic, gather] :
       {std::tuple{"ps_contiguous_s", PsTraffic::kContiguous, Gather::kContiguous},
        std::tuple{"ps_views_s", PsTraffic::kViews, Gather::kViews}}) {
    Group group;
    group.floor = floor->AsSeries(traffic, report.verification);
    group.values.push_back(JobSeries(name, job, gather));
    PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
  }
  return absl::OkStatus();
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
