// How much memory this host, or the cgroup around this process, has.
#ifndef PENSTOCK_STORE_SHM_HOST_MEMORY_H_
#define PENSTOCK_STORE_SHM_HOST_MEMORY_H_

#include <cstdint>
#include <string>

namespace penstock {

struct HostMemory {
  uint64_t limit_bytes = 0;      // the smaller of physical memory and cgroup limits
  std::string limited_by;        // "the host" or "the memory cgroup /path"
  uint64_t available_bytes = 0;  // the least that is not in use in any of them
  std::string available_in;      // that one
};

// Reads /proc/meminfo and the limits of the cgroups, of version 2 or 1, above this process:
// some 100 us. `root`: where /proc and /sys lie, for tests.
HostMemory ReadHostMemory(const std::string& root = "");

// Free pages of 2 MiB that an operator reserved.
uint64_t FreeHugetlbBytes();

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_HOST_MEMORY_H_
