// Amounts by name: exact sums, and messages that people can read.
#include "runtime/schedule/resources.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/schedule/fake_node.h"

namespace penstock::testing {
namespace {

TEST(Resources, ThousandsOfFractionsAddUpExactly) {
  Resources sum;
  for (int i = 0; i < 10'000; ++i) sum += Amounts({{"CPU", 0.1}, {"GPU", 0.0001}});
  EXPECT_EQ(sum, Amounts({{"CPU", 1000}, {"GPU", 1}}));
  for (int i = 0; i < 10'000; ++i) sum -= Amounts({{"CPU", 0.1}, {"GPU", 0.0001}});
  EXPECT_TRUE(sum.empty());
}

TEST(Resources, OrderAndZeroesDoNotMatter) {
  EXPECT_EQ(Amounts({{"b", 1}, {"a", 2}, {"c", 0}}), Amounts({{"a", 2}, {"b", 1}}));
}

TEST(Resources, FitsOnlyWhenEveryAmountDoes) {
  const Resources node = Amounts({{"CPU", 4}, {"GPU", 1}});
  EXPECT_TRUE(Amounts({{"CPU", 4}, {"GPU", 1}}).FitsIn(node));
  EXPECT_TRUE(Resources().FitsIn(node));
  EXPECT_TRUE(Resources().FitsIn(Resources()));
  EXPECT_FALSE(Cpus(4.0001).FitsIn(node));
  EXPECT_FALSE(Amounts({{"CPU", 1}, {"TPU", 0.5}}).FitsIn(node));
}

TEST(Resources, OverdrawnAmountFitsNothingOfItsNameAndEverythingElse) {
  const Resources free = Amounts({{"CPU", 1}, {"GPU", 1}}) - Cpus(3);
  EXPECT_EQ(free.UnitsOf("CPU"), -20'000);
  EXPECT_FALSE(Cpus(0.0001).FitsIn(free));
  EXPECT_TRUE(Amounts({{"GPU", 1}}).FitsIn(free));
  EXPECT_TRUE(Resources().FitsIn(free));
}

TEST(Resources, WhatIsLackingIsNamedWhole) {
  const Resources needed = Amounts({{"CPU", 2}, {"GPU", 1}, {"disk", 7}});
  EXPECT_EQ(needed.LackingIn(Amounts({{"CPU", 2}, {"GPU", 0.5}})),
            Amounts({{"GPU", 1}, {"disk", 7}}));
  EXPECT_TRUE(needed.Shares(Amounts({{"disk", 1}})));
  EXPECT_FALSE(needed.Shares(Amounts({{"TPU", 1}})));
  Resources most = Cpus(3);
  most.RaiseTo(needed);
  EXPECT_EQ(most, Amounts({{"CPU", 3}, {"GPU", 1}, {"disk", 7}}));
}

TEST(Resources, OneMinusItselfIsNothing) {
  Resources two = Amounts({{"CPU", 1}, {"GPU", 2}});
  const Resources& same = two;
  two -= same;
  EXPECT_TRUE(two.empty());
}

TEST(Resources, PrintedAsPeopleWriteThem) {
  EXPECT_EQ(Amounts({{"GPU", 0.25}, {"CPU", 12}}).ToString(), "CPU 12, GPU 0.25");
  EXPECT_EQ(Amounts({{"x", 10.0001}}).ToString(), "x 10.0001");
  EXPECT_EQ((Resources() - Cpus(0.5)).ToString(), "CPU -0.5");
  EXPECT_EQ(Resources().ToString(), "nothing");
}

TEST(Resources, NonsenseIsRefusedByName) {
  const std::vector<std::pair<std::string, double>> cases[] = {
      {{"gadget", -1}}, {{"gadget", std::nan("")}}, {{"gadget", HUGE_VAL}},
      {{"gadget", 1.1e13}}, {{"gadget", 0.00004}}, {{"gadget", 1}, {"gadget", 2}}};
  for (const auto& amounts : cases) {
    const auto refused = Resources::From(amounts);
    ASSERT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(refused.status().message().find("gadget"), absl::string_view::npos);
  }
  EXPECT_FALSE(Resources::From({{"CPU", 1'000'001}}).ok());
  EXPECT_FALSE(Resources::From({{"", 1}}).ok());
  EXPECT_TRUE(Resources::From({{"memory", 9e12}}).ok());
}

}  // namespace
}  // namespace penstock::testing
