// CopyTrial: finds the best kernel for each class of sizes by timing them all.
//
// Kernels take turns, so that a slow moment of the machine meets all of them; a first round
// only brings pages and caches into the state that later ones find; those that are far behind
// after a few rounds are left out. What counts is a kernel at its fastest, because what else the
// machine does can only make it slower. Where two are nearly alike, the default stays: a choice
// that is repeated names the same kernel, or one as good.
//
// Thread safety: one thread a trial. Cost: some blocks for each kernel, class and round, which
// is 0.3 s in 256 MiB and 50 ms in 8 MiB.
#ifndef PENSTOCK_STORE_BASE_COPY_TRIAL_H_
#define PENSTOCK_STORE_BASE_COPY_TRIAL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "store/base/copy_plan.h"

namespace penstock {

// CPU time of this thread: what others do on its core is not in it.
int64_t ThreadCpuNs();

struct CopyTrialOptions {
  // Memory to copy within: what lies in it may be found elsewhere in it afterwards. 64 times
  // kLeastTrialBytes are ample.
  std::vector<std::span<std::byte>> room;
  std::span<const CopyKernel> kernels = CopyKernels();
  int rounds = 9;  // besides the first
  bool leave_out_the_slow = true;
  // Asked between two blocks, some milliseconds apart at most.
  std::function<bool()> must_stop = [] { return false; };
  std::function<int64_t()> now_ns = ThreadCpuNs;
};
inline constexpr uint64_t kLeastTrialBytes = uint64_t{4} << 20;
// Of which an eighth is as much.
inline constexpr uint64_t kLeastMeasuredArenaBytes = 8 * kLeastTrialBytes;

struct CopyTrialResult {
  // 0 for a class that there was no room or no time for.
  CopyPlan plan{};
  bool was_stopped = false;
  // GB/s by class and kernel, in the order of the options; 0 where there is none.
  std::array<std::vector<double>, kCopyClasses> gb_per_s;
};

CopyTrialResult RunCopyTrial(const CopyTrialOptions& options);

// The rule by which a kernel is chosen: the fastest, or `usual` where it is nearly as fast.
// Returns an index into `gb_per_s`, or -1 where all are 0.
int ChooseKernel(std::span<const double> gb_per_s, int usual);

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_COPY_TRIAL_H_
