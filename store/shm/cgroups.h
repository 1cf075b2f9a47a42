// The cgroups above this process, of version 1 and 2.
#ifndef PENSTOCK_STORE_SHM_CGROUPS_H_
#define PENSTOCK_STORE_SHM_CGROUPS_H_

#include <string>
#include <vector>

namespace penstock {

struct Cgroup {
  std::string folder;  // where its files are
  std::string path;    // its name; empty: the topmost
  bool is_v2 = false;
};

// Those that `controller` ("memory", "cpu") may limit, the closest first. Every level may have a
// limit of its own. In a container the path may be the one outside, and what is mounted at the
// base the cgroup itself; so a folder may not exist. `root`: where /proc and /sys lie, for tests.
std::vector<Cgroup> CgroupsAbove(const std::string& controller, const std::string& root);

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_CGROUPS_H_
