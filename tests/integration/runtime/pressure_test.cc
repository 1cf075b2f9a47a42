// The sharded parameter server on a store that others fill beyond its memory: their objects go
// to disk and come back, objects are moved, and one of them is killed. The job hears nothing.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <penstock/client.h>
#include <penstock/parameter_server.h>
#include <penstock/runtime.h>

#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kParameters = 1 << 19;  // 4 MiB
constexpr int kRoundsOfAHalf = 20;
constexpr uint64_t kOthersBytes = 100 << 20;

Array<double> OneStep(std::vector<Array<double>> views) {
  for (const Array<double>& view : views) {
    if (!view.AllEqual(view.values()[0])) throw UsageError("half an update was seen");
  }
  return Array<double>::Ones(kParameters);
}
PENSTOCK_REMOTE(OneStep);

void OneRound(ParameterServer& server) {
  std::vector<ObjectRef<Array<double>>> updates;
  for (int worker = 0; worker < 2; ++worker) {
    updates.push_back(Task(OneStep).Remote(server.Views()));
  }
  server.UpdateTogether(updates);
}

bool OthersArePressedSince(const DaemonStatus& before, const DaemonStatus& now) {
  for (const char* what : {"spilled", "restored", "moved_objects"}) {
    if (now.Counter(what) == before.Counter(what)) return false;
  }
  return true;
}

// The second half ends when others' objects have gone to disk, come back and been moved beside
// it, however slow they are.
int TrainWhileOthersPress(const TestDaemon& daemon, Channel& half, Channel& go_on) {
  Init({.address = daemon.dir()});
  ParameterServer server(kParameters, 4);
  int rounds = 0;
  for (; rounds < kRoundsOfAHalf; ++rounds) OneRound(server);
  half.Signal();
  go_on.Wait();
  const DaemonStatus before = daemon.Status();
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (rounds < 2 * kRoundsOfAHalf || !OthersArePressedSince(before, daemon.Status())) {
    PENSTOCK_CHILD_EXPECT(absl::Now() < deadline);
    OneRound(server);
    ++rounds;
  }
  for (const Array<double>& view : server.Views()) {
    PENSTOCK_CHILD_EXPECT(view.AllEqual(2.0 * rounds));
  }
  Shutdown();
  return 0;
}

// Of many sizes, so that what is free lies in pieces; more than there is memory; and in no
// order, so that they come back from disk.
int Press(const TestDaemon& daemon, uint64_t seed) {
  Client client = daemon.Connect();
  std::mt19937_64 random(seed);
  struct Made {
    ObjectId id;
    uint64_t seed;
    uint64_t size;
  };
  std::vector<Made> made;
  uint64_t bytes = 0;
  for (uint64_t i = 0;; ++i) {
    while (bytes > kOthersBytes) {
      std::swap(made[random() % made.size()], made.back());
      Must(client.Delete(made.back().id));
      bytes -= made.back().size;
      made.pop_back();
    }
    const uint64_t size = 1000 + random() % (uint64_t{1} << (12 + random() % 10));
    made.push_back({PutPattern(client, seed + i, size, {.deadline = absl::Seconds(60)}),
                    seed + i, size});
    bytes += size;
    const Made& any = made[random() % made.size()];
    if (!HasPattern(Must(client.Get(any.id, absl::Seconds(60))).data(), any.seed)) return 1;
  }
}

TEST(Pressure, TheParameterServerGoesOnWhileOthersSpillAreMovedAndDie) {
  const TempDir disk;
  const TestDaemon daemon({"--memory", "96MiB", "--cpus", "2", "--spill-dir", disk.path()});
  daemon.WaitPopulated();
  Channel half, go_on;
  const pid_t first = StartChild([&] { return Press(daemon, 1'000'000); });
  const pid_t driver = StartChild([&] { return TrainWhileOthersPress(daemon, half, go_on); });
  half.Wait();
  kill(first, SIGKILL);
  EXPECT_EQ(WaitForChild(first), 128 + SIGKILL);
  const pid_t second = StartChild([&] { return Press(daemon, 2'000'000); });
  const uint64_t spilled = daemon.Status().Counter("spilled");
  EXPECT_TRUE(Eventually([&] { return daemon.Status().Counter("spilled") > spilled; },
                         absl::Seconds(60)));
  go_on.Signal();
  EXPECT_EQ(WaitForChild(driver), 0) << daemon.Output();
  kill(second, SIGKILL);
  EXPECT_EQ(WaitForChild(second), 128 + SIGKILL);
  EXPECT_EQ(daemon.Status().Counter("broken_sessions"), 0u);
}

}  // namespace
}  // namespace penstock::testing
