// Drivers that join a running node: what they share, and what they take along.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <penstock/array_value.h>
#include <penstock/client.h>
#include <penstock/runtime.h>

#include "absl/time/clock.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

int Add(int a, int b) { return a + b; }
int PidAfter(int ms) {
  absl::SleepFor(absl::Milliseconds(ms));
  return getpid();
}
std::string Large(int bytes) { return std::string(static_cast<size_t>(bytes), 'x'); }

class Keeper {
 public:
  Array<double> Make(int count) { return kept_ = Array<double>::Ones(static_cast<size_t>(count)); }
  int Ready() const { return 1; }

 private:
  Array<double> kept_;
};
Keeper* MakeKeeper() { return new Keeper(); }
PENSTOCK_REMOTE(Add, PidAfter, Large, MakeKeeper, &Keeper::Make, &Keeper::Ready);

// Runs `drive` as another driver; its exit code.
template <typename Drive>
pid_t StartDriver(Drive drive) {
  const pid_t pid = fork();
  if (pid == 0) _exit(drive());
  return pid;
}
int ExitCodeOf(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Everything a driver can leave behind: its own values, its workers', an actor's.
int FillTheStore(const TestDaemon& daemon, Channel& ready) {
  setenv("PENSTOCK_ADDRESS", daemon.dir().c_str(), 1);
  Init();
  PENSTOCK_CHILD_EXPECT(*Task(Add).Remote(1, 2).Get() == 3);
  const auto own = Put(Large(2 << 20));
  const auto made = Task(Large).Remote(2 << 20);
  const auto keeper = Actor(MakeKeeper).SetName("keeper").Remote();
  const auto array = keeper.Task(&Keeper::Make).Remote(100'000).Get();
  PENSTOCK_CHILD_EXPECT(array->AllEqual(1));
  PENSTOCK_CHILD_EXPECT(made.Get()->size() == 2u << 20);
  ready.Signal();
  pause();
  return 1;
}
bool NothingOfTheRuntimeIsLeft(const TestDaemon& daemon) {
  const DaemonStatus status = daemon.Status();
  return status.Counter("runtime_processes") == 0 && status.Counter("object_bytes") == 0 &&
         status.Counter("sessions") == 0;
}

TEST(Join, ADriverThatIsKilledTakesItsTasksActorsAndObjectsAlong) {
  const TestDaemon daemon({"--memory", "64MiB", "--cpus", "2"});
  daemon.WaitPopulated();
  for (int round = 0; round < 3; ++round) {
    Channel ready;
    const pid_t driver = StartDriver([&] { return FillTheStore(daemon, ready); });
    ready.Wait();
    EXPECT_GT(daemon.Status().Counter("runtime_workers"), 0u);
    EXPECT_GT(daemon.Status().Counter("object_bytes"), 4u << 20);
    kill(driver, SIGKILL);
    EXPECT_EQ(ExitCodeOf(driver), 128 + SIGKILL);
    EXPECT_TRUE(Eventually([&] { return NothingOfTheRuntimeIsLeft(daemon); }, absl::Seconds(20)));
  }
}

TEST(Join, ShutdownEndsTheDriversJobAndLeavesTheNodeToOthers) {
  const TestDaemon daemon({"--memory", "64MiB", "--cpus", "2"});
  daemon.WaitPopulated();
  Client bystander = daemon.Connect();
  const ObjectId kept = Must(bystander.Put("a bystander's"));
  const pid_t driver = StartDriver([&] {
    const ClusterInfo info = Init({.address = daemon.dir()});
    PENSTOCK_CHILD_EXPECT(info.session_dir == daemon.dir());
    const auto large = Task(Large).Remote(1 << 20);
    PENSTOCK_CHILD_EXPECT(large.Get()->size() == 1u << 20);
    Shutdown();
    return 0;
  });
  EXPECT_EQ(ExitCodeOf(driver), 0);
  EXPECT_TRUE(Eventually([&] {
    return daemon.Status().Counter("runtime_processes") == 0 &&
           daemon.Status().Counter("objects") == 1;
  }, absl::Seconds(20)));
  EXPECT_EQ(Must(bystander.Get(kept)).text(), "a bystander's");
}

TEST(Join, TheSecondDriversTaskIsServedWhileTheFirstOnesFloodGoesOn) {
  const TestDaemon daemon({"--memory", "64MiB", "--cpus", "2"});
  daemon.WaitPopulated();
  Channel flooded, served;
  const pid_t first = StartDriver([&] {
    Init({.address = daemon.dir()});
    std::vector<ObjectRef<int>> flood;
    for (int i = 0; i < 20'000; ++i) flood.push_back(Task(PidAfter).Remote(1));
    flood[0].Get();
    flooded.Signal();
    served.Wait();
    // Queued tasks were still waiting when the other driver had its answer.
    return Wait(flood, flood.size(), absl::ZeroDuration()).unready.empty() ? 1 : 0;
  });
  const pid_t second = StartDriver([&] {
    flooded.Wait();
    Init({.address = daemon.dir()});
    PENSTOCK_CHILD_EXPECT(*Task(Add).Remote(20, 22).Get() == 42);
    served.Signal();
    return 0;
  });
  EXPECT_EQ(ExitCodeOf(second), 0);
  EXPECT_EQ(ExitCodeOf(first), 0);
}

TEST(Join, WhereNoNodeIsTheErrorSaysWhatToDo) {
  try {
    Init({.address = "/tmp/no-such-penstock"});
    FAIL();
  } catch (const RuntimeUnavailable& error) {
    EXPECT_TRUE(Contains(error.what(), "/tmp/no-such-penstock")) << error.what();
    EXPECT_TRUE(Contains(error.what(), "PENSTOCK_ADDRESS")) << error.what();
  }
  EXPECT_FALSE(IsInitialized());
}

TEST(Join, RefsAndHandlesOfAnotherClusterAreRefused) {
  Init({.num_cpus = 1, .memory = 64 << 20});
  const auto ref = Put(7);
  const auto keeper = Actor(MakeKeeper).Remote();
  EXPECT_EQ(*keeper.Task(&Keeper::Ready).Remote().Get(), 1);
  Shutdown();
  EXPECT_THROW(ref.Get(), UsageError) << "there is no cluster";
  Init({.num_cpus = 1, .memory = 64 << 20});
  EXPECT_THROW(ref.Get(), UsageError);
  EXPECT_THROW(Wait(std::vector{ref}, 1), UsageError);
  EXPECT_THROW(Task(Add).Remote(ref, 1), UsageError);
  EXPECT_THROW(Put(std::vector{ref}), UsageError);
  EXPECT_THROW(keeper.Task(&Keeper::Ready).Remote(), UsageError);
  EXPECT_THROW(keeper.Kill(), UsageError);
  EXPECT_THROW(ActorHandle<Keeper>().Task(&Keeper::Ready).Remote(), UsageError);
  EXPECT_EQ(*Task(Add).Remote(Put(1), 1).Get(), 2);
  Shutdown();
}

}  // namespace
}  // namespace penstock::testing
