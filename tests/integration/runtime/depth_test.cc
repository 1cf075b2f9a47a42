// Waits within waits: as deep as the node has workers, and no deeper.
#include <vector>

#include <gtest/gtest.h>
#include <penstock/runtime.h>

#include "absl/time/clock.h"

namespace penstock {
namespace {

int Down(int depth);
int Down2(int depth);
int SleepsThen(int ms, int value) {
  absl::SleepFor(absl::Milliseconds(ms));
  return value;
}
int AddBoth(int a, int b) { return a + b; }
int GetsThese(std::vector<ObjectRef<int>> refs) {
  int sum = 0;
  for (const auto& ref : refs) sum += *ref.Get();
  return sum;
}
int WaitsForThese(std::vector<ObjectRef<int>> refs) {
  return static_cast<int>(Wait(refs, refs.size()).ready.size());
}
PENSTOCK_REMOTE(Down, Down2, SleepsThen, AddBoth, GetsThese, WaitsForThese);

int Down(int depth) { return depth == 0 ? 0 : 1 + *Task(Down).Remote(depth - 1).Get(); }
// Waits for two at a time, and for the second first.
int Down2(int depth) {
  if (depth == 0) return 1;
  const auto left = Task(Down2).Remote(depth - 1);
  const auto right = Task(Down2).Remote(depth - 1);
  return *right.Get() + *left.Get();
}

TEST(Depth, FiftyNestedTasksFinishOnOneCpu) {
  Init({.num_cpus = 1, .memory = 64 << 20});
  EXPECT_EQ(*Task(Down).Remote(50).Get(), 50);
  EXPECT_EQ(*Task(Down2).Remote(4).Get(), 16);
  Shutdown();
}

TEST(Depth, AWaitForAnothersRefGivesItsCpuBackToo) {
  Init({.num_cpus = 1, .memory = 64 << 20});
  for (int round = 0; round < 5; ++round) {
    // What is waited for becomes ready to run only when the one that waits has the CPU.
    const auto slow = Task(SleepsThen).Remote(20, 1);
    const std::vector<ObjectRef<int>> late = {Task(AddBoth).Remote(slow, 1),
                                              Task(AddBoth).Remote(slow, 2)};
    const auto gets = Task(GetsThese).Remote(late);
    const auto waits = Task(WaitsForThese).Remote(late);
    EXPECT_EQ(*gets.Get(absl::Seconds(100)), 5);
    EXPECT_EQ(*waits.Get(absl::Seconds(100)), 2);
  }
  Shutdown();
}

TEST(Depth, PastTheLimitOfWorkersTheNewestWaitFailsAndTheOthersGoOn) {
  Init({.num_cpus = 1, .max_workers = 5, .memory = 64 << 20});
  EXPECT_EQ(*Task(Down).Remote(3).Get(), 3);
  try {
    Task(Down).Remote(20).Get();
    FAIL();
  } catch (const TaskFailed& failure) {
    // The innermost wait failed; each caller above it has that as its own error.
    const std::string what = failure.what();
    EXPECT_NE(what.find("max_workers"), std::string::npos) << what;
    EXPECT_NE(what.find("5 workers"), std::string::npos) << what;
  }
  EXPECT_EQ(*Task(Down).Remote(3).Get(), 3) << "the node goes on";
  Shutdown();
}

}  // namespace
}  // namespace penstock
