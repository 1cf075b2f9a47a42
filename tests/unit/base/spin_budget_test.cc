// The spin budget: spent while spins succeed, saved where they do not.
#include "store/base/spin_budget.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint32_t kMost = 512;

TEST(SpinBudget, StartsFullAndStaysFullWhileSpinsSucceed) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(budget.rounds(), kMost);
    budget.Found();
  }
}

TEST(SpinBudget, AFewMissesInARowEndIt) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 100; ++i) budget.Found();
  int misses = 0;
  while (budget.rounds() > 0) {
    budget.Missed();
    ASSERT_LE(++misses, 8);
  }
  EXPECT_EQ(budget.rounds(), 0u);
}

TEST(SpinBudget, OneSuccessInThreePaysForIt) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(budget.rounds(), kMost);
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
    if (budget.rounds() == 0) continue;
    ++looks;
    budget.Missed();
  }
  EXPECT_EQ(looks, 10);
}

TEST(SpinBudget, SuccessOfATrialBringsItBack) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 10; ++i) budget.Missed();
  while (budget.rounds() == 0) {
  }
  budget.Found();
  EXPECT_GT(budget.rounds(), 0u);
  for (int i = 0; i < 5; ++i) budget.Found();
  EXPECT_EQ(budget.rounds(), kMost);
}

}  // namespace
}  // namespace penstock
