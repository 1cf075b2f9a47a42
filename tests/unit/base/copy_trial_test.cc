// The trial with kernels and a clock that were made up: each kernel takes what a table says.
#include "store/base/copy_trial.h"

#include <cstring>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "store/base/units.h"

namespace penstock {
namespace {

int64_t g_now_ns = 0;
int g_copies = 0;
std::map<uint8_t, double> g_ns_a_byte;
uint64_t g_disturbed_one_in = 0;  // such copies, at random, take ten times as long
uint64_t g_largest_block = 0;
std::mt19937_64 g_random(1);

template <uint8_t number>
void MadeUpCopy(std::byte* destination, const std::byte* source, size_t bytes) {
  EXPECT_NE(destination, source);
  std::memcpy(destination, source, 64);
  ++g_copies;
  g_largest_block = std::max<uint64_t>(g_largest_block, bytes);
  const bool disturbed = g_disturbed_one_in > 0 && g_random() % g_disturbed_one_in == 0;
  g_now_ns += static_cast<int64_t>(g_ns_a_byte[number] * static_cast<double>(bytes) *
                                   (disturbed ? 10 : 1));
}

const CopyKernel kMadeUp[] = {
    {kCopyMemcpy, "one", MadeUpCopy<kCopyMemcpy>, 0, 1},
    {kCopySse2, "two", MadeUpCopy<kCopySse2>, 16, 1},
    {kCopySse2Places, "three", MadeUpCopy<kCopySse2Places>, 16, 4},
};

class CopyTrial : public ::testing::Test {
 protected:
  CopyTrial() : memory(64 * kMiB) {
    g_now_ns = 0;
    g_copies = 0;
    g_disturbed_one_in = 0;
    g_largest_block = 0;
    g_ns_a_byte = {{kCopyMemcpy, 0.2}, {kCopySse2, 0.1}, {kCopySse2Places, 0.3}};
    options.room = {{memory.data(), memory.size()}};
    options.kernels = kMadeUp;
    options.now_ns = [] { return g_now_ns; };
  }
  std::vector<std::byte> memory;
  CopyTrialOptions options;
};

TEST_F(CopyTrial, NamesTheFastestForEveryClass) {
  const CopyTrialResult result = RunCopyTrial(options);
  EXPECT_FALSE(result.was_stopped);
  for (const uint8_t number : result.plan) EXPECT_EQ(number, kCopySse2);
  EXPECT_NEAR(result.gb_per_s[0][1], 10.0, 0.01);
}

TEST_F(CopyTrial, IsNotMisledByAMachineThatIsDisturbedNowAndThen) {
  g_ns_a_byte = {{kCopyMemcpy, 0.11}, {kCopySse2, 0.10}, {kCopySse2Places, 0.12}};
  g_disturbed_one_in = 10;
  for (int i = 0; i < 100; ++i) {
    for (const uint8_t number : RunCopyTrial(options).plan) ASSERT_EQ(number, kCopySse2) << i;
  }
}

TEST_F(CopyTrial, StaysWithinTheRoom) {
  // Two parts with memory between that is not to be touched.
  std::memset(memory.data(), 7, memory.size());
  options.room = {{memory.data(), 8 * kMiB}, {memory.data() + 16 * kMiB, 8 * kMiB}};
  RunCopyTrial(options);
  for (uint64_t i = 8 * kMiB; i < 16 * kMiB; ++i) ASSERT_EQ(memory[i], std::byte{7});
  EXPECT_EQ(g_largest_block, 4 * kMiB);  // a quarter of the room
}

TEST_F(CopyTrial, EndsAtOnceWhenItIsToldTo) {
  int asked = 0;
  options.must_stop = [&asked] { return ++asked > 10; };
  const CopyTrialResult result = RunCopyTrial(options);
  EXPECT_TRUE(result.was_stopped);
  EXPECT_EQ(g_copies, 10);
  EXPECT_EQ(PackCopyPlan(result.plan), 0u);  // a round or two prove nothing
}

TEST_F(CopyTrial, WithoutRoomChoosesNothing) {
  options.room = {};
  EXPECT_EQ(PackCopyPlan(RunCopyTrial(options).plan), 0u);
  options.room = {{memory.data(), 3 * kMiB}};
  EXPECT_EQ(PackCopyPlan(RunCopyTrial(options).plan), 0u);
  EXPECT_EQ(g_copies, 0);
}

TEST_F(CopyTrial, LeavesOutWhatIsFarBehind) {
  RunCopyTrial(options);
  const int with_two_left_out = g_copies;
  g_copies = 0;
  options.leave_out_the_slow = false;
  RunCopyTrial(options);
  EXPECT_GT(g_copies, with_two_left_out * 4 / 3);
}

TEST(ChooseKernel, TakesTheUsualOneWhereItIsNearlyAsFast) {
  EXPECT_EQ(ChooseKernel(std::vector{10.0, 9.8, 5.0}, 1), 1);
  EXPECT_EQ(ChooseKernel(std::vector{10.0, 9.5, 5.0}, 1), 0);
  EXPECT_EQ(ChooseKernel(std::vector{10.0, 9.8, 5.0}, -1), 0);
  EXPECT_EQ(ChooseKernel(std::vector{0.0, 0.0}, 0), -1);
  EXPECT_EQ(ChooseKernel(std::vector<double>{}, -1), -1);
}

TEST(CopyTrialOnThisHost, FindsAKernelForEveryClassThatItCanRun) {
  std::vector<std::byte> memory(16 * kMiB);
  CopyTrialOptions options;
  options.room = {{memory.data(), memory.size()}};
  options.rounds = 3;
  const CopyTrialResult result = RunCopyTrial(options);
  for (const uint8_t number : result.plan) {
    const CopyKernel* const kernel = FindCopyKernel(number);
    ASSERT_NE(kernel, nullptr);
    EXPECT_TRUE(CanRun(*kernel, ThisProcessor()));
  }
}

}  // namespace
}  // namespace penstock
