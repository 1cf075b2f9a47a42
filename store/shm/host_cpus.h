// How many CPUs this process may use.
#ifndef PENSTOCK_STORE_SHM_HOST_CPUS_H_
#define PENSTOCK_STORE_SHM_HOST_CPUS_H_

#include <cstdint>
#include <string>

namespace penstock {

struct HostCpus {
  uint32_t count = 1;
  std::string limited_by;  // "the host", "the CPU affinity" or "the CPU cgroup /path"
};

// The least of what the host has, the process's affinity (taskset) and the quotas of the cgroups
// above it, rounded down, at least 1. `root`: where /proc and /sys lie, for tests. Cost: some
// 100 us.
HostCpus ReadHostCpus(const std::string& root = "");

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_HOST_CPUS_H_
