// penstock-bench copies: the choice of copy kernels, made again and again under load, held
// against what each kernel reaches on the quiet machine.
#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/copy_area.h"
#include "bench/harness/pinning.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/copy_trial.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kRoomBytes = 256 * kMiB;  // as much as the daemon keeps back for it
constexpr uint64_t kLoadBytes = 32 * kMiB;

// Two threads for each core: one copies memory without a pause, one only computes.
class Load {
 public:
  explicit Load(const CopyArea& area) {
    const size_t cores = AllowedCpus().size();
    for (size_t i = 0; i < cores; ++i) {
      std::byte* const mine = area.data() + i * kLoadBytes;
      threads_.emplace_back([mine](std::stop_token stop) {
        while (!stop.stop_requested()) {
          std::copy(mine, mine + kLoadBytes / 2, mine + kLoadBytes / 2);
        }
      });
      threads_.emplace_back([](std::stop_token stop) {
        for (volatile uint64_t spins = 0; !stop.stop_requested();) spins = spins + 1;
      });
    }
  }

 private:
  std::vector<std::jthread> threads_;
};

double SpeedOf(const CopyTrialResult& quiet, int size_class, uint8_t number) {
  const auto kernels = CopyKernels();
  for (size_t i = 0; i < kernels.size(); ++i) {
    if (kernels[i].number == number) return quiet.gb_per_s[size_class][i];
  }
  return 0;
}

// "avx512-places 8, avx2 2"
std::string Names(const std::map<uint8_t, int>& times) {
  std::string text;
  for (const auto& [number, count] : times) {
    const CopyKernel* const kernel = FindCopyKernel(number);
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ",
                        kernel != nullptr ? kernel->name : "none", count);
  }
  return text;
}

}  // namespace

absl::Status RunCopies(Crew&, const RunOptions& options, Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(const CopyArea area, CopyArea::Create("copies", kRoomBytes));
  PENSTOCK_ASSIGN_OR_RETURN(
      const CopyArea load_area,
      CopyArea::Create("load", kLoadBytes * AllowedCpus().size()));
  report.host.pages = PagesName(area.is_huge());
  report.verified = "nothing is moved but by the kernels, which unit tests compare";
  CopyTrialOptions trial;
  trial.room = {{area.data(), kRoomBytes}};
  // The reference leaves none out: every kernel is in its table.
  CopyTrialOptions thorough = trial;
  thorough.leave_out_the_slow = false;
  thorough.rounds = options.quick ? 3 : 25;
  const CopyTrialResult quiet = RunCopyTrial(thorough);
  std::vector<CopyPlan> under_load;
  {
    const Load load(load_area);
    const int repeats = options.quick ? 2 : options.repeats;
    for (int i = 0; i < repeats; ++i) under_load.push_back(RunCopyTrial(trial).plan);
  }
  for (int i = 0; i < kCopyClasses; ++i) {
    const std::vector<double>& speeds = quiet.gb_per_s[i];
    const double best = *std::max_element(speeds.begin(), speeds.end());
    std::map<uint8_t, int> times;
    double worst = best;
    for (const CopyPlan& plan : under_load) {
      ++times[plan[i]];
      worst = std::min(worst, SpeedOf(quiet, i, plan[i]));
    }
    Result result = Figure(fmt::format("copy_choice_{}MiB_worst_of_best",
                                       kCopyClassTable[i].trial_bytes / kMiB),
                           "ratio", worst / best);
    result.more["class"] = kCopyClassTable[i].label;
    result.more["under_load"] = Names(times);
    for (size_t k = 0; k < speeds.size(); ++k) {
      result.more[std::string(CopyKernels()[k].name) + "_gbps"] = speeds[k];
    }
    report.results.push_back(std::move(result));
  }
  UseCopyPlan(PackCopyPlan(quiet.plan));
  return absl::OkStatus();
}

}  // namespace penstock::bench
