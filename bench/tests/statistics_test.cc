// Medians, tails and what a tail means for a rate.
#include "bench/harness/statistics.h"

#include <cmath>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace penstock::bench {
namespace {

std::vector<double> OneTo(int last) {
  std::vector<double> values(static_cast<size_t>(last));
  std::iota(values.begin(), values.end(), 1.0);
  return values;
}

TEST(Statistics, MedianOfAnEvenCountLiesBetweenTheMiddleTwo) {
  EXPECT_DOUBLE_EQ(2.5, Median({4, 1, 3, 2}));
  EXPECT_DOUBLE_EQ(3, Median({5, 1, 3}));
}

TEST(Statistics, NothingHasNoMedian) {
  EXPECT_TRUE(std::isnan(Median({})));
  EXPECT_TRUE(std::isnan(Quantile({}, 0.99)));
}

TEST(Statistics, TheTailOfALatencyIsItsLargeEnd) {
  const Quantiles found = QuantilesOf(Kind::kLatency, OneTo(1000));
  EXPECT_DOUBLE_EQ(500.5, found.p50);
  EXPECT_DOUBLE_EQ(990, found.p99);
  EXPECT_DOUBLE_EQ(999, found.p999);
}

TEST(Statistics, TheTailOfARateIsItsSmallEnd) {
  const Quantiles found = QuantilesOf(Kind::kRate, OneTo(1000));
  EXPECT_DOUBLE_EQ(500.5, found.p50);
  EXPECT_DOUBLE_EQ(11, found.p99);
  EXPECT_DOUBLE_EQ(2, found.p999);
}

TEST(Statistics, ALongCallStandsForThoseThatItKeptFromBeingMade) {
  const std::vector<double> expected = {0.5, 3.5, 1, 2.5, 1.5, 0.5};
  EXPECT_EQ(expected, AtSteadyPace({0.5, 3.5, 1}, 1));
}

}  // namespace
}  // namespace penstock::bench
