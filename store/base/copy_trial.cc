// The trial: blocks, turns, and the choice.
#include "store/base/copy_trial.h"

#include <time.h>

#include <algorithm>

namespace penstock {
namespace {

constexpr uint64_t kMostBlockBytes = uint64_t{16} << 20;       // some 2 ms between two looks
constexpr uint64_t kBlockStepBytes = uint64_t{1} << 20;
constexpr uint64_t kTurnBytes = uint64_t{4} << 20;             // a fraction of a millisecond
constexpr int kRoundsOfAll = 4;
constexpr double kFarBehind = 0.85;  // of the fastest: noise of four rounds is less
constexpr double kNearlyAlike = 0.97;

// Where blocks of one class lie: sources, that are read in turn, and destinations.
struct Blocks {
  uint64_t bytes = 0;
  std::vector<std::byte*> sources;
  std::vector<std::byte*> destinations;
};

// Sources are as many as hold trial_bytes: a block of 112 MiB is seven of 16, which differs for
// no kernel, and finds them as far from the caches.
Blocks Divide(std::span<const std::span<std::byte>> room, uint64_t trial_bytes) {
  uint64_t total = 0, longest = 0;
  for (const auto& part : room) {
    total += part.size();
    longest = std::max<uint64_t>(longest, part.size());
  }
  Blocks blocks;
  const uint64_t most = std::min({trial_bytes, kMostBlockBytes, total / 4, longest});
  blocks.bytes = most / kBlockStepBytes * kBlockStepBytes;
  if (blocks.bytes == 0) return blocks;
  std::vector<std::byte*> all;
  for (const auto& part : room) {
    for (uint64_t at = 0; at + blocks.bytes <= part.size(); at += blocks.bytes) {
      all.push_back(part.data() + at);
    }
  }
  const size_t sources =
      std::min<size_t>(all.size() / 2, std::max<uint64_t>(trial_bytes / blocks.bytes, 1));
  blocks.sources.assign(all.begin(), all.begin() + static_cast<ptrdiff_t>(sources));
  blocks.destinations.assign(all.begin() + static_cast<ptrdiff_t>(sources), all.end());
  return blocks;
}

// The times of one class.
class ClassTrial {
 public:
  ClassTrial(const CopyTrialOptions& options, Blocks blocks)
      : options_(options), blocks_(std::move(blocks)), seen_(options.kernels.size()),
        is_out_(options.kernels.size(), blocks_.sources.empty()),
        copies_(options.kernels.size(), 0) {}

  // False: stopped.
  bool TakeRound(int round) {
    for (size_t i = 0; i < options_.kernels.size(); ++i) {
      if (!is_out_[i] && !Observe(i, /*counts=*/round > 0)) return false;
    }
    if (round == kRoundsOfAll && options_.leave_out_the_slow) LeaveOutTheSlow();
    return true;
  }

  std::vector<double> Speeds() const {
    std::vector<double> speeds;
    for (size_t i = 0; i < seen_.size(); ++i) {
      speeds.push_back(seen_[i].empty() ? 0 : SpeedOf(options_.kernels[i], seen_[i]));
    }
    return speeds;
  }

 private:
  // What else the machine does can only make a copy slower, so the fast ones count: the second
  // fastest, which is no freak. But through the caches a fast one is lucky and found its
  // destination there: of those the middle one counts.
  static double SpeedOf(const CopyKernel& kernel, std::vector<double> seen) {
    const bool streams = kernel.vector_bytes > 0;
    const size_t place = streams ? std::min<size_t>(1, seen.size() - 1) : seen.size() / 2;
    const auto counts = seen.begin() + static_cast<ptrdiff_t>(place);
    std::nth_element(seen.begin(), counts, seen.end(), std::greater<double>());
    return *counts;
  }

  // How far apart two blocks lie in memory's banks matters by a tenth, so every kernel goes
  // through all pairs, and none copies to where another one just did.
  std::pair<const std::byte*, std::byte*> NextPair(size_t number) {
    const size_t to_count = blocks_.destinations.size();
    const uint64_t n = copies_[number]++;
    const uint64_t to = n + number * to_count / options_.kernels.size();
    const uint64_t from = n + n / to_count + number;
    return {blocks_.sources[from % blocks_.sources.size()], blocks_.destinations[to % to_count]};
  }

  // Each copy by itself, so that what disturbs one does not spoil the others.
  bool Observe(size_t number, bool counts) {
    const uint64_t copies = std::max<uint64_t>(kTurnBytes / blocks_.bytes, 1);
    for (uint64_t i = 0; i < copies; ++i) {
      if (options_.must_stop()) return false;
      const auto [from, to] = NextPair(number);
      const int64_t start_ns = options_.now_ns();
      options_.kernels[number].copy(to, from, blocks_.bytes);
      const int64_t ns = std::max<int64_t>(options_.now_ns() - start_ns, 1);
      const double gb_per_s = static_cast<double>(blocks_.bytes) / static_cast<double>(ns);
      if (counts) seen_[number].push_back(gb_per_s);
    }
    return true;
  }

  // By the fastest of each: after so few rounds one that was disturbed twice has no second.
  void LeaveOutTheSlow() {
    std::vector<double> fastest;
    for (const std::vector<double>& seen : seen_) {
      fastest.push_back(seen.empty() ? 0 : *std::max_element(seen.begin(), seen.end()));
    }
    const double best = *std::max_element(fastest.begin(), fastest.end());
    for (size_t i = 0; i < fastest.size(); ++i) {
      if (fastest[i] < kFarBehind * best) is_out_[i] = true;
    }
  }

  const CopyTrialOptions& options_;
  const Blocks blocks_;
  std::vector<std::vector<double>> seen_;
  std::vector<bool> is_out_;
  std::vector<uint64_t> copies_;
};

}  // namespace

int64_t ThreadCpuNs() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int ChooseKernel(std::span<const double> gb_per_s, int usual) {
  const auto best = std::max_element(gb_per_s.begin(), gb_per_s.end());
  if (best == gb_per_s.end() || *best <= 0) return -1;
  if (usual >= 0 && gb_per_s[static_cast<size_t>(usual)] >= kNearlyAlike * *best) return usual;
  return static_cast<int>(best - gb_per_s.begin());
}

CopyTrialResult RunCopyTrial(const CopyTrialOptions& options) {
  CopyTrialResult result;
  std::vector<ClassTrial> classes;
  for (const CopyClass& of : kCopyClassTable) {
    classes.emplace_back(options, Divide(options.room, of.trial_bytes));
  }
  int round = 0;
  for (; round <= options.rounds && !result.was_stopped; ++round) {
    for (ClassTrial& one : classes) {
      if (!result.was_stopped) result.was_stopped = !one.TakeRound(round);
    }
  }
  if (result.was_stopped && round <= kRoundsOfAll) return result;
  const CopyPlan usual = DefaultCopyPlan(ThisProcessor());
  for (int i = 0; i < kCopyClasses; ++i) {
    result.gb_per_s[i] = classes[i].Speeds();
    int usual_index = -1;
    for (size_t k = 0; k < options.kernels.size(); ++k) {
      if (options.kernels[k].number == usual[i]) usual_index = static_cast<int>(k);
    }
    const int chosen = ChooseKernel(result.gb_per_s[i], usual_index);
    if (chosen >= 0) result.plan[i] = options.kernels[static_cast<size_t>(chosen)].number;
  }
  return result;
}

}  // namespace penstock
