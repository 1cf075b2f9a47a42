// penstock-bench floor: what this machine can do without any store.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/copy_floor.h"
#include "bench/harness/latency_floors.h"
#include "bench/harness/pinning.h"
#include "bench/harness/ps_floor.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

bool IsWanted(const RunOptions& options, const std::string& name) {
  return options.only.empty() || std::ranges::find(options.only, name) != options.only.end();
}

// A floor on its own stands in the results too, with its tails.
absl::Status RunOne(Series series, const RunOptions& options, Report& report) {
  Group group;
  group.values.push_back(std::move(series));
  PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
  report.floors.emplace_back(report.results.back().name, report.results.back().value);
  return absl::OkStatus();
}

absl::Status RunCopies(const RunOptions& options, Report& report) {
  for (const CopySize& size : kCopySizes) {
    if (!IsWanted(options, NameOf(size))) continue;
    PENSTOCK_RETURN_IF_ERROR(PinToCpu(AllowedCpus()[0]));
    PENSTOCK_ASSIGN_OR_RETURN(const CopyArea source, CopyArea::Create("source", size.bytes));
    FillPattern(source.data(), size.bytes, size.bytes);
    PENSTOCK_ASSIGN_OR_RETURN(const auto floor, CopyFloor::Create(size, source.data()));
    report.host.pages = PagesName(floor->is_huge());
    PENSTOCK_RETURN_IF_ERROR(RunOne(floor->AsSeries(report.verification), options, report));
  }
  return absl::OkStatus();
}

absl::Status RunParameterServer(const RunOptions& options, Report& report) {
  std::vector<PsTraffic> wanted;
  for (const PsTraffic traffic : kPsTraffics) {
    if (IsWanted(options, NameOf(traffic))) wanted.push_back(traffic);
  }
  if (wanted.empty()) return absl::OkStatus();
  PsWorkload workload;
  // Asked for by name it is to be compared with something, so it is of the full size.
  if (options.quick && options.only.empty()) {
    workload.bytes /= 10;
    report.AddNote("quick: the ps_ floors are of a tenth of the reference workload's bytes");
  }
  PENSTOCK_ASSIGN_OR_RETURN(
      const auto floor, PsFloor::Create(workload, AllowedCpus(), options.quick ? 1 : kPsTrials));
  report.host.pages = PagesName(floor->is_huge());
  for (const PsTraffic traffic : wanted) {
    PENSTOCK_RETURN_IF_ERROR(
        RunOne(floor->AsSeries(traffic, report.verification), options, report));
  }
  return absl::OkStatus();
}

std::vector<Series> Latencies(Crew& crew) {
  std::vector<Series> all;
  const Placement same = SameCore();
  const std::optional<Placement> across = AcrossCores();
  if (across) {
    all.push_back(FutexRoundTrip(crew, "futex_rtt_us", across->producer, across->relay,
                                 kParkPauseNs));
  }
  all.push_back(FutexRoundTrip(crew, "futex_rtt_same_core_us", same.producer, same.consumer,
                               kParkPauseNs));
  if (across) all.push_back(Relay(crew, "relay_us", *across));
  all.push_back(Relay(crew, "relay_same_core_us", same));
  if (across) {
    all.push_back(UnixSocketRoundTrip(crew, "unix_socket_rtt_us", across->producer,
                                      across->relay));
    all.push_back(SpinRoundTrip(crew, "spin_rtt_ns", across->producer, across->relay));
  }
  all.push_back(BareSystemCall(crew, "syscall_ns", same.producer));
  return all;
}

absl::Status RunLatencies(std::vector<Series> latencies, const RunOptions& options,
                          Report& report) {
  if (options.only.empty() && !AcrossCores()) {
    report.AddNote("one cpu: floors between two cores were not measured");
  }
  for (Series& series : latencies) {
    if (!IsWanted(options, series.name)) continue;
    PENSTOCK_RETURN_IF_ERROR(RunOne(std::move(series), options, report));
  }
  return absl::OkStatus();
}

absl::Status RefuseUnknown(const std::vector<std::string>& only,
                           const std::vector<Series>& latencies) {
  std::vector<std::string> known;
  for (const CopySize& size : kCopySizes) known.push_back(NameOf(size));
  for (const PsTraffic traffic : kPsTraffics) known.push_back(NameOf(traffic));
  for (const Series& series : latencies) known.push_back(series.name);
  for (const std::string& name : only) {
    if (std::ranges::find(known, name) == known.end()) {
      return absl::InvalidArgumentError(
          fmt::format("--only {}: there is no such floor on this machine; there are {}", name,
                      fmt::join(known, ", ")));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunFloor(Crew& crew, const RunOptions& options, Report& report) {
  std::vector<Series> latencies = Latencies(crew);
  PENSTOCK_RETURN_IF_ERROR(RefuseUnknown(options.only, latencies));
  report.host.pages = "none: nothing is copied";
  PENSTOCK_RETURN_IF_ERROR(RunCopies(options, report));
  PENSTOCK_RETURN_IF_ERROR(RunParameterServer(options, report));
  return RunLatencies(std::move(latencies), options, report);
}

}  // namespace penstock::bench
