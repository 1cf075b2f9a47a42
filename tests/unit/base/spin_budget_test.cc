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

TEST(SpinBudget, MissesHalveItDownToNothing) {
  SpinBudget budget(kMost);
  uint32_t last = budget.rounds();
  int misses = 0;
  while (budget.rounds() > 0) {
    budget.Missed();
    ++misses;
    EXPECT_LE(budget.rounds(), last / 2 + kMost / 4);
    ASSERT_LT(misses, 10);
  }
  EXPECT_EQ(budget.rounds(), 0u);
}

TEST(SpinBudget, AfterManySleepsItLooksOnceMore) {
  SpinBudget budget(kMost);
  for (int i = 0; i < 10; ++i) budget.Missed();
  int looks = 0;
  for (int i = 0; i < 2560; ++i) {
    const uint32_t rounds = budget.rounds();
    if (rounds == 0) continue;
    ++looks;
    EXPECT_LE(rounds, kMost / 4) << "a trial is short";
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
