// /proc/meminfo and cgroup files.
#include "tools/penstockd/host_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "store/base/units.h"

namespace penstock {
namespace {

std::optional<uint64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;  // missing, or "max"
}

// Memory of the page cache that the kernel gives back when asked counts as free.
uint64_t ReclaimableBytes(const std::string& cgroup) {
  std::ifstream stat(cgroup + "/memory.stat");
  std::string name;
  uint64_t value = 0;
  uint64_t sum = 0;
  while (stat >> name >> value) {
    if (name == "inactive_file" || name == "active_file") sum += value;
  }
  return sum;
}

}  // namespace

HostMemory ReadHostMemory() {
  HostMemory memory;
  memory.limited_by = "the host";
  std::ifstream meminfo("/proc/meminfo");
  std::string line;
  while (std::getline(meminfo, line)) {
    std::istringstream words(line);
    std::string name;
    uint64_t kib = 0;
    words >> name >> kib;
    if (name == "MemTotal:") memory.limit_bytes = kib * kKiB;
    if (name == "MemAvailable:") memory.available_bytes = kib * kKiB;
  }
  std::ifstream cgroups("/proc/self/cgroup");
  while (std::getline(cgroups, line)) {
    if (!line.starts_with("0::/")) continue;
    // Every level above may have a limit of its own.
    for (std::string path = line.substr(3); path.size() > 1;
         path = path.substr(0, path.find_last_of('/'))) {
      const std::string folder = "/sys/fs/cgroup" + path;
      const auto limit = ReadNumber(folder + "/memory.max");
      if (!limit || *limit >= memory.limit_bytes) continue;
      const uint64_t used = ReadNumber(folder + "/memory.current").value_or(0);
      const uint64_t held = used - std::min(used, ReclaimableBytes(folder));
      memory.limit_bytes = *limit;
      memory.available_bytes =
          std::min(memory.available_bytes, *limit - std::min(*limit, held));
      memory.limited_by = "the memory cgroup " + path;
    }
  }
  return memory;
}

uint64_t FreeHugetlbBytes() {
  return ReadNumber("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").value_or(0) *
         kHugePageBytes;
}

}  // namespace penstock
