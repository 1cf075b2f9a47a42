// penstock-bench floor: what this machine can do without any store.
#include <memory>
#include <utility>
#include <vector>

#include "bench/harness/copy_floor.h"
#include "bench/harness/latency_floors.h"
#include "bench/harness/pinning.h"
#include "bench/harness/ps_floor.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

// A floor on its own stands in the results too, with its tails.
absl::Status RunOne(Series series, const RunOptions& options, Report& report) {
  Group group;
  group.values.push_back(std::move(series));
  PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
  report.floors.emplace_back(report.results.back().name, report.results.back().value);
  return absl::OkStatus();
}

absl::Status RunCopies(const RunOptions& options, Report& report) {
  PENSTOCK_RETURN_IF_ERROR(PinToCpu(AllowedCpus()[0]));
  for (const CopySize& size : kCopySizes) {
    PENSTOCK_ASSIGN_OR_RETURN(const CopyArea source, CopyArea::Create("source", size.bytes));
    FillPattern(source.data(), size.bytes, size.bytes);
    PENSTOCK_ASSIGN_OR_RETURN(const auto floor, CopyFloor::Create(size, source.data()));
    report.host.pages = PagesName(floor->is_huge());
    PENSTOCK_RETURN_IF_ERROR(RunOne(floor->AsSeries(report.verification), options, report));
  }
  return absl::OkStatus();
}

absl::Status RunLatencies(Crew& crew, const RunOptions& options, Report& report) {
  std::vector<Series> all;
  const Placement same = SameCore();
  const std::optional<Placement> across = AcrossCores();
  if (across) {
    all.push_back(FutexRoundTrip(crew, "futex_rtt_us", across->producer, across->relay));
  }
  all.push_back(FutexRoundTrip(crew, "futex_rtt_same_core_us", same.producer, same.consumer));
  if (across) all.push_back(Relay(crew, "relay_us", *across));
  all.push_back(Relay(crew, "relay_same_core_us", same));
  if (across) {
    all.push_back(UnixSocketRoundTrip(crew, "unix_socket_rtt_us", across->producer,
                                      across->relay));
    all.push_back(SpinRoundTrip(crew, "spin_rtt_ns", across->producer, across->relay));
  } else {
    report.AddNote("one cpu: floors between two cores were not measured");
  }
  all.push_back(BareSystemCall(crew, "syscall_ns", same.producer));
  for (Series& series : all) {
    PENSTOCK_RETURN_IF_ERROR(RunOne(std::move(series), options, report));
  }
  return absl::OkStatus();
}

absl::Status RunParameterServer(const RunOptions& options, Report& report) {
  PsWorkload workload;
  if (options.quick) {
    workload.bytes /= 10;
    report.AddNote("quick: the ps_ floors are of a tenth of the reference workload's bytes");
  }
  PENSTOCK_ASSIGN_OR_RETURN(const auto floor, PsFloor::Create(workload, AllowedCpus()));
  for (const PsTraffic traffic : kPsTraffics) {
    PENSTOCK_RETURN_IF_ERROR(
        RunOne(floor->AsSeries(traffic, report.verification), options, report));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunFloor(Crew& crew, const RunOptions& options, Report& report) {
  PENSTOCK_RETURN_IF_ERROR(RunCopies(options, report));
  PENSTOCK_RETURN_IF_ERROR(RunParameterServer(options, report));
  return RunLatencies(crew, options, report);
}

}  // namespace penstock::bench
