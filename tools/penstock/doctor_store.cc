// penstock doctor: the probes of the daemon that runs, and of its disk.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include "store/base/copy_trial.h"
#include "store/base/streaming_copy.h"
#include "store/base/units.h"
#include "tools/penstock/doctor.h"

namespace penstock {
namespace {

Finding Good(std::string what, std::string found) {
  return {std::move(what), std::move(found), Verdict::kGood, ""};
}
Finding Improvable(std::string what, std::string found, std::string improve) {
  return {std::move(what), std::move(found), Verdict::kImprovable, std::move(improve)};
}

std::string NoDaemon(const Host& host) { return host.why_no_daemon + " at " + host.store_dir; }

// The one command that ends the trouble, or shows what to look at.
std::string DiskCommand(const StoreDisk& disk) {
  const std::string dir = disk.dir.empty() ? "DIR" : disk.dir;
  switch (disk.why) {
    case SpillTrouble::kLimit:
      return "penstockd --take-over --spill-limit MORE, and its other flags";
    case SpillTrouble::kTableFull: return "penstockd --objects MORE";
    case SpillTrouble::kGone: return "mkdir -m 700 " + dir;
    case SpillTrouble::kUnwritable: return "ls -ld " + dir;
    case SpillTrouble::kIo: return "dmesg";
    default: return "df -h " + dir;
  }
}

std::optional<std::string> ReadLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

}  // namespace

Finding ProbeCopies(const Host& host) {
  const std::string kernels =
      Describe(Completed(UnpackCopyPlan(host.copy_plan), host.processor));
  const std::string from = fmt::format(
      "; memcpy below {}", FormatBytes(StreamingBytesFor(host.processor.l2_bytes)));
  if (!host.daemon_pid) {
    return Good("copies", fmt::format("{}{}; {}", kernels, from,
                                      host.daemon_is_silent
                                          ? "what was measured the daemon does not answer"
                                          : "unmeasured, " + NoDaemon(host)));
  }
  const CopyPlan plan = UnpackCopyPlan(host.copy_plan);
  const auto measured = std::count_if(plan.begin(), plan.end(), [](uint8_t kernel) {
    return kernel != 0;
  });
  const auto usable = std::count_if(plan.begin(), plan.end(), [&host](uint8_t kernel) {
    const CopyKernel* const known = kernel == 0 ? nullptr : FindCopyKernel(kernel);
    return known != nullptr && CanRun(*known, host.processor);
  });
  std::string how = "measured by the daemon";
  if (measured == 0 && !host.population_done) {
    how = "not measured yet: the arena is being made";
  } else if (measured == 0 && host.arena_bytes < kLeastMeasuredArenaBytes) {
    how = fmt::format("the default: an arena below {} is too small to measure in",
                      FormatBytes(kLeastMeasuredArenaBytes));
  } else if (measured < kCopyClasses) {
    // There was no room to measure in: it was filled while it began.
    how = fmt::format("{} of {} sizes measured by the daemon, the rest is the default: a store "
                      "that is started anew measures again", measured, kCopyClasses);
  } else if (usable < measured) {
    how = fmt::format("{} of {} sizes measured by the daemon, the rest needs what this process "
                      "does without", usable, kCopyClasses);
  }
  return Good("copies", kernels + from + "; " + how);
}

Finding ProbeOomScore(const Host& host) {
  if (host.daemon_is_silent) return Good("OOM score", "unknown: the daemon does not answer");
  if (!host.daemon_pid) return Good("OOM score", NoDaemon(host));
  if (host.daemon_is_elsewhere) {
    return Good("OOM score", fmt::format("unknown: the daemon is process {} of another process "
                                         "namespace", *host.daemon_pid));
  }
  const auto line =
      ReadLine(fmt::format("{}/proc/{}/oom_score_adj", host.root, *host.daemon_pid));
  if (!line) return Good("OOM score", "unknown");
  const std::string found =
      fmt::format("oom_score_adj {} of daemon process {}", *line, *host.daemon_pid);
  // It owns the arena, so it looks like the largest process and would be the first to go.
  if (line->starts_with('-')) return Good("OOM score", found);
  return Improvable("OOM score", found, fmt::format("choom -n -900 -p {}", *host.daemon_pid));
}

Finding ProbeDaemon(const Host& host) {
  if (host.daemon_is_silent) return Improvable("daemon", host.why_no_daemon, host.wake);
  if (!host.daemon_pid) return Good("daemon", NoDaemon(host));
  return Good("daemon", fmt::format("process {} answers at {}", *host.daemon_pid, host.store_dir));
}

Finding ProbeDisk(const Host& host) {
  if (!host.disk) {
    return Good("disk of the store", host.daemon_pid ? "none: the daemon has no --spill-dir"
                                     : host.daemon_is_silent ? "nothing there"
                                                             : NoDaemon(host));
  }
  const StoreDisk& disk = *host.disk;
  const std::string found =
      fmt::format("{} objects, {} on disk", disk.objects, FormatBytes(disk.bytes));
  if (disk.trouble.empty()) return Good("disk of the store", found);
  return Improvable("disk of the store", found + ", " + disk.trouble, DiskCommand(disk));
}

}  // namespace penstock
