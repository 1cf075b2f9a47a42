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
  explicit SpinBudget(uint32_t most_rounds) : most_(most_rounds), rounds_(most_rounds) {}

  // Rounds to look before sleeping now. 0: sleep at once.
  uint32_t rounds() {
    if (rounds_ > 0) return rounds_;
    // After many sleeps in a row, one more look: times may have changed.
    if (++sleeps_ < kTryAgainAfter) return 0;
    sleeps_ = 0;
    return most_ / 4;
  }
  void Found() {
    rounds_ = std::min(most_, std::max(rounds_ * 2, most_ / 8));
    sleeps_ = 0;
  }
  void Missed() { rounds_ = rounds_ / 2 < most_ / 16 ? 0 : rounds_ / 2; }

 private:
  static constexpr uint32_t kTryAgainAfter = 256;
  uint32_t most_;
  uint32_t rounds_;
  uint32_t sleeps_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_SPIN_BUDGET_H_
