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

#include "tests/integration/helpers.h"
#include "tests/support/test_daemon.h"

namespace penstock {
namespace {

using testing::Contains;
using testing::RunInChild;
using testing::TestDaemon;

int Thrice(int value) { return 3 * value; }
PENSTOCK_REMOTE(Thrice);

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
