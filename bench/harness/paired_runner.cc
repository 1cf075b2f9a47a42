// The paired runner.
#include "bench/harness/paired_runner.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/interrupt.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

bool IsSettled(double aa_ratio) { return aa_ratio >= kSettledLow && aa_ratio <= kSettledHigh; }

// The observations of one series, those of even and of odd samples apart.
class Track {
 public:
  explicit Track(const Series& series) : series_(series) {}

  absl::Status Take(bool counts) {
    Sample sample;
    const int64_t start_ns = NowNs();
    PENSTOCK_RETURN_IF_ERROR(series_.take(sample));
    seconds_.push_back(SecondsSince(start_ns));
    if (sample.observations().empty()) {
      return absl::InternalError(series_.name + ": a sample without an observation");
    }
    if (!counts) return absl::OkStatus();
    std::vector<double>& half = halves_[samples_++ % 2];
    half.insert(half.end(), sample.observations().begin(), sample.observations().end());
    operations_ += sample.operations();
    return absl::OkStatus();
  }

  std::vector<double> All() const {
    std::vector<double> all = halves_[0];
    all.insert(all.end(), halves_[1].begin(), halves_[1].end());
    return all;
  }
  double AaRatio() const { return Median(halves_[1]) / Median(halves_[0]); }
  bool Settled() const { return IsSettled(AaRatio()); }
  bool IsSlow() const { return Median(seconds_) > kSlowSampleSeconds; }
  uint64_t operations() const { return operations_; }
  const Series& series() const { return series_; }

 private:
  const Series& series_;
  std::array<std::vector<double>, 2> halves_;
  size_t samples_ = 0;
  uint64_t operations_ = 0;
  std::vector<double> seconds_;  // that each sample took
};

void ShowProgress(const Group& group, int pair, double seconds) {
  if (isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r\033[K{}: pair {}, {:.0f} s", group.values.front().name, pair, seconds);
  std::fflush(stderr);
}
void ClearProgress() {
  if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\033[K");
}

Result Conclude(const Track& value, const Track* floor, bool too_few) {
  const Track& reference = floor != nullptr ? *floor : value;
  const std::vector<double> all = value.All();
  Result result;
  result.name = value.series().name;
  result.unit = value.series().unit;
  result.quantiles = QuantilesOf(value.series().kind, all);
  result.value = result.quantiles.p50;
  result.operations = value.operations();
  result.aa_ratio = reference.AaRatio();
  result.noisy = too_few || !reference.Settled();
  result.more = value.series().more;
  if (value.series().describe) value.series().describe(result.more);
  if (floor != nullptr) {
    result.floor = floor->series().name;
    result.ratio = result.value / Median(floor->All());
  }
  return result;
}

}  // namespace

absl::Status RunGroup(const Group& group, const RunOptions& options, Report& report) {
  std::vector<Track> tracks;
  if (group.floor) tracks.emplace_back(*group.floor);
  for (const Series& series : group.values) tracks.emplace_back(series);
  const size_t first_value = group.floor ? 1 : 0;

  const auto settled = [&] {
    if (group.floor) return tracks[0].Settled();
    return std::all_of(tracks.begin(), tracks.end(),
                       [](const Track& track) { return track.Settled(); });
  };
  const int64_t start_ns = NowNs();
  const double limit_seconds = options.seconds * static_cast<double>(group.values.size());
  for (Track& track : tracks) PENSTOCK_RETURN_IF_ERROR(track.Take(/*counts=*/false));
  bool too_few = false;
  int next_look = 0;
  for (int pair = 1;; ++pair) {
    for (Track& track : tracks) {
      PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
      PENSTOCK_RETURN_IF_ERROR(track.Take(/*counts=*/true));
    }
    const bool slow = std::any_of(tracks.begin(), tracks.end(),
                                  [](const Track& track) { return track.IsSlow(); });
    const int least_pairs = options.quick ? kQuickPairs : slow ? kLeastPairsOfSlow : kLeastPairs;
    const double seconds = SecondsSince(start_ns);
    ShowProgress(group, pair, seconds);
    // Looked at again after a tenth more pairs: medians of many observations cost time.
    if (pair >= std::max(least_pairs, next_look)) {
      if (options.quick || settled()) break;
      next_look = pair + std::max(2, pair / 10);
    }
    // What came out wrong once needs no better figure.
    if (pair >= 2 && (seconds > limit_seconds || !report.verification.ok())) {
      too_few = pair < least_pairs;
      break;
    }
  }
  ClearProgress();
  const Track* floor = group.floor ? &tracks[0] : nullptr;
  if (floor != nullptr) report.floors.emplace_back(floor->series().name, Median(floor->All()));
  for (size_t i = first_value; i < tracks.size(); ++i) {
    report.results.push_back(Conclude(tracks[i], floor, too_few));
  }
  return absl::OkStatus();
}

void ConcludeRun(Kind kind, const Sample& run, Result& result) {
  std::array<std::vector<double>, 2> halves;
  for (size_t i = 0; i < run.observations().size(); ++i) {
    halves[i % 2].push_back(run.observations()[i]);
  }
  result.quantiles = QuantilesOf(kind, run.observations());
  result.value = result.quantiles.p50;
  result.operations = run.operations();
  result.aa_ratio = Median(halves[1]) / Median(halves[0]);
  result.noisy = !IsSettled(result.aa_ratio);
}

}  // namespace penstock::bench
