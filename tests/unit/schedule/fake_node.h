// A node around a scheduler: it starts and stops what it is told, and remembers.
#ifndef PENSTOCK_TESTS_UNIT_SCHEDULE_FAKE_NODE_H_
#define PENSTOCK_TESTS_UNIT_SCHEDULE_FAKE_NODE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/schedule/scheduler.h"

namespace penstock::testing {

inline Resources Amounts(std::vector<std::pair<std::string, double>> amounts) {
  auto resources = Resources::From(std::move(amounts));
  EXPECT_TRUE(resources.ok()) << resources.status();
  return *std::move(resources);
}
inline Resources Cpus(double count) { return Amounts({{"CPU", count}}); }

class FakeNode {
 public:
  explicit FakeNode(Resources node, SchedulerLimits limits = {}, JobId jobs = 2)
      : scheduler_(std::move(node), limits) {
    for (JobId job = 1; job <= jobs; ++job) scheduler_.AddJob(job);
  }
  Scheduler& operator*() { return scheduler_; }
  Scheduler* operator->() { return &scheduler_; }

  // A task: it keeps what it needs.
  RequestId Ask(JobId job, const Resources& needed) {
    return Ask({.id = next_request_, .job = job, .needed = needed, .kept = needed});
  }
  RequestId AskForActor(JobId job, const Resources& needed, const Resources& kept = {}) {
    return Ask({.id = next_request_, .job = job, .needed = needed, .kept = kept,
                .dedicated = true});
  }
  absl::Status TryAsk(LeaseRequest request) {
    request.id = next_request_++;
    return scheduler_.Request(std::move(request));
  }

  // One Decide, nothing done about it but that grants are remembered.
  std::vector<Decision> Decide() {
    std::vector<Decision> decisions = scheduler_.Decide();
    scheduler_.CheckInvariants();
    for (const Decision& decision : decisions) {
      if (decision.kind != Decision::kGrant) continue;
      EXPECT_TRUE(workers_.emplace(decision.request, decision.worker).second)
          << "request " << decision.request << " is granted twice";
      granted_.push_back(decision.request);
    }
    return decisions;
  }
  // Decides until nothing more follows; starts and stops processes at once. Returns the
  // other decisions.
  std::vector<Decision> Settle() {
    std::vector<Decision> others;
    bool again = true;
    while (again) {
      again = false;
      for (const Decision& decision : Decide()) {
        if (decision.kind == Decision::kStartWorker) {
          Ready(decision.job);
        } else if (decision.kind == Decision::kStopWorker) {
          scheduler_.WorkerGone(decision.worker);
        } else if (decision.kind != Decision::kGrant) {
          others.push_back(decision);
          continue;
        }
        again = true;
      }
    }
    return others;
  }
  WorkerId Ready(JobId job) {
    scheduler_.WorkerReady(next_worker_, job);
    return next_worker_++;
  }
  // Workers that are there before anybody asks.
  void MakeIdle(JobId job, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) Ready(job);
  }

  // Requests granted since the last call, in order.
  std::vector<RequestId> Granted() { return std::exchange(granted_, {}); }
  bool IsGranted(RequestId request) const { return workers_.contains(request); }
  WorkerId WorkerOf(RequestId request) const { return workers_.at(request); }
  void Release(RequestId request) { scheduler_.Release(WorkerOf(request)); }

 private:
  RequestId Ask(LeaseRequest request) {
    const absl::Status asked = TryAsk(std::move(request));
    EXPECT_TRUE(asked.ok()) << asked;
    return next_request_ - 1;
  }

  Scheduler scheduler_;
  RequestId next_request_ = 1;
  WorkerId next_worker_ = 101;
  std::vector<RequestId> granted_;
  std::map<RequestId, WorkerId> workers_;
};

inline std::vector<Decision> Only(Decision::Kind kind, const std::vector<Decision>& all) {
  std::vector<Decision> some;
  for (const Decision& decision : all) {
    if (decision.kind == kind) some.push_back(decision);
  }
  return some;
}
inline size_t Count(Decision::Kind kind, const std::vector<Decision>& all) {
  return Only(kind, all).size();
}

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_UNIT_SCHEDULE_FAKE_NODE_H_
