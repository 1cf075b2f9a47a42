// penstock-bench task and actor: calls that do next to nothing, one at a time and by the
// million.
#include <unistd.h>

#include <vector>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/latency_floors.h"
#include "bench/harness/pinning.h"
#include "bench/penstock-bench/runtime_functions.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kCalls = 1'000'000;
constexpr uint64_t kCallsQuick = 20'000;
constexpr int kSamples = 5;
constexpr int kSyncBatch = 200;
constexpr int kFreshDrivers = 20;

// From the first call to the last value read, each with its own ref.
template <typename Call>
absl::Status RunAsync(std::string name, const RunOptions& options, Report& report, Call call) {
  const uint64_t count = options.quick ? kCallsQuick : kCalls;
  Sample rates;
  for (int sample = 0; sample < (options.quick ? 2 : kSamples); ++sample) {
    std::vector<ObjectRef<uint64_t>> refs;
    refs.reserve(count);
    const int64_t start_ns = NowNs();
    for (uint64_t i = 0; i < count; ++i) refs.push_back(call(i));
    for (uint64_t i = 0; i < count; ++i) {
      if (*refs[i].Get() != i + 1) report.verification.Fail(name + ": a wrong result");
    }
    rates.Add(static_cast<double>(count) / SecondsSince(start_ns), count);
  }
  Result result;
  result.name = std::move(name);
  result.unit = "ops/s";
  ConcludeRun(Kind::kRate, rates, result);
  report.results.push_back(std::move(result));
  return absl::OkStatus();
}

// One call at a time. `pause_ns`: so long that the callee sleeps again.
template <typename Call>
Series SyncSeries(std::string name, Verification& verification, int64_t pause_ns, Call call) {
  Series series{name, "us", Kind::kLatency, nullptr, {}, nullptr};
  series.take = [name, &verification, pause_ns, call](Sample& sample) {
    for (uint64_t i = 0; i < kSyncBatch; ++i) {
      if (pause_ns > 0) SleepNs(pause_ns);
      const int64_t start_ns = NowNs();
      const uint64_t value = *call(i).Get();
      sample.Add(static_cast<double>(NowNs() - start_ns) / 1000);
      if (value != i + 1) verification.Fail(name + ": a wrong result");
    }
    return absl::OkStatus();
  };
  return series;
}

absl::Status Guarded(absl::Status (*run)(Crew&, const RunOptions&, Report&), Crew& crew,
                     const RunOptions& options, Report& report) {
  report.host.io = "epoll";
  report.host.pages = "none: calls travel in rings";
  absl::Status status;
  try {
    status = run(crew, options, report);
  } catch (const Error& error) {
    status = absl::UnavailableError(error.what());
  }
  Shutdown();
  return status;
}

absl::Status MeasureStart(const RunOptions& options, Report& report) {
  Sample starts;
  for (int i = 0; i < (options.quick ? 2 : kFreshDrivers); ++i) {
    const int64_t start_ns = NowNs();
    Init();
    if (*Task(NextOf).Remote(1).Get() != 2) report.verification.Fail("the first result");
    starts.Add(SecondsSince(start_ns) * 1000);
    Shutdown();
  }
  Result result;
  result.name = "init_to_first_result_ms";
  result.unit = "ms";
  ConcludeRun(Kind::kLatency, starts, result);
  report.results.push_back(std::move(result));
  return absl::OkStatus();
}

absl::Status MeasureTasks(Crew& crew, const RunOptions& options, Report& report) {
  PENSTOCK_RETURN_IF_ERROR(MeasureStart(options, report));
  PENSTOCK_RETURN_IF_ERROR(InitAndSettle());
  const auto call = [](uint64_t i) { return Task(NextOf).Remote(i); };
  if (AllowedCpus().size() > 1) {
    Group group;
    group.floor = FutexRoundTrip(crew, "futex_rtt_us", AllowedCpus()[0], AllowedCpus()[1]);
    group.values.push_back(
        SyncSeries("task_sync_us", report.verification, kParkPauseNs, call));
    PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
  } else {
    report.AddNote("one cpu: task_sync_us was not measured");
  }
  return RunAsync("task_async_ops_per_s", options, report, call);
}

absl::Status MeasureActors(Crew& crew, const RunOptions& options, Report& report) {
  PENSTOCK_RETURN_IF_ERROR(InitAndSettle());
  const auto echo = Actor(MakeEcho).Remote();
  const auto call = [echo](uint64_t i) { return echo.Task(&Echo::Next).Remote(i); };
  call(0).Get();
  if (AllowedCpus().size() > 1) {
    Group parked;
    parked.floor = FutexRoundTrip(crew, "futex_rtt_us", AllowedCpus()[0], AllowedCpus()[1]);
    parked.values.push_back(
        SyncSeries("actor_sync_parked_us", report.verification, kParkPauseNs, call));
    PENSTOCK_RETURN_IF_ERROR(RunGroup(parked, options, report));
    Group spinning;
    spinning.values.push_back(SyncSeries("actor_sync_spinning_us", report.verification, 0, call));
    PENSTOCK_RETURN_IF_ERROR(RunGroup(spinning, options, report));
  } else {
    report.AddNote("one cpu: calls one at a time were not measured");
  }
  return RunAsync("actor_async_ops_per_s", options, report, call);
}

}  // namespace

absl::Status RunTask(Crew& crew, const RunOptions& options, Report& report) {
  return Guarded(MeasureTasks, crew, options, report);
}
absl::Status RunActor(Crew& crew, const RunOptions& options, Report& report) {
  return Guarded(MeasureActors, crew, options, report);
}

}  // namespace penstock::bench
