// Grants and starts: whose turn it is, and which of its requests has a place.
#include "runtime/schedule/round.h"

#include <algorithm>
#include <queue>
#include <utility>

#include "store/base/check.h"

namespace penstock {

std::vector<Decision> Scheduler::Decide() { return Round(*this).Run(); }

std::vector<Decision> Scheduler::Round::Run() {
  decisions_ = std::exchange(s_.due_, {});
  if (s_.queued_ == 0) return std::move(decisions_);
  OpenTurns();
  FindReservation();
  Serve();
  Start();
  AskBack();
  FailNewestWait();
  for (Turn& turn : turns_) turn.job->queue.DropEmptyShapes();
  return std::move(decisions_);
}

void Scheduler::Round::OpenTurns() {
  for (auto& [id, job] : s_.jobs_) {
    if (!job.queue.empty() || job.active > 0) ++jobs_;
    if (job.queue.empty()) continue;
    Turn turn{.id = id, .job = &job};
    for (const auto& shape : job.queue.shapes()) {
      turn.candidates.push_back({shape->requests.front(), shape.get(), 0});
    }
    std::make_heap(turn.candidates.begin(), turn.candidates.end());
    turns_.push_back(std::move(turn));
  }
  share_ = s_.active_ / jobs_;
}

// Chooses the job that rule 4 protects: of those that starve for a resource, the one with
// the oldest request. One whose request fits needs no protection, it goes first; if it has
// no worker, others use the place meanwhile.
void Scheduler::Round::FindReservation() {
  Shape* protected_shape = nullptr;
  for (const Turn& turn : turns_) {
    if (!IsStarved(turn) || !IsBelowShare(turn)) continue;
    const Resources reachable = s_.for_tasks_ - turn.job->held;
    for (const Candidate& candidate : turn.candidates) {
      Shape& shape = *candidate.shape;
      if (shape.needed.FitsIn(s_.free_) || !shape.needed.FitsIn(reachable)) continue;
      if (protected_shape != nullptr &&
          protected_shape->requests.front() < candidate.oldest) continue;
      protected_shape = &shape;
      reserving_ = &turn;
    }
  }
  if (protected_shape == nullptr) return;
  // What it lacked before counts too: two resources that are free in turns would never be
  // free together.
  protected_shape->lacked.RaiseTo(protected_shape->needed.LackingIn(s_.free_));
  reserved_ = protected_shape->lacked;
}

void Scheduler::Round::Serve() {
  std::priority_queue<std::pair<Key, Turn*>, std::vector<std::pair<Key, Turn*>>,
                      std::greater<>> order;
  for (Turn& turn : turns_) order.push({KeyOf(turn), &turn});
  while (!order.empty()) {
    Turn& turn = *order.top().second;
    order.pop();
    if (ServeOne(turn)) order.push({KeyOf(turn), &turn});
  }
}

// Finds the turn's oldest request that has a place, and grants or promises it. False: there
// is none. What is free only shrinks during a round, so what does not fit once is done.
bool Scheduler::Round::ServeOne(Turn& turn) {
  while (!turn.candidates.empty()) {
    std::pop_heap(turn.candidates.begin(), turn.candidates.end());
    Candidate candidate = turn.candidates.back();
    turn.candidates.pop_back();
    Shape& shape = *candidate.shape;
    if (IsHeldBack(turn, shape)) continue;
    if (!shape.needed.FitsIn(offer_)) {
      Skip(turn, candidate);
      continue;
    }
    if (!turn.job->idle.empty()) {
      Grant(turn, shape);
    } else if (Promise(turn, shape)) {
      ++candidate.promised;
    } else {
      if (SlotsLeft() <= 0) turn.left.push_back(candidate);
      return false;
    }
    if (shape.requests.size() > candidate.promised) {
      candidate.oldest = shape.requests.front();
      turn.candidates.push_back(candidate);
      std::push_heap(turn.candidates.begin(), turn.candidates.end());
    }
    return true;
  }
  return false;
}

// The least goes first.
Scheduler::Round::Key Scheduler::Round::KeyOf(const Turn& turn) const {
  return {!IsStarved(turn), turn.Leases(), turn.job->last_grant, turn.id};
}

bool Scheduler::Round::IsStarved(const Turn& turn) const {
  return s_.grants_ - turn.job->last_grant >= uint64_t{kMostPasses} * jobs_;
}

bool Scheduler::Round::IsBelowShare(const Turn& turn) const {
  return turn.Leases() < std::max(1u, share_);
}

bool Scheduler::Round::IsHeldBack(const Turn& turn, const Shape& shape) const {
  return shape.needed.Shares(turn.guarded) ||
         (reserving_ != nullptr && reserving_ != &turn && shape.needed.Shares(reserved_));
}

// Candidates come oldest first, so whatever the turn is granted from here on passes over
// this one.
void Scheduler::Round::Skip(Turn& turn, Candidate candidate) {
  Shape& shape = *candidate.shape;
  if (shape.passes >= kMostPasses) Guard(turn, shape);
  else turn.passed.push_back(&shape);
  turn.left.push_back(candidate);
}

void Scheduler::Round::Guard(Turn& turn, Shape& shape) {
  if (!shape.needed.FitsIn(s_.for_tasks_)) return;
  shape.lacked.RaiseTo(shape.needed.LackingIn(offer_));
  turn.guarded.RaiseTo(shape.lacked);
}

void Scheduler::Round::Grant(Turn& turn, Shape& shape) {
  const WorkerId worker = turn.job->idle.rbegin()->second;
  const RequestId request = turn.job->queue.Take(shape);
  s_.BeginLease(worker, shape, request);
  offer_ -= shape.kept;
  --s_.queued_;
  turn.job->last_grant = ++s_.grants_;
  decisions_.push_back({Decision::kGrant, turn.id, request, worker});
  std::erase_if(turn.passed, [&](Shape* passed) {
    if (++passed->passes < kMostPasses) return false;
    Guard(turn, *passed);
    return true;
  });
}

// Processes that could still be started, now or when idle and stopping workers are gone.
int64_t Scheduler::Round::SlotsLeft() const {
  return int64_t{s_.limits_.max_workers} - static_cast<int64_t>(s_.workers_.size()) -
         s_.starting_ + s_.stopping_ + static_cast<int64_t>(s_.idle_.size()) -
         static_cast<int64_t>(starts_.size());
}

// A worker for a request that has a place: one that is starting already, or a new one.
bool Scheduler::Round::Promise(Turn& turn, const Shape& shape) {
  if (turn.promised >= turn.job->starting) {
    const int64_t cpu_units = s_.node_.UnitsOf(Resources::kCpu);
    const int64_t most = (cpu_units + Resources::kUnitsInOne - 1) / Resources::kUnitsInOne + 1;
    if (turn.promised >= most || SlotsLeft() <= 0) return false;
    starts_.push_back(&turn);
  }
  ++turn.promised;
  if (!shape.dedicated || !shape.kept.empty()) ++turn.promised_active;
  offer_ -= shape.kept;
  return true;
}

void Scheduler::Round::Start() {
  uint32_t leaving = s_.stopping_;  // they make room as soon as they are gone
  for (Turn* const turn : starts_) {
    if (s_.workers_.size() + s_.starting_ < s_.limits_.max_workers) {
      ++turn->job->starting;
      ++s_.starting_;
      decisions_.push_back({.kind = Decision::kStartWorker, .job = turn->id});
    } else if (leaving > 0) {
      --leaving;
    } else if (!s_.idle_.empty()) {
      // Not one of this job: it had none left when it was promised one.
      const WorkerId id = s_.idle_.begin()->second;
      Worker& worker = s_.workers_.at(id);
      s_.LeaveIdle(id, worker);
      s_.Stop(id, worker);
    }
  }
  // Stop leaves word for the next round; this one says it at once.
  for (const Decision& decision : std::exchange(s_.due_, {})) decisions_.push_back(decision);
}

}  // namespace penstock
