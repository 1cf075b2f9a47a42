// Floor and results sampled alternately in one run, until the floor agrees with itself.
//
// Why: on a shared machine the same copy differs by 0.8 to 1.2 from one minute to the
// next. What was measured in the same seconds can be compared; what was measured before
// or after cannot.
#ifndef PENSTOCK_BENCH_HARNESS_PAIRED_RUNNER_H_
#define PENSTOCK_BENCH_HARNESS_PAIRED_RUNNER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bench/harness/report.h"
#include "bench/harness/run_options.h"

namespace penstock::bench {

// What one call of a sampler saw: one observation or many.
class Sample {
 public:
  void Add(double observation, uint64_t operations = 1) {
    observations_.push_back(observation);
    operations_ += operations;
  }
  const std::vector<double>& observations() const { return observations_; }
  uint64_t operations() const { return operations_; }

 private:
  std::vector<double> observations_;
  uint64_t operations_ = 0;
};

struct Series {
  std::string name;
  std::string unit;
  Kind kind = Kind::kLatency;
  std::function<absl::Status(Sample&)> take;
  // Further fields of the result; `describe` adds those known only at the end.
  nlohmann::ordered_json more = nlohmann::ordered_json::object();
  std::function<void(nlohmann::ordered_json& more)> describe;
};

// A floor, if there is one, and what is compared with it.
struct Group {
  std::optional<Series> floor;
  std::vector<Series> values;
};

inline constexpr int kLeastPairs = 40;
inline constexpr int kLeastPairsOfSlow = 15;
inline constexpr double kSlowSampleSeconds = 0.2;
inline constexpr int kQuickPairs = 3;
inline constexpr double kSettledLow = 0.97;
inline constexpr double kSettledHigh = 1.03;

// Samples floor, value, value, ..., floor, value, ... after one round that does not count,
// and appends the floor and the results to the report. Each value gets `options.seconds`
// before it is called noisy. Errors: the first of a sampler.
absl::Status RunGroup(const Group& group, const RunOptions& options, Report& report);

// For a result of one uninterrupted run, which has no pairs: value, tails, n, and the
// ratio of its odd observations to its even ones.
void ConcludeRun(Kind kind, const Sample& run, Result& result);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_PAIRED_RUNNER_H_
