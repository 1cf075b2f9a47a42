// A cluster on a host that lacks something: what Init and the calls say, and that they end.
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include <gtest/gtest.h>
#include <penstock/runtime.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/integration/helpers.h"
#include "tests/support/test_daemon.h"

namespace penstock {
namespace {

using testing::Contains;
using testing::RunInChild;
using testing::TestDaemon;

int Thrice(int value) { return 3 * value; }
int64_t BeginOfANap(int ms) {
  const int64_t began_ms = absl::ToUnixMillis(absl::Now());
  absl::SleepFor(absl::Milliseconds(ms));
  return began_ms;
}
PENSTOCK_REMOTE(Thrice, BeginOfANap);

// What `body` fails with, or nothing.
std::string Refusal(const std::function<void()>& body) {
  try {
    body();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

bool SetSoftStackLimit(rlim_t bytes) {
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0) return false;
  limit.rlim_cur = bytes;
  return setrlimit(RLIMIT_STACK, &limit) == 0;
}

void EnlargeEnvironment() {
  for (int i = 0; i < 30; ++i) {
    setenv(("PENSTOCK_TEST_FILLER" + std::to_string(i)).c_str(), std::string(100'000, 'x').c_str(),
           1);
  }
}

bool OwnMounts() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

bool StayOnOneCpu() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return false;
  int first = 0;
  while (!CPU_ISSET(first, &set)) ++first;
  CPU_ZERO(&set);
  CPU_SET(first, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

// Where nobody says how many CPUs tasks may use: in a private cluster, and with a daemon.
TEST(HostOfACluster, OnOneCpuTasksRunOneAfterTheOther) {
  const auto run_in_turn = [] {
    const auto one = Task(BeginOfANap).Remote(200);
    const auto other = Task(BeginOfANap).Remote(200);
    return std::abs(*one.Get() - *other.Get()) >= 150;
  };
  EXPECT_EQ(RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(StayOnOneCpu());
    Init({.memory = 16 << 20});
    PENSTOCK_CHILD_EXPECT(run_in_turn());
    Shutdown();
    const TestDaemon daemon;
    Init({.address = daemon.dir()});
    PENSTOCK_CHILD_EXPECT(run_in_turn());
    Shutdown();
    return 0;
  }), 0);
}

TEST(HostOfACluster, AReadOnlyTmpIsNamedAndTmpdirIsTakenInstead) {
  if (RunInChild([] { return OwnMounts() ? 0 : 1; }) != 0) {
    GTEST_SKIP() << "only root may change what is mounted";
  }
  if (testing::ProgramPath("penstockd").starts_with("/tmp/")) {
    GTEST_SKIP() << "penstockd itself lies in /tmp";
  }
  EXPECT_EQ(RunInChild([] {
    PENSTOCK_CHILD_EXPECT(OwnMounts());
    PENSTOCK_CHILD_EXPECT(mount("none", "/tmp", "tmpfs", MS_RDONLY, nullptr) == 0);
    PENSTOCK_CHILD_EXPECT(mount("none", "/run", "tmpfs", 0, nullptr) == 0);
    unsetenv("TMPDIR");
    unsetenv("XDG_RUNTIME_DIR");
    const std::string why = Refusal([] { Init({.num_cpus = 1, .memory = 16 << 20}); });
    fprintf(stderr, "%s\n", why.c_str());
    PENSTOCK_CHILD_EXPECT(Contains(why, "in /tmp: Read-only file system"));
    PENSTOCK_CHILD_EXPECT(Contains(why, "Set TMPDIR"));
    setenv("TMPDIR", ("/run/" + std::string(100, 'd')).c_str(), 1);
    PENSTOCK_CHILD_EXPECT(Contains(Refusal([] { Init({.num_cpus = 1, .memory = 16 << 20}); }),
                                   "too long for a socket"));
    setenv("TMPDIR", "/run", 1);
    const ClusterInfo info = Init({.num_cpus = 1, .memory = 16 << 20});
    PENSTOCK_CHILD_EXPECT(info.session_dir.starts_with("/run/"));
    PENSTOCK_CHILD_EXPECT(*Task(Thrice).Remote(2).Get() == 6);
    Shutdown();
    return 0;
  }), 0);
}

TEST(HostOfACluster, AnEnvironmentTooLargeForAWorkerFailsItsCallsAndSaysWhere) {
  EXPECT_EQ(RunInChild([] {
    rlimit before{};
    PENSTOCK_CHILD_EXPECT(getrlimit(RLIMIT_STACK, &before) == 0);
    PENSTOCK_CHILD_EXPECT(SetSoftStackLimit(1 << 20));
    const TestDaemon daemon;
    PENSTOCK_CHILD_EXPECT(SetSoftStackLimit(before.rlim_cur));
    EnlargeEnvironment();
    Init({.address = daemon.dir()});
    const std::string why = Refusal([] { Task(Thrice).Remote(2).Get(); });
    fprintf(stderr, "%s\n", why.c_str());
    PENSTOCK_CHILD_EXPECT(Contains(why, "penstockd (process"));
    PENSTOCK_CHILD_EXPECT(Contains(why, "may take 256.00 KiB"));
    PENSTOCK_CHILD_EXPECT(Contains(why, "ulimit -s"));
    Shutdown();
    return 0;
  }), 0);
}

TEST(HostOfACluster, AnEnvironmentTooLargeForTheDaemonIsNotSaidToBeAMissingDaemon) {
  EXPECT_EQ(RunInChild([] {
    PENSTOCK_CHILD_EXPECT(SetSoftStackLimit(1 << 20));
    EnlargeEnvironment();
    const std::string why = Refusal([] { Init({.num_cpus = 1, .memory = 16 << 20}); });
    fprintf(stderr, "%s\n", why.c_str());
    PENSTOCK_CHILD_EXPECT(Contains(why, "ulimit -s"));
    PENSTOCK_CHILD_EXPECT(!Contains(why, "PENSTOCK_DAEMON"));
    return 0;
  }), 0);
}

}  // namespace
}  // namespace penstock
