// The private cluster: what is left when its driver ends, and what drops take away.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <penstock/client.h>
#include <penstock/runtime.h>

#include "absl/time/time.h"
#include "tests/support/test_daemon.h"

namespace penstock {
namespace {

using testing::Eventually;

int Twice(int value) { return 2 * value; }
int SizeOf(std::string text) { return static_cast<int>(text.size()); }
std::string Big(int bytes) { return std::string(static_cast<size_t>(bytes), 'x'); }
int PidOf() { return getpid(); }
PENSTOCK_REMOTE(Twice, SizeOf, Big, PidOf);

bool IsThere(const std::string& path) { return std::filesystem::exists(path); }
bool Lives(int pid) { return kill(pid, 0) == 0; }

TEST(Cluster, ShutdownLeavesNoProcessAndNoFile) {
  const ClusterInfo info = Init({.num_cpus = 2, .memory = 64 << 20});
  EXPECT_TRUE(IsInitialized());
  EXPECT_TRUE(IsThere(info.session_dir));
  const int worker = *Task(PidOf).Remote().Get();
  Shutdown();
  EXPECT_FALSE(IsInitialized());
  EXPECT_FALSE(IsThere(info.session_dir));
  EXPECT_TRUE(Eventually([&] { return !Lives(worker); }, absl::Seconds(2)));
}

TEST(Cluster, CanBeStartedAgain) {
  for (int i = 0; i < 3; ++i) {
    Init({.num_cpus = 1, .memory = 64 << 20});
    EXPECT_EQ(*Task(Twice).Remote(i).Get(), 2 * i);
    Shutdown();
  }
}

TEST(Cluster, ADriverKilledOutrightLeavesNoProcessAndNoFile) {
  for (int round = 0; round < 20; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t driver = fork();
    ASSERT_GE(driver, 0);
    if (driver == 0) {
      close(ends[0]);
      const ClusterInfo info = Init({.num_cpus = 2, .memory = 64 << 20});
      const int worker = *Task(PidOf).Remote().Get();
      dprintf(ends[1], "%d %s\n", worker, info.session_dir.c_str());
      pause();
    }
    close(ends[1]);
    FILE* const said = fdopen(ends[0], "r");
    int worker = 0;
    char dir[256] = {};
    ASSERT_EQ(fscanf(said, "%d %255s", &worker, dir), 2);
    kill(driver, SIGKILL);
    waitpid(driver, nullptr, 0);
    EXPECT_TRUE(Eventually([&] { return !Lives(worker) && !IsThere(dir); }));
    fclose(said);
  }
}

TEST(Cluster, ValuesWhoseRefsAreDroppedLeaveTheStore) {
  const ClusterInfo info = Init({.num_cpus = 2, .memory = 64 << 20});
  for (int i = 0; i < 50; ++i) {
    const auto big = Task(Big).Remote(1 << 20);  // 50 MiB in all, into 64
    EXPECT_EQ(big.Get()->size(), 1u << 20);
    const auto again = Put(std::string(1 << 20, 'y'));
    EXPECT_EQ(again.Get()->size(), 1u << 20);
  }
  EXPECT_TRUE(Eventually([&] {
    const auto status = QueryStatus(info.session_dir);
    return status.ok() && status->Counter("object_bytes") == 0;
  }, absl::Seconds(5)));
  Shutdown();
}

TEST(Cluster, ArgumentsAndResultsThatTheStoreHasNoRoomForFailTheirCallAndNoOther) {
  Init({.num_cpus = 1, .memory = 16 << 20});
  EXPECT_THROW(Task(SizeOf).Remote(std::string(32 << 20, 'x')).Get(), ObjectLost);
  EXPECT_THROW(Task(Big).Remote(32 << 20).Get(), ObjectLost);
  EXPECT_EQ(*Task(Twice).Remote(4).Get(), 8);
  Shutdown();
}

TEST(Cluster, AProgramThatCannotFindItsDaemonSaysWhatToSet) {
  try {
    Init({.daemon_path = "/nowhere/penstockd"});
    FAIL();
  } catch (const RuntimeUnavailable& error) {
    EXPECT_NE(std::string(error.what()).find("Config::daemon_path"), std::string::npos);
  }
  EXPECT_FALSE(IsInitialized());
}

TEST(Cluster, SettingsOutOfRangeAreRefusedByName) {
  EXPECT_THROW(Init({.num_cpus = 20'000}), UsageError);
  EXPECT_THROW(Init({.max_workers = 513}), UsageError);
  EXPECT_THROW(Init({.address = "/tmp", .num_cpus = 1}), UsageError);
}

}  // namespace
}  // namespace penstock
