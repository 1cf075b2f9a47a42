// What is idle: the least that was free for the whole time, beyond what is kept.
#include "tools/penstockd/idle_memory.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr int64_t kBegin = 1000;

TEST(IdleMemory, IsWhatWasFreeAllTheTimeBeyondWhatIsKept) {
  IdleMemory memory(8 * kMiB, 100);
  EXPECT_EQ(memory.Look(kBegin, 64 * kMiB), 0u);
  EXPECT_EQ(memory.Look(kBegin + 50, 20 * kMiB), 0u) << "in use for a moment";
  EXPECT_EQ(memory.Look(kBegin + 99, 64 * kMiB), 0u);
  EXPECT_EQ(memory.Look(kBegin + 100, 64 * kMiB), 12 * kMiB);
  EXPECT_EQ(memory.Look(kBegin + 101, 52 * kMiB), 0u) << "the next time has begun";
  EXPECT_EQ(memory.Look(kBegin + 200, 52 * kMiB), 44 * kMiB);
}

TEST(IdleMemory, NothingIsIdleWhileLessIsFreeThanIsKept) {
  IdleMemory memory(8 * kMiB, 100);
  memory.Look(kBegin, 6 * kMiB);
  EXPECT_EQ(memory.Look(kBegin + 100, 6 * kMiB), 0u);
  EXPECT_FALSE(memory.is_any_idle());
  memory.Look(kBegin + 250, 30 * kMiB);
  EXPECT_EQ(memory.until_ns(), kBegin + 350);
  EXPECT_TRUE(memory.is_any_idle());
}

}  // namespace
}  // namespace penstock
