// Round: the working state of one Decide. Private to the scheduler.
#ifndef PENSTOCK_RUNTIME_SCHEDULE_ROUND_H_
#define PENSTOCK_RUNTIME_SCHEDULE_ROUND_H_

#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "runtime/schedule/scheduler.h"

namespace penstock {

class Scheduler::Round {
 public:
  explicit Round(Scheduler& scheduler) : s_(scheduler), offer_(scheduler.free_) {}
  std::vector<Decision> Run();

 private:
  // A shape with requests that were not looked at yet.
  struct Candidate {
    RequestId oldest;
    Shape* shape;
    size_t promised;  // so many of its requests have a place and wait for a worker

    friend bool operator<(const Candidate& a, const Candidate& b) {
      return a.oldest > b.oldest;  // the oldest is the top of the heap
    }
  };
  // One job with a queue.
  struct Turn {
    JobId id;
    Job* job;
    std::vector<Candidate> candidates{};  // a heap
    std::vector<Candidate> left{};        // fit nowhere now, or have no worker; oldest first
    std::vector<Shape*> passed{};         // of these, those with passes to be counted
    Resources guarded{};                  // what later requests may not take (rule 3)
    uint32_t promised = 0;                // requests that wait for a worker to start
    uint32_t promised_active = 0;         // of these, those that will count as active

    uint32_t Leases() const { return job->active + promised_active; }
  };
  using Key = std::tuple<bool, uint32_t, uint64_t, JobId>;
  // What another job may be asked for.
  struct Victim {
    Job* job;
    int64_t excess;
  };

  // round.cc: grants and starts.
  void OpenTurns();
  void FindReservation();
  void Serve();
  bool ServeOne(Turn& turn);
  Key KeyOf(const Turn& turn) const;
  bool IsStarved(const Turn& turn) const;
  bool IsBelowShare(const Turn& turn) const;
  bool IsHeldBack(const Turn& turn, const Shape& shape) const;
  void Skip(Turn& turn, Candidate candidate);
  void Guard(Turn& turn, Shape& shape);
  void Grant(Turn& turn, Shape& shape);
  int64_t SlotsLeft() const;
  bool Promise(Turn& turn, const Shape& shape);
  void Start();

  // round_ask_back.cc: what others are asked for.
  void AskBack();
  void AskBackFor(Turn& turn);
  bool MakeFit(Turn& turn, const Shape& shape);
  std::vector<Victim> Victims(const Turn& turn) const;
  void FailNewestWait();

  Scheduler& s_;
  std::vector<Decision> decisions_;
  std::vector<Turn> turns_;
  Resources offer_;  // free, without what was promised
  uint32_t jobs_ = 0;    // that wait or have active leases
  uint32_t share_ = 0;
  const Turn* reserving_ = nullptr;  // rule 4
  Resources reserved_;
  std::vector<Turn*> starts_;  // processes to be started, in the order of promises
  Resources hope_;             // offer_ and what was asked back
  int64_t slots_hope_ = 0;     // the same, for workers
};

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_SCHEDULE_ROUND_H_
