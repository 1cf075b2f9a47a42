// SpinBudget: how long to look for work before sleeping, learned from what looking brought; and
// SpinFor, which looks so long.
//
// A spin that finds its work saves a wake-up (tens of microseconds); one that does not
// wastes a core that somebody else may need, perhaps the very one it waits for. So the
// budget is spent only while spins succeed, and tried again now and then.
//
// The budget is time and not rounds: a pause of the processor takes 40 cycles on one model and
// 140 on another, and a look as long as there are places to look at.
//
// Thread safety: one thread at a time.
#ifndef PENSTOCK_STORE_BASE_SPIN_BUDGET_H_
#define PENSTOCK_STORE_BASE_SPIN_BUDGET_H_

#include <time.h>

#include <algorithm>
#include <cstdint>

#include "store/base/spin_lock.h"

namespace penstock {

class SpinBudget {
 public:
  // `most_ns` should be about as long as a wake-up costs both sides: spinning longer than that
  // loses more than it can save.
  explicit SpinBudget(int64_t most_ns) : most_ns_(most_ns) {}

  // How long to look before sleeping now. 0: sleep at once.
  int64_t ns() {
    if (score_ > 0) return most_ns_;
    // After many sleeps in a row, one more look: times may have changed.
    if (++sleeps_ < kTryAgainAfter) return 0;
    sleeps_ = 0;
    return most_ns_;
  }
  // A spin found its work: worth two that do not.
  void Found() {
    score_ = std::min(score_ + 2, kMostScore);
    sleeps_ = 0;
  }
  void Missed() { score_ = std::max(score_ - 1, 0); }

 private:
  static constexpr uint32_t kTryAgainAfter = 256;
  static constexpr int kMostScore = 8;
  const int64_t most_ns_;
  int score_ = kMostScore / 2;
  uint32_t sleeps_ = 0;
};

// Calls `look` until it finds something, and says whether it did, or until the budget is spent.
// The clock is asked after some looks only: work that comes at once does not wait for it.
template <typename Look>
bool SpinFor(SpinBudget& budget, Look look) {
  constexpr int kLooksOfClock = 16;
  const int64_t most_ns = budget.ns();
  if (most_ns == 0) return false;
  for (int64_t until_ns = 0;;) {
    for (int i = 0; i < kLooksOfClock; ++i) {
      if (look()) {
        budget.Found();
        return true;
      }
      for (int pause = 0; pause < 4; ++pause) CpuRelax();
    }
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t now_ns = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    if (until_ns == 0) until_ns = now_ns + most_ns;
    if (now_ns >= until_ns) break;
  }
  budget.Missed();
  return false;
}

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_SPIN_BUDGET_H_
