// CPUs that affinity and cgroups leave: hosts are made up, folders with /proc and /sys in them.
#include "store/shm/host_cpus.h"

#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace penstock {
namespace {

class HostCpusTest : public ::testing::Test {
 protected:
  HostCpusTest() {
    std::string name = (std::filesystem::temp_directory_path() / "cpus-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  ~HostCpusTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string root_;
};

TEST_F(HostCpusTest, NoLimitLeavesWhatTheProcessMayRunOn) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  EXPECT_EQ(ReadHostCpus(root_).count, static_cast<uint32_t>(CPU_COUNT(&set)));
}

TEST_F(HostCpusTest, AnAffinityOfOneCpuLeavesOne) {
  HostCpus found;
  std::thread([&] {  // the affinity is a thread's
    cpu_set_t set;
    sched_getaffinity(0, sizeof(set), &set);
    int first = 0;
    while (!CPU_ISSET(first, &set)) ++first;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    sched_setaffinity(0, sizeof(set), &set);
    found = ReadHostCpus(root_);
  }).join();
  EXPECT_EQ(found.count, 1u);
  if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
    EXPECT_EQ(found.limited_by, "the CPU affinity");
  }
}

TEST_F(HostCpusTest, TheTightestQuotaOfTheCgroupsAboveHolds) {
  Write("/proc/self/cgroup", "0::/a/b");
  Write("/sys/fs/cgroup/a/cpu.max", "150000 100000");
  Write("/sys/fs/cgroup/a/b/cpu.max", "max 100000");
  EXPECT_EQ(ReadHostCpus(root_).count, 1u);
  Write("/sys/fs/cgroup/a/b/cpu.max", "10000 100000");  // a tenth: one task at a time all the same
  EXPECT_EQ(ReadHostCpus(root_).count, 1u);
  Write("/proc/self/cgroup", "3:cpu,cpuacct:/x\n0::/");
  Write("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "100000");
  Write("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000");
  EXPECT_EQ(ReadHostCpus(root_).count, 1u);
}

TEST_F(HostCpusTest, FilesThatSayNothingLimitNothing) {
  const uint32_t all = ReadHostCpus(root_).count;
  Write("/proc/self/cgroup", "no colons\n0::/a\n4:cpu:/\n");
  Write("/sys/fs/cgroup/a/cpu.max", "max 100000");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(ReadHostCpus(root_).count, all);
  Write("/sys/fs/cgroup/a/cpu.max", "words");
  EXPECT_EQ(ReadHostCpus(root_).count, all);
}

}  // namespace
}  // namespace penstock
