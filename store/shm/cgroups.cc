// /proc/self/cgroup.
#include "store/shm/cgroups.h"

#include <fstream>

namespace penstock {

std::vector<Cgroup> CgroupsAbove(const std::string& controller, const std::string& root) {
  std::vector<Cgroup> all;
  std::ifstream cgroups(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(cgroups, line)) {
    // "number:controllers:/path", without controllers in version 2.
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_v2 = controllers.empty();
    if (!is_v2 && ("," + controllers + ",").find("," + controller + ",") == std::string::npos) {
      continue;
    }
    const std::string base = root + "/sys/fs/cgroup" + (is_v2 ? "" : "/" + controller);
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    while (path.starts_with('/')) {
      all.push_back({base + path, path, is_v2});
      path.resize(path.find_last_of('/'));
    }
    all.push_back({base, "", is_v2});
  }
  return all;
}

}  // namespace penstock
