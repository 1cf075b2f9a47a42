// Medians and tails of observations.
#ifndef PENSTOCK_BENCH_HARNESS_STATISTICS_H_
#define PENSTOCK_BENCH_HARNESS_STATISTICS_H_

#include <vector>

namespace penstock::bench {

// Of a rate more is better, of a latency less.
enum class Kind { kLatency, kRate };

struct Quantiles {
  double p50 = 0;
  double p99 = 0;
  double p999 = 0;
};

// Nearest rank; `fraction` in [0, 1]. NaN for no observations.
double Quantile(std::vector<double> observations, double fraction);
double Median(std::vector<double> observations);

// p99 and p999 are the bad tail: 99% of the observations were at least as good.
Quantiles QuantilesOf(Kind kind, std::vector<double> observations);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_STATISTICS_H_
