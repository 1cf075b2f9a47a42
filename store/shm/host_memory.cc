// /proc/meminfo and cgroup files.
#include "store/shm/host_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "store/base/units.h"
#include "store/shm/cgroups.h"

namespace penstock {
namespace {

std::optional<uint64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;  // missing, or "max"
}

// Memory of the page cache that the kernel gives back when asked counts as free.
uint64_t ReclaimableBytes(const std::string& cgroup, bool is_v2) {
  // Of the cgroups below as well, as in the usage.
  const std::string prefix = is_v2 ? "" : "total_";
  std::ifstream stat(cgroup + "/memory.stat");
  std::string name;
  uint64_t value = 0;
  uint64_t sum = 0;
  while (stat >> name >> value) {
    if (name == prefix + "inactive_file" || name == prefix + "active_file") sum += value;
  }
  return sum;
}

void NoteLimit(const Cgroup& cgroup, HostMemory& memory) {
  const auto& [folder, path, is_v2] = cgroup;
  const auto limit = ReadNumber(folder + (is_v2 ? "/memory.max" : "/memory.limit_in_bytes"));
  if (!limit) return;
  const uint64_t used =
      ReadNumber(folder + (is_v2 ? "/memory.current" : "/memory.usage_in_bytes")).value_or(0);
  const uint64_t held = used - std::min(used, ReclaimableBytes(folder, is_v2));
  const uint64_t available = *limit - std::min(*limit, held);
  const std::string name = "the memory cgroup " + (path.empty() ? "/" : path);
  if (*limit < memory.limit_bytes) {
    memory.limit_bytes = *limit;
    memory.limited_by = name;
  }
  // One above, with a higher limit, may have less left.
  if (available < memory.available_bytes) {
    memory.available_bytes = available;
    memory.available_in = name;
  }
}

}  // namespace

HostMemory ReadHostMemory(const std::string& root) {
  HostMemory memory;
  memory.limited_by = "the host";
  memory.available_in = "the host";
  std::ifstream meminfo(root + "/proc/meminfo");
  std::string line;
  while (std::getline(meminfo, line)) {
    std::istringstream words(line);
    std::string name;
    uint64_t kib = 0;
    words >> name >> kib;
    if (name == "MemTotal:") memory.limit_bytes = kib * kKiB;
    if (name == "MemAvailable:") memory.available_bytes = kib * kKiB;
  }
  for (const Cgroup& cgroup : CgroupsAbove("memory", root)) NoteLimit(cgroup, memory);
  return memory;
}

uint64_t FreeHugetlbBytes() {
  return ReadNumber("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").value_or(0) *
         kHugePageBytes;
}

}  // namespace penstock
