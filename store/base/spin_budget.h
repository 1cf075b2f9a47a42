// SpinBudget: how long to look for work before sleeping, learned from what looking brought.
//
// A spin that finds its work saves a wake-up (tens of microseconds); one that does not
// wastes a core that somebody else may need, perhaps the very one it waits for. So the
// budget is spent only while spins succeed, and tried again now and then.
//
// Thread safety: one thread at a time. Takes no time itself: the caller counts rounds.
#ifndef PENSTOCK_STORE_BASE_SPIN_BUDGET_H_
#define PENSTOCK_STORE_BASE_SPIN_BUDGET_H_

#include <algorithm>
#include <cstdint>

namespace penstock {

class SpinBudget {
 public:
  // `most_rounds` should take about as long as a wake-up costs both sides: spinning longer
  // than that loses more than it can save.
  explicit SpinBudget(uint32_t most_rounds) : most_(most_rounds) {}

  // Rounds to look before sleeping now. 0: sleep at once.
  uint32_t rounds() {
    if (score_ > 0) return most_;
    // After many sleeps in a row, one more look: times may have changed.
    if (++sleeps_ < kTryAgainAfter) return 0;
    sleeps_ = 0;
    return most_;
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
  uint32_t most_;
  int score_ = kMostScore / 2;
  uint32_t sleeps_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_SPIN_BUDGET_H_
