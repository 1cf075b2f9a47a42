// The spin budget: spent while spins succeed, saved where they do not.
#include "store/base/spin_budget.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr int64_t kMost = 50'000;

TEST(SpinBudget, StartsFullAndStaysFullWhileSpinsSucceed) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(budget.ns(), kMost);
    budget.Found();
  }
}

TEST(SpinBudget, AFewMissesInARowEndIt) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 100; ++i) budget.Found();
  int misses = 0;
  while (budget.ns() > 0) {
    budget.Missed();
    ASSERT_LE(++misses, 8);
  }
  EXPECT_EQ(budget.ns(), 0);
}

TEST(SpinBudget, OneSuccessInThreePaysForIt) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(budget.ns(), kMost);
    if (i % 3 == 0) {
      budget.Found();
    } else {
      budget.Missed();
    }
  }
}

TEST(SpinBudget, AfterManySleepsItLooksOnceMore) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 10; ++i) budget.Missed();
  int looks = 0;
  for (int i = 0; i < 2560; ++i) {
    if (budget.ns() == 0) continue;
    ++looks;
    budget.Missed();
  }
  EXPECT_EQ(looks, 10);
}

TEST(SpinBudget, SuccessOfATrialBringsItBack) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 10; ++i) budget.Missed();
  while (budget.ns() == 0) {
  }
  budget.Found();
  EXPECT_GT(budget.ns(), 0);
  for (int i = 0; i < 5; ++i) budget.Found();
  EXPECT_EQ(budget.ns(), kMost);
}

std::chrono::nanoseconds SinceBoot() {
  return std::chrono::steady_clock::now().time_since_epoch();
}

TEST(SpinFor, LooksForAsLongAsTheBudgetSays) {
  SpinBudget budget(kMost);
  for (int spins = 0; budget.ns() > 0; ++spins) {
    ASSERT_LE(spins, 8);
    const std::chrono::nanoseconds least(budget.ns());
    const std::chrono::nanoseconds before = SinceBoot();
    EXPECT_FALSE(SpinFor(budget, [] { return false; }));
    EXPECT_GE(SinceBoot() - before, least);
  }
}

// However long a look takes: the clock is asked after every sixteenth.
TEST(SpinFor, EndsSoonWhereALookTakesLongerThanTheBudget) {
  SpinBudget budget(kMost);
  int looks = 0;
  EXPECT_FALSE(SpinFor(budget, [&looks] {
    ++looks;
    std::this_thread::sleep_for(std::chrono::nanoseconds(2 * kMost));
    return false;
  }));
  EXPECT_LE(looks, 32);
}

TEST(SpinFor, FindsWhatComesBeforeTheClockIsAsked) {
  SpinBudget budget(1);
  int looks = 0;
  EXPECT_TRUE(SpinFor(budget, [&looks] { return ++looks == 10; }));
  EXPECT_EQ(looks, 10);
}

}  // namespace
}  // namespace penstock
