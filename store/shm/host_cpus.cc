// Affinity and quotas.
#include "store/shm/host_cpus.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <vector>

#include "store/shm/cgroups.h"

namespace penstock {
namespace {

constexpr int kMostCpus = 1 << 16;

std::optional<uint32_t> Affinity() {
  cpu_set_t* const set = CPU_ALLOC(kMostCpus);
  if (set == nullptr) return std::nullopt;
  const size_t bytes = CPU_ALLOC_SIZE(kMostCpus);
  std::optional<uint32_t> count;
  if (sched_getaffinity(0, bytes, set) == 0) {
    count = static_cast<uint32_t>(CPU_COUNT_S(bytes, set));
  }
  CPU_FREE(set);
  return count;
}

// CPUs, in parts; nothing where there is no quota.
std::optional<double> QuotaOf(const Cgroup& cgroup) {
  double quota_us = 0, period_us = 0;
  if (cgroup.is_v2) {
    std::ifstream file(cgroup.folder + "/cpu.max");  // "max 100000" or "50000 100000"
    if (!(file >> quota_us >> period_us)) return std::nullopt;
  } else {
    std::ifstream quota(cgroup.folder + "/cpu.cfs_quota_us");  // -1: none
    std::ifstream period(cgroup.folder + "/cpu.cfs_period_us");
    if (!(quota >> quota_us) || !(period >> period_us)) return std::nullopt;
  }
  if (quota_us <= 0 || period_us <= 0) return std::nullopt;
  return quota_us / period_us;
}

}  // namespace

HostCpus ReadHostCpus(const std::string& root) {
  const int64_t online = sysconf(_SC_NPROCESSORS_ONLN);
  HostCpus cpus{static_cast<uint32_t>(std::clamp<int64_t>(online, 1, kMostCpus)), "the host"};
  const auto limit = [&cpus](uint32_t count, const std::string& by) {
    if (count < cpus.count) cpus = {std::max(count, 1u), by};
  };
  if (const auto affinity = Affinity()) limit(*affinity, "the CPU affinity");
  for (const Cgroup& cgroup : CgroupsAbove("cpu", root)) {
    const std::optional<double> quota = QuotaOf(cgroup);
    if (!quota || *quota >= cpus.count) continue;
    limit(static_cast<uint32_t>(*quota),
          "the CPU cgroup " + (cgroup.path.empty() ? "/" : cgroup.path));
  }
  return cpus;
}

}  // namespace penstock
