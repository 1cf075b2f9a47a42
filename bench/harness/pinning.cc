// sched_setaffinity.
#include "bench/harness/pinning.h"

#include <sched.h>

#include <cerrno>

#include <fmt/format.h>
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

std::vector<int> ReadAllowedCpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

}  // namespace

const std::vector<int>& AllowedCpus() {
  static const std::vector<int> cpus = ReadAllowedCpus();
  return cpus;
}

absl::Status PinToCpu(int cpu, pid_t pid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (sched_setaffinity(pid, sizeof(set), &set) != 0) {
    return ErrnoStatus(errno, fmt::format("pinning a process to cpu {}", cpu));
  }
  return absl::OkStatus();
}

absl::Status Unpin(pid_t pid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : AllowedCpus()) CPU_SET(static_cast<unsigned>(cpu), &set);
  if (sched_setaffinity(pid, sizeof(set), &set) != 0) {
    return ErrnoStatus(errno, "unpinning a process");
  }
  return absl::OkStatus();
}

std::string Placement::ToString() const {
  return fmt::format("producer cpu{}, relay cpu{}, consumer cpu{}", producer, relay, consumer);
}

std::optional<Placement> AcrossCores() {
  const std::vector<int>& cpus = AllowedCpus();
  if (cpus.size() < 2) return std::nullopt;
  return Placement{cpus[0], cpus[1], cpus.size() > 2 ? cpus[2] : cpus[0]};
}

Placement SameCore() {
  const int cpu = AllowedCpus()[0];
  return Placement{cpu, cpu, cpu};
}

}  // namespace penstock::bench
