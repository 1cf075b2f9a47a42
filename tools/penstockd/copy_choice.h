// CopyChoice: the end of a fresh arena, kept back for a moment to time copies in it.
//
// Nothing is populated for it: it takes what the populator made ready, at most an eighth of the
// arena, before the core hears of it, and hands it on when the trial is over. The trial ends
// (GiveUp), within a few milliseconds, when less is free than is kept back, or when a creator
// waits for room.
//
// Thread safety: one thread. A thread of its own runs the trial.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_COPY_CHOICE_H_
#define PENSTOCK_TOOLS_PENSTOCKD_COPY_CHOICE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "store/base/copy_trial.h"

namespace penstock {

class CopyChoice {
 public:
  using Extents = std::vector<std::pair<uint64_t, uint64_t>>;  // offset, bytes

  // `notify_fd`: an eventfd, rung when TakeOutcome has something. `arena` is mapped all the
  // while.
  CopyChoice(std::byte* arena, uint64_t arena_bytes, int notify_fd);
  ~CopyChoice();  // Stops the trial and waits for its thread.
  CopyChoice(const CopyChoice&) = delete;
  CopyChoice& operator=(const CopyChoice&) = delete;

  // Of extents that became ready: those that are to be handed on at once.
  Extents Keep(const Extents& ready);
  // No more will come: the trial begins. Nothing is there to copy in: it ends at once.
  void Begin();
  // Somebody needs the room.
  void GiveUp();
  // Whether extents are kept back, or a trial goes on whose outcome was not taken.
  bool is_busy() const { return !kept_.empty() || state_ == State::kRunning; }
  uint64_t kept_bytes() const;

  struct Outcome {
    Extents extents;    // that were kept back
    CopyPlan plan{};    // 0 where nothing was found out
  };
  // Once, after the trial or after GiveUp.
  std::optional<Outcome> TakeOutcome();

 private:
  enum class State { kWaiting, kRunning, kEnded };

  std::byte* const arena_;
  const uint64_t most_kept_bytes_;
  const uint64_t kept_from_;  // what lies below is not kept
  const int notify_fd_;
  State state_ = State::kWaiting;
  Extents kept_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> is_over_{false};
  CopyPlan plan_{};  // the trial's thread until is_over_
  std::thread thread_;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_COPY_CHOICE_H_
