// How much memory this host, or the cgroup around this process, has.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_HOST_MEMORY_H_
#define PENSTOCK_TOOLS_PENSTOCKD_HOST_MEMORY_H_

#include <cstdint>
#include <string>

namespace penstock {

struct HostMemory {
  uint64_t limit_bytes = 0;      // the smaller of physical memory and cgroup limits
  uint64_t available_bytes = 0;  // of it, not in use
  std::string limited_by;        // "the host" or "the memory cgroup /path"
};

// Reads /proc/meminfo and the memory.max of each cgroup (v2) above this process.
HostMemory ReadHostMemory();

// Free pages of 2 MiB that an operator reserved.
uint64_t FreeHugetlbBytes();

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_HOST_MEMORY_H_
