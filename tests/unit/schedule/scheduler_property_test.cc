// Random histories of a node against a plain account of who holds what.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>

#include <fmt/format.h>

#include "tests/unit/schedule/fake_node.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kSeeds = 40;
constexpr int kSteps = 800;
constexpr JobId kJobs = 4;

// Odd seeds are quiet: no actor keeps anything, no job ends and no process dies, and each
// lease ends after a while. There nobody may be passed over without limit.
class World {
 public:
  explicit World(uint64_t seed)
      : random_(seed),
        quiet_(seed % 2 == 1),
        node_(Amounts({{"CPU", 4}, {"GPU", 2}, {"disk", 10}})),
        limits_{.max_workers = 6 + static_cast<uint32_t>(seed % 20),
                .most_queued_per_job = 40},
        scheduler_(node_, limits_) {
    for (JobId job = 1; job <= kJobs; ++job) OpenJob();
  }

  void Step() {
    switch (Below(quiet_ ? 7 : 11)) {
      case 0: case 1: case 2: Ask(); break;
      case 3: EndSomeLease(); break;
      case 4: Block(); break;
      case 5: Resume(); break;
      case 6: Cancel(); break;
      case 7: Kill(); break;
      case 8: FailStart(); break;
      case 9: if (Below(20) == 0) { CloseJob(); OpenJob(); } break;
      case 10: EndSomeLease(); break;
    }
    Grow();
    Do(scheduler_.Decide());
    scheduler_.CheckInvariants();
    Compare();
  }

  // Ends everything; all must come back, and every request must have been served.
  void End() {
    for (int round = 0; round < 100'000 && !IsQuiet(); ++round) {
      while (!blocked_.empty()) Resume();
      while (!leases_.empty()) EndLease(leases_.begin()->first);
      Grow();
      Do(scheduler_.Decide());
    }
    EXPECT_TRUE(waiting_.empty()) << waiting_.size() << " requests wait on an idle node";
    EXPECT_EQ(scheduler_.free(), node_);
    EXPECT_EQ(scheduler_.Stats().stopping, 0u);
    scheduler_.CheckInvariants();
  }

 private:
  struct Lease {
    JobId job;
    Resources held;
    bool dedicated;
    int steps = 0;
  };

  uint64_t Below(uint64_t limit) { return random_() % limit; }
  JobId SomeJob() { return *std::next(jobs_.begin(), static_cast<int>(Below(jobs_.size()))); }
  template <typename Map>
  auto Some(Map& map) {
    return std::next(map.begin(), static_cast<int>(Below(map.size())));
  }
  bool IsQuiet() const {
    return waiting_.empty() && leases_.empty() && starting_.empty() && stopping_.empty();
  }

  void OpenJob() {
    jobs_.insert(next_job_);
    scheduler_.AddJob(next_job_++);
  }
  void CloseJob() {
    const JobId job = SomeJob();
    jobs_.erase(job);
    std::erase_if(waiting_, [&](const auto& item) { return item.second.job == job; });
    passed_over_.erase(job);
    for (const WorkerId worker : scheduler_.RemoveJob(job)) {
      dying_.insert(worker);
      stopping_.insert(worker);
      if (blocked_.erase(worker) == 1) lent_.insert(worker);
    }
  }

  void Ask() {
    LeaseRequest request{.id = next_request_++, .job = SomeJob()};
    request.needed = Below(8) == 0 ? node_
                                   : Amounts({{"CPU", static_cast<double>(Below(9)) / 2},
                                              {"GPU", static_cast<double>(Below(12) / 10)},
                                              {"disk", static_cast<double>(Below(4))}});
    request.dedicated = Below(10) == 0;
    if (!request.dedicated) request.kept = request.needed;
    else if (!quiet_ && Below(2) == 0) request.kept = request.needed.Only("CPU");
    const absl::Status asked = scheduler_.Request(request);
    if (asked.ok()) {
      waiting_.emplace(request.id, request);
      return;
    }
    EXPECT_EQ(asked.code(), absl::StatusCode::kResourceExhausted) << asked;
  }
  void Cancel() {
    if (waiting_.empty() || Below(4) != 0) return;
    const auto request = Some(waiting_);
    EXPECT_TRUE(scheduler_.Cancel(request->first));
    EXPECT_FALSE(scheduler_.Cancel(request->first));
    waiting_.erase(request);
  }
  void EndSomeLease() {
    if (!leases_.empty()) EndLease(Some(leases_)->first);
  }
  void EndLease(WorkerId worker) {
    if (dying_.contains(worker)) {
      Gone(worker);
      return;
    }
    scheduler_.Release(worker);
    leases_.erase(worker);
    blocked_.erase(worker);
  }
  void Block() {
    if (leases_.empty()) return;
    const WorkerId worker = Some(leases_)->first;
    if (dying_.contains(worker)) return;
    scheduler_.Blocked(worker);
    blocked_.insert(worker);
  }
  void Resume() {
    if (blocked_.empty()) return;
    const WorkerId worker = *Some(blocked_);
    scheduler_.Resumed(worker);
    blocked_.erase(worker);
    overdrawing_ = true;
  }
  void Kill() {
    if (!workers_.empty() && Below(3) == 0) Gone(Some(workers_)->first);
  }
  void Gone(WorkerId worker) {
    scheduler_.WorkerGone(worker);
    workers_.erase(worker);
    leases_.erase(worker);
    blocked_.erase(worker);
    stopping_.erase(worker);
    dying_.erase(worker);
    lent_.erase(worker);
  }
  void FailStart() {
    if (starting_.empty()) return;
    const auto start = Some(starting_);
    scheduler_.StartFailed(*start);
    starting_.erase(start);
  }
  // Time goes by: processes come and go, leases that have lived long end.
  void Grow() {
    if (!starting_.empty() && Below(2) == 0) {
      const auto start = Some(starting_);
      workers_.emplace(next_worker_, *start);
      if (!jobs_.contains(*start)) stopping_.insert(next_worker_);
      scheduler_.WorkerReady(next_worker_++, *start);
      starting_.erase(start);
    }
    if (!stopping_.empty() && Below(2) == 0) Gone(*Some(stopping_));
    std::vector<WorkerId> old;
    for (auto& [worker, lease] : leases_) {
      if (++lease.steps > 60) old.push_back(worker);
    }
    for (const WorkerId worker : old) EndLease(worker);
  }

  void Do(const std::vector<Decision>& decisions) {
    for (const Decision& decision : decisions) {
      switch (decision.kind) {
        case Decision::kGrant: Granted(decision); break;
        case Decision::kStartWorker:
          EXPECT_TRUE(jobs_.contains(decision.job));
          starting_.insert(decision.job);
          EXPECT_LE(starting_.count(decision.job), 5u);
          EXPECT_LE(workers_.size() + starting_.size(), limits_.max_workers);
          break;
        case Decision::kStopWorker:
          EXPECT_FALSE(leases_.contains(decision.worker)) << "a busy worker is stopped";
          stopping_.insert(decision.worker);
          break;
        case Decision::kAskBack:
          EXPECT_FALSE(leases_.at(decision.worker).dedicated);
          EXPECT_TRUE(asked_back_.insert(decision.request).second) << "asked back twice";
          if (Below(3) != 0) leases_.at(decision.worker).steps = 40;  // it will be soon
          break;
        case Decision::kWorkerLimit:
          EXPECT_EQ(blocked_.size(), limits_.max_workers);
          EXPECT_TRUE(blocked_.contains(decision.worker));
          scheduler_.Resumed(decision.worker);
          blocked_.erase(decision.worker);
          overdrawing_ = true;
          break;
      }
    }
  }
  void Granted(const Decision& decision) {
    const auto request = waiting_.find(decision.request);
    ASSERT_NE(request, waiting_.end()) << "granted twice, or after it was cancelled";
    EXPECT_EQ(request->second.job, decision.job);
    EXPECT_EQ(workers_.at(decision.worker), decision.job);
    EXPECT_FALSE(stopping_.contains(decision.worker));
    EXPECT_TRUE(leases_
                    .emplace(decision.worker,
                             Lease{decision.job, request->second.kept,
                                   request->second.dedicated})
                    .second) << "the worker is busy";
    EXPECT_TRUE(request->second.needed.FitsIn(node_ - Held() + request->second.kept))
        << "granted beyond what the node has";
    waiting_.erase(request);
    passed_over_.erase(decision.job);
    for (const auto& [id, other] : waiting_) waits_.insert(other.job);
    for (const JobId job : waits_) {
      // A right comes after 16 grants for each job, and one job has it at a time.
      const uint32_t passed = ++passed_over_[job];
      if (quiet_) {
        EXPECT_LE(passed, 16 * kJobs * (kJobs + 1)) << "job " << job << " starves";
      }
    }
    waits_.clear();
  }
  Resources Held() const {
    Resources held;
    for (const auto& [worker, lease] : leases_) {
      held += lease.held;
      if (blocked_.contains(worker) || lent_.contains(worker)) held -= lease.held.Only("CPU");
    }
    return held;
  }
  void Compare() {
    EXPECT_EQ(scheduler_.free(), node_ - Held());
    if (Held().FitsIn(node_)) overdrawing_ = false;
    EXPECT_TRUE(overdrawing_ || Held().FitsIn(node_)) << Held().ToString();
    EXPECT_EQ(scheduler_.Stats().queued, waiting_.size());
    EXPECT_EQ(scheduler_.Stats().workers, workers_.size());
    EXPECT_EQ(scheduler_.Stats().starting, starting_.size());
    for (auto job = passed_over_.begin(); job != passed_over_.end();) {
      const bool waits = std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& item) {
        return item.second.job == job->first;
      });
      job = waits ? std::next(job) : passed_over_.erase(job);
    }
  }

  std::mt19937_64 random_;
  const bool quiet_;
  const Resources node_;
  const SchedulerLimits limits_;
  Scheduler scheduler_;
  std::set<JobId> jobs_;
  JobId next_job_ = 1;
  RequestId next_request_ = 1;
  WorkerId next_worker_ = 1;
  std::map<RequestId, LeaseRequest> waiting_;
  std::map<WorkerId, JobId> workers_;
  std::map<WorkerId, Lease> leases_;
  std::multiset<JobId> starting_;
  std::set<WorkerId> blocked_;
  std::set<WorkerId> stopping_;
  std::set<WorkerId> dying_;  // killed with their job, still there
  std::set<WorkerId> lent_;   // of these, those that were blocked: their CPUs stay lent
  std::set<RequestId> asked_back_;
  std::map<JobId, uint32_t> passed_over_;  // grants to others since its own, while it waited
  std::set<JobId> waits_;
  bool overdrawing_ = false;
};

TEST(SchedulerProperty, RandomHistoriesKeepEveryPromise) {
  const char* const chosen = std::getenv("PENSTOCK_TEST_SEED");
  const uint64_t first = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  const uint64_t last = chosen != nullptr ? first : kSeeds;
  for (uint64_t seed = first; seed <= last; ++seed) {
    const auto world = std::make_unique<World>(seed);
    for (int step = 0; step < kSteps; ++step) {
      world->Step();
      ASSERT_FALSE(::testing::Test::HasFailure())
          << fmt::format("PENSTOCK_TEST_SEED={} step {}", seed, step);
    }
    world->End();
    ASSERT_FALSE(::testing::Test::HasFailure()) << fmt::format("PENSTOCK_TEST_SEED={}", seed);
  }
}

}  // namespace
}  // namespace penstock::testing
