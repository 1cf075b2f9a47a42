// What happens between decisions: jobs, requests and workers come and go.
#include "runtime/schedule/scheduler.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "store/base/check.h"

namespace penstock {

Scheduler::Scheduler(Resources node, SchedulerLimits limits)
    : node_(std::move(node)), limits_(limits), free_(node_), for_tasks_(node_) {
  PENSTOCK_CHECK(limits_.max_workers > 0) << "a node without workers";
}

void Scheduler::AddJob(JobId job) {
  PENSTOCK_CHECK(jobs_.try_emplace(job).second) << "job " << job << " is there already";
}

std::vector<WorkerId> Scheduler::RemoveJob(JobId id) {
  const auto found = jobs_.find(id);
  PENSTOCK_CHECK(found != jobs_.end()) << "job " << id << " was not added";
  std::vector<WorkerId> killed;
  for (auto& [worker_id, worker] : workers_) {
    if (worker.job != id) continue;
    killed.push_back(worker_id);
    if (worker.state == Worker::kLeased) ForgetLease(worker_id, worker);
    if (worker.state == Worker::kIdle) LeaveIdle(worker_id, worker);
    if (worker.state != Worker::kStopping) ++stopping_;
    worker.state = Worker::kStopping;
  }
  std::erase_if(due_, [&](const Decision& decision) { return decision.job == id; });
  Job& job = found->second;
  queued_ -= job.queue.size();
  if (job.starting > 0) orphan_starts_[id] += job.starting;
  jobs_.erase(found);
  std::sort(killed.begin(), killed.end());
  return killed;
}

absl::Status Scheduler::Request(LeaseRequest request) {
  PENSTOCK_CHECK(request.id > last_request_)
      << "request " << request.id << " comes after " << last_request_;
  const auto found = jobs_.find(request.job);
  if (found == jobs_.end()) {
    return absl::NotFoundError(fmt::format("job {} has ended", request.job));
  }
  if (!request.needed.FitsIn(node_)) {
    return absl::InvalidArgumentError(fmt::format(
        "the node can never give {}: it has {}; ask for less, or start it with more",
        request.needed.ToString(), node_.ToString()));
  }
  if (!request.kept.FitsIn(request.needed)) {
    return absl::InvalidArgumentError(
        fmt::format("{} cannot be kept when {} is needed to start: ask for at least as much",
                    request.kept.ToString(), request.needed.ToString()));
  }
  Job& job = found->second;
  if (job.queue.size() >= limits_.most_queued_per_job) {
    return absl::ResourceExhaustedError(fmt::format(
        "{} requests of job {} are queued, which is the limit; ask again when some are "
        "served", job.queue.size(), request.job));
  }
  const RequestId id = request.id;
  const JobId job_id = request.job;
  if (!job.queue.Push(std::move(request), limits_.most_shapes_per_job)) {
    return absl::ResourceExhaustedError(fmt::format(
        "requests of {} different shapes of job {} are queued, which is the limit; let more "
        "of them ask for the same amounts", limits_.most_shapes_per_job, job_id));
  }
  if (job.queue.size() == 1) job.last_grant = grants_;  // it has waited for nothing yet
  last_request_ = id;
  ++queued_;
  return absl::OkStatus();
}

bool Scheduler::Cancel(RequestId request) {
  for (auto& [id, job] : jobs_) {
    if (!job.queue.Cancel(request)) continue;
    --queued_;
    return true;
  }
  return false;
}

void Scheduler::WorkerReady(WorkerId id, JobId job) {
  const auto [place, is_new] = workers_.try_emplace(id);
  PENSTOCK_CHECK(is_new) << "worker " << id << " is there already";
  Worker& worker = place->second;
  worker.job = job;
  StartEnded(job);
  if (jobs_.contains(job)) BecomeIdle(id, worker);
  else Stop(id, worker);
}

void Scheduler::StartFailed(JobId job) { StartEnded(job); }

void Scheduler::WorkerGone(WorkerId id) {
  const auto found = workers_.find(id);
  if (found == workers_.end()) return;
  Worker& worker = found->second;
  if (worker.state == Worker::kIdle) LeaveIdle(id, worker);
  if (worker.state == Worker::kLeased) ForgetLease(id, worker);
  if (worker.state == Worker::kStopping) --stopping_;
  GiveBack(worker);
  std::erase_if(due_, [&](const Decision& decision) { return decision.worker == id; });
  workers_.erase(found);
}

void Scheduler::Release(WorkerId id) {
  Worker* const worker = FindLeased(id);
  if (worker == nullptr) return;
  ForgetLease(id, *worker);
  GiveBack(*worker);
  if (worker->dedicated) Stop(id, *worker);
  else BecomeIdle(id, *worker);
}

void Scheduler::Blocked(WorkerId id) {
  Worker* const worker = FindLeased(id);
  if (worker == nullptr || worker->blocked) return;
  SetBlocked(*worker, true);
  worker->blocked_order = next_order_++;
  free_ += worker->held.Only(Resources::kCpu);
}

void Scheduler::Resumed(WorkerId id) {
  Worker* const worker = FindLeased(id);
  if (worker == nullptr || !worker->blocked) return;
  SetBlocked(*worker, false);
  worker->wait_failed = false;
  free_ -= worker->held.Only(Resources::kCpu);
}

SchedulerStats Scheduler::Stats() const {
  return {.queued = queued_,
          .starting = starting_,
          .workers = static_cast<uint32_t>(workers_.size()),
          .idle = static_cast<uint32_t>(idle_.size()),
          .blocked = blocked_,
          .stopping = stopping_};
}

Scheduler::Worker* Scheduler::FindLeased(WorkerId id) {
  const auto found = workers_.find(id);
  const bool leased = found != workers_.end() && found->second.state == Worker::kLeased;
  return leased ? &found->second : nullptr;
}

void Scheduler::BeginLease(WorkerId id, Shape& shape, RequestId request) {
  Worker& worker = workers_.at(id);
  LeaveIdle(id, worker);
  Job& job = jobs_.at(worker.job);
  worker.state = Worker::kLeased;
  worker.dedicated = shape.dedicated;
  worker.request = request;
  worker.held = shape.kept;
  worker.order = next_order_++;
  free_ -= worker.held;
  if (worker.dedicated) {
    for_tasks_ -= worker.held;
  } else {
    job.held += worker.held;
    job.leases.emplace(worker.order, id);
  }
  Count(worker, job, 1);
}

void Scheduler::BecomeIdle(WorkerId id, Worker& worker) {
  worker.state = Worker::kIdle;
  worker.order = next_order_++;
  idle_.emplace(worker.order, id);
  jobs_.at(worker.job).idle.emplace(worker.order, id);
}

void Scheduler::LeaveIdle(WorkerId id, Worker& worker) {
  PENSTOCK_CHECK(worker.state == Worker::kIdle) << "worker " << id << " is not idle";
  idle_.erase(worker.order);
  jobs_.at(worker.job).idle.erase(worker.order);
}

void Scheduler::Count(Worker& worker, Job& job, int32_t by) {
  if (!IsActive(worker)) return;
  job.active += by;
  active_ += by;
  if (worker.asked_back) job.asked_back += by;
}

void Scheduler::SetBlocked(Worker& worker, bool blocked) {
  Job& job = jobs_.at(worker.job);
  Count(worker, job, -1);
  worker.blocked = blocked;
  Count(worker, job, 1);
  if (blocked) ++blocked_;
  else --blocked_;
}

// The lease is nobody's any more; what it holds stays held until GiveBack.
void Scheduler::ForgetLease(WorkerId id, Worker& worker) {
  Job& job = jobs_.at(worker.job);
  Count(worker, job, -1);
  if (worker.blocked) --blocked_;
  if (!worker.dedicated) {
    job.held -= worker.held;
    job.leases.erase(worker.order);
  }
  asked_back_.erase(id);
  worker.asked_back = false;
  worker.wait_failed = false;
}

void Scheduler::GiveBack(Worker& worker) {
  free_ += worker.held;
  if (worker.blocked) free_ -= worker.held.Only(Resources::kCpu);
  if (worker.dedicated) for_tasks_ += worker.held;
  worker.held = Resources();
  worker.blocked = false;
}

// For a worker that is neither idle nor leased any more.
void Scheduler::Stop(WorkerId id, Worker& worker) {
  worker.state = Worker::kStopping;
  ++stopping_;
  due_.push_back({.kind = Decision::kStopWorker, .job = worker.job, .worker = id});
}

void Scheduler::StartEnded(JobId job) {
  if (const auto found = jobs_.find(job); found != jobs_.end()) {
    if (found->second.starting == 0) return;
    --found->second.starting;
  } else {
    const auto orphan = orphan_starts_.find(job);
    if (orphan == orphan_starts_.end()) return;
    if (--orphan->second == 0) orphan_starts_.erase(orphan);
  }
  --starting_;
}

void Scheduler::CheckInvariants() const {
  Resources free = node_;
  Resources for_tasks = node_;
  SchedulerStats counted;
  uint32_t active = 0;
  size_t asked_back = 0;
  for (const auto& [id, worker] : workers_) {
    free -= worker.held;
    if (worker.blocked) free += worker.held.Only(Resources::kCpu);
    if (worker.dedicated) for_tasks -= worker.held;
    if (worker.state == Worker::kIdle) ++counted.idle;
    if (worker.state == Worker::kStopping) ++counted.stopping;
    if (worker.state == Worker::kLeased && worker.blocked) ++counted.blocked;
    if (worker.asked_back) ++asked_back;
    if (IsActive(worker)) ++active;
    PENSTOCK_CHECK(worker.state == Worker::kStopping || jobs_.contains(worker.job))
        << "worker " << id << " outlives job " << worker.job;
  }
  for (const auto& [id, job] : jobs_) {
    counted.queued += job.queue.size();
    counted.starting += job.starting;
  }
  for (const auto& [id, starts] : orphan_starts_) counted.starting += starts;
  PENSTOCK_CHECK(free == free_) << free_.ToString() << " instead of " << free.ToString();
  PENSTOCK_CHECK(for_tasks == for_tasks_)
      << for_tasks_.ToString() << " instead of " << for_tasks.ToString();
  PENSTOCK_CHECK((Resources() - free_).LackingIn(Resources()).FitsIn(
      (Resources() - free_).Only(Resources::kCpu))) << "overdrawn: " << free_.ToString();
  PENSTOCK_CHECK(counted.idle == idle_.size() && counted.stopping == stopping_ &&
                 counted.blocked == blocked_ && counted.queued == queued_ &&
                 counted.starting == starting_ && active == active_ &&
                 asked_back == asked_back_.size()) << "a count is wrong";
}

}  // namespace penstock
