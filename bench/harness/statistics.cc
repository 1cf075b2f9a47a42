// Medians and tails by nearest rank.
#include "bench/harness/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

namespace penstock::bench {
namespace {

double QuantileOfSorted(const std::vector<double>& sorted, double fraction) {
  if (sorted.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto rank = static_cast<size_t>(
      std::ceil(fraction * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

}  // namespace

double Quantile(std::vector<double> observations, double fraction) {
  std::sort(observations.begin(), observations.end());
  return QuantileOfSorted(observations, fraction);
}

double Median(std::vector<double> observations) {
  if (observations.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle =
      observations.begin() + static_cast<std::ptrdiff_t>(observations.size() / 2);
  std::nth_element(observations.begin(), middle, observations.end());
  if (observations.size() % 2 == 1) return *middle;
  return (*std::max_element(observations.begin(), middle) + *middle) / 2;
}

std::vector<double> AtSteadyPace(std::vector<double> took, double period) {
  const size_t made = took.size();
  for (size_t i = 0; i < made; ++i) {
    for (double left = took[i] - period; left > 0; left -= period) took.push_back(left);
  }
  return took;
}

Quantiles QuantilesOf(Kind kind, std::vector<double> observations) {
  Quantiles result;
  result.p50 = Median(observations);
  std::sort(observations.begin(), observations.end());
  if (kind == Kind::kRate) std::reverse(observations.begin(), observations.end());
  result.p99 = QuantileOfSorted(observations, 0.99);
  result.p999 = QuantileOfSorted(observations, 0.999);
  return result;
}

}  // namespace penstock::bench
