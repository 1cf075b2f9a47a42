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

// Times of calls that one caller made at a pace of one each `period`, and that it could not keep
// while a call took longer: adds the calls that were not made meanwhile, each as long as was left
// of the one that kept it waiting. Without them a pause of a second is one call of a thousand.
std::vector<double> AtSteadyPace(std::vector<double> took, double period);

// p99 and p999 are the bad tail: 99% of the observations were at least as good.
Quantiles QuantilesOf(Kind kind, std::vector<double> observations);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_STATISTICS_H_
