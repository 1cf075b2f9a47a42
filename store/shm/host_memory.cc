// /proc/meminfo and cgroup files.
#include "store/shm/host_memory.h"

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

void NoteLimit(const std::string& folder, const std::string& path, bool is_v2,
               HostMemory& memory) {
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
  std::ifstream cgroups(root + "/proc/self/cgroup");
  while (std::getline(cgroups, line)) {
    // "number:controllers:/path", without controllers in version 2.
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_v2 = controllers.empty();
    if (!is_v2 && ("," + controllers + ",").find(",memory,") == std::string::npos) continue;
    const std::string base = root + (is_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory");
    // Every level above may have a limit of its own. In a container the path may be the one
    // outside, and what is mounted at the base the cgroup itself.
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    while (path.starts_with('/')) {
      NoteLimit(base + path, path, is_v2, memory);
      path.resize(path.find_last_of('/'));
    }
    NoteLimit(base, "", is_v2, memory);
  }
  return memory;
}

uint64_t FreeHugetlbBytes() {
  return ReadNumber("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").value_or(0) *
         kHugePageBytes;
}

}  // namespace penstock
