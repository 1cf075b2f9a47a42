// Waits within waits: as deep as the node has workers, and no deeper.
#include <gtest/gtest.h>
#include <penstock/runtime.h>

namespace penstock {
namespace {

int Down(int depth);
int Down2(int depth);
PENSTOCK_REMOTE(Down, Down2);

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
