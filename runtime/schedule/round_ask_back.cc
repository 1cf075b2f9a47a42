// What others are asked for: leases beyond their share, and in the end a wait.
#include "runtime/schedule/round.h"

#include <algorithm>
#include <utility>

namespace penstock {

void Scheduler::Round::AskBack() {
  std::vector<Turn*> askers;
  for (Turn& turn : turns_) {
    if (!turn.left.empty() && IsBelowShare(turn)) askers.push_back(&turn);
  }
  if (askers.empty()) return;
  hope_ = offer_;
  slots_hope_ = SlotsLeft();
  for (const WorkerId id : s_.asked_back_) {
    const Worker& worker = s_.workers_.at(id);
    if (worker.blocked) continue;  // it comes back after its wait, whenever that is
    hope_ += worker.held;
    ++slots_hope_;
  }
  std::sort(askers.begin(), askers.end(),
            [&](const Turn* a, const Turn* b) { return KeyOf(*a) < KeyOf(*b); });
  for (Turn* const turn : askers) AskBackFor(*turn);
}

// No more than brings the job up to its share.
void Scheduler::Round::AskBackFor(Turn& turn) {
  uint32_t wanted = std::max(1u, share_) - turn.Leases();
  for (const Candidate& candidate : turn.left) {
    size_t requests = candidate.shape->requests.size() - candidate.promised;
    while (wanted > 0 && requests > 0 && MakeFit(turn, *candidate.shape)) {
      --wanted;
      --requests;
    }
  }
}

// Others' jobs with more than their share, the one with most first.
std::vector<Scheduler::Round::Victim> Scheduler::Round::Victims(const Turn& turn) const {
  const int64_t share = &turn == reserving_ ? 0 : share_;
  std::vector<Victim> victims;
  for (auto& [id, job] : s_.jobs_) {
    const int64_t excess = int64_t{job.active} - job.asked_back - share;
    if (&job != turn.job && excess > 0) victims.push_back({&job, excess});
  }
  std::stable_sort(victims.begin(), victims.end(),
                   [](const Victim& a, const Victim& b) { return a.excess > b.excess; });
  return victims;
}

// Asks for as many leases as one request of this shape still needs. When all that may be
// asked for is not enough, none is: they would come back to their job at once.
bool Scheduler::Round::MakeFit(Turn& turn, const Shape& shape) {
  Resources hope = hope_;
  int64_t slots = slots_hope_;
  const bool needs_slot = turn.job->idle.empty() && turn.promised >= turn.job->starting;
  const auto fits = [&] {
    return shape.needed.FitsIn(hope) && (!needs_slot || slots > 0);
  };
  std::vector<WorkerId> picked;
  if (!fits()) {
    for (Victim& victim : Victims(turn)) {
      const auto& leases = victim.job->leases;
      for (auto lease = leases.rbegin(); lease != leases.rend(); ++lease) {
        if (victim.excess == 0 || fits()) break;
        const Worker& worker = s_.workers_.at(lease->second);
        if (worker.asked_back || worker.blocked) continue;
        const bool helps = worker.held.Shares(shape.needed.LackingIn(hope)) ||
                           (needs_slot && slots <= 0);
        if (!helps) continue;
        picked.push_back(lease->second);
        hope += worker.held;
        ++slots;
        --victim.excess;
      }
    }
    if (!fits()) return false;
  }
  for (const WorkerId id : picked) {
    Worker& worker = s_.workers_.at(id);
    worker.asked_back = true;
    ++s_.jobs_.at(worker.job).asked_back;
    s_.asked_back_.insert(id);
    decisions_.push_back({Decision::kAskBack, worker.job, worker.request, id});
  }
  hope_ = hope - shape.kept;
  slots_hope_ = slots - (needs_slot ? 1 : 0);
  return true;
}

// Every worker there may be waits, and so does a request that one of the waits may be for:
// the wait that began last is failed, for it has the least behind it.
void Scheduler::Round::FailNewestWait() {
  if (s_.queued_ == 0 || s_.workers_.size() < s_.limits_.max_workers ||
      s_.blocked_ != s_.workers_.size()) return;
  for (const auto& [id, worker] : s_.workers_) {
    if (worker.wait_failed) return;  // it is about to run
  }
  const auto newest = std::max_element(
      s_.workers_.begin(), s_.workers_.end(), [](const auto& a, const auto& b) {
        return a.second.blocked_order < b.second.blocked_order;
      });
  Worker& worker = newest->second;
  worker.wait_failed = true;
  decisions_.push_back({Decision::kWorkerLimit, worker.job, worker.request, newest->first});
}

}  // namespace penstock
