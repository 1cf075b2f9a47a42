// penstock-bench task and actor: calls that do next to nothing, one at a time and by the
// million.
#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/latency_floors.h"
#include "bench/harness/paired_runner.h"
#include "bench/harness/pinning.h"
#include "bench/penstock-bench/runtime_functions.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kCalls = 1'000'000;
constexpr uint64_t kCallsQuick = 20'000;
constexpr int kSyncBatch = 200;
constexpr int64_t kUntilItSleepsNs = 1'000'000;  // longer than anybody spins

// From the first call to the last value read, each with its own ref.
template <typename Call>
absl::Status RunAsync(std::string name, const RunOptions& options, Report& report, Call call) {
  const uint64_t count = options.quick ? kCallsQuick : kCalls;
  Group group;
  Series series{name, "ops/s", Kind::kRate, nullptr, {}, nullptr};
  series.take = [&report, name, count, call](Sample& sample) {
    std::vector<ObjectRef<uint64_t>> refs;
    refs.reserve(count);
    const int64_t start_ns = NowNs();
    for (uint64_t i = 0; i < count; ++i) refs.push_back(call(i));
    for (uint64_t i = 0; i < count; ++i) {
      if (*refs[i].Get() != i + 1) report.verification.Fail(name + ": a wrong result");
    }
    sample.Add(static_cast<double>(count) / SecondsSince(start_ns), count);
    return absl::OkStatus();
  };
  group.values.push_back(std::move(series));
  return RunGroup(group, options, report);
}

int64_t VoluntarySwitches() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

// One call at a time, with the callee on the cpu that its process was pinned to. `pause_ns`:
// so long that the callee sleeps again.
template <typename Call>
Series SyncSeries(std::string name, Verification& verification, int64_t pause_ns, Call call) {
  Series series{name, "us", Kind::kLatency, nullptr, {}, nullptr};
  const auto switches = std::make_shared<std::pair<int64_t, int64_t>>();  // of operations
  series.take = [name, &verification, pause_ns, call, switches](Sample& sample) {
    // Asked before and after all of them: a system call between two would be timed along.
    const int64_t before = VoluntarySwitches();
    for (uint64_t i = 0; i < kSyncBatch; ++i) {
      if (pause_ns > 0) SleepNs(pause_ns);
      const int64_t start_ns = NowNs();
      const uint64_t value = *call(i).Get();
      sample.Add(static_cast<double>(NowNs() - start_ns) / 1000);
      if (value != i + 1) verification.Fail(name + ": a wrong result");
    }
    const int64_t pauses = pause_ns > 0 ? kSyncBatch : 0;
    switches->first += VoluntarySwitches() - before - pauses;
    switches->second += kSyncBatch;
    return absl::OkStatus();
  };
  series.describe = [switches](nlohmann::ordered_json& more) {
    more["callers_voluntary_switches_per_op"] =
        static_cast<double>(switches->first) / static_cast<double>(switches->second);
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

// Fresh drivers: from Init to the first task's result, the end of the cluster not counted.
absl::Status MeasureStart(const RunOptions& options, Report& report) {
  Group group;
  Series series{"init_to_first_result_ms", "ms", Kind::kLatency, nullptr, {}, nullptr};
  series.take = [&report](Sample& sample) {
    const int64_t start_ns = NowNs();
    Init();
    if (*Task(NextOf).Remote(1).Get() != 2) report.verification.Fail("the first result");
    sample.Add(SecondsSince(start_ns) * 1000);
    Shutdown();
    return absl::OkStatus();
  };
  group.values.push_back(std::move(series));
  return RunGroup(group, options, report);
}

absl::Status MeasureTasks(Crew& crew, const RunOptions& options, Report& report) {
  PENSTOCK_RETURN_IF_ERROR(MeasureStart(options, report));
  const auto call = [](uint64_t i) { return Task(NextOf).Remote(i); };
  if (AllowedCpus().size() > 1) {
    Init({.num_cpus = 1, .prefault = true});  // one worker, so that it can be pinned
    PENSTOCK_RETURN_IF_ERROR(PinToCpu(AllowedCpus()[0]));
    PENSTOCK_RETURN_IF_ERROR(PinToCpu(AllowedCpus()[1], *Task(PidOfWorker).Remote().Get()));
    Group group;
    group.floor = FutexRoundTrip(crew, "futex_rtt_us", AllowedCpus()[0], AllowedCpus()[1],
                                 kUntilItSleepsNs);
    group.values.push_back(
        SyncSeries("task_sync_us", report.verification, kUntilItSleepsNs, call));
    PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
    Shutdown();
    PENSTOCK_RETURN_IF_ERROR(Unpin());
  } else {
    report.AddNote("one cpu: task_sync_us was not measured");
  }
  Init({.prefault = true});
  return RunAsync("task_async_ops_per_s", options, report, call);
}

absl::Status MeasureActors(Crew& crew, const RunOptions& options, Report& report) {
  Init({.prefault = true});
  const auto echo = Actor(MakeEcho).Remote();
  const auto call = [echo](uint64_t i) { return echo.Task(&Echo::Next).Remote(i); };
  const pid_t pid = *echo.Task(&Echo::Pid).Remote().Get();
  if (AllowedCpus().size() > 1) {
    const int here = AllowedCpus()[0], there = AllowedCpus()[1];
    PENSTOCK_RETURN_IF_ERROR(PinToCpu(here));
    PENSTOCK_RETURN_IF_ERROR(PinToCpu(there, pid));
    Group parked;
    parked.floor = FutexRoundTrip(crew, "futex_rtt_us", here, there, kUntilItSleepsNs);
    parked.values.push_back(
        SyncSeries("actor_sync_parked_us", report.verification, kUntilItSleepsNs, call));
    PENSTOCK_RETURN_IF_ERROR(RunGroup(parked, options, report));
    Group spinning;
    spinning.floor = SpinRoundTrip(crew, "spin_rtt_us", here, there, "us");
    spinning.values.push_back(SyncSeries("actor_sync_spinning_us", report.verification, 0, call));
    PENSTOCK_RETURN_IF_ERROR(RunGroup(spinning, options, report));
    PENSTOCK_RETURN_IF_ERROR(PinToCpu(here, pid));
    Group same;
    same.floor = FutexRoundTrip(crew, "futex_rtt_same_core_us", here, here, kUntilItSleepsNs);
    same.values.push_back(
        SyncSeries("actor_sync_parked_same_core_us", report.verification, kUntilItSleepsNs, call));
    PENSTOCK_RETURN_IF_ERROR(RunGroup(same, options, report));
    PENSTOCK_RETURN_IF_ERROR(Unpin(pid));
    PENSTOCK_RETURN_IF_ERROR(Unpin());
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
