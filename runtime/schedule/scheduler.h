// Scheduler: which worker serves which lease request, on one node. No thread, process,
// socket or clock of its own: the daemon tells it what happened, then calls Decide and does
// what that says. The same calls give the same decisions.
//
// Rules
//   1. A worker belongs to one job, for it runs that job's executable. An idle worker of
//      the job, the one used last, is taken before a process is started. At the limit of
//      workers the idle ones of other jobs are stopped for it, the longest idle first.
//   2. Among jobs the one with the fewest active leases goes first; of equals, the one that
//      has waited longest since its last grant. Active is every lease but that of a blocked
//      worker and that of an actor which keeps nothing. A job that was passed over
//      kMostPasses times for each job on the node goes before all others.
//   3. Within a job the oldest request goes first. One that does not fit lets later ones
//      pass; after kMostPasses such grants no later one takes any resource that it lacked,
//      unless leases of actors hold so much that waiting for the others' end is in vain.
//   4. The same between jobs, for the oldest request of a job below its share that was
//      passed over as rule 2 says; here its own leases, too, must not be what it waits for.
//      One job at a time has this right.
//   5. A job's share is the active leases divided by the jobs that wait or have some. When
//      a job below its share (or without a lease) waits and other jobs hold more than
//      theirs, as many leases are asked back as make its requests fit, the latest first,
//      each once, never an actor's. A request in its right by rule 4 asks back all it needs.
//   6. Processes are started only for requests that have a place and no worker; at most as
//      many at once for one job as the node has CPUs, and one more. Within one Decide such
//      a request counts as granted, so nobody else takes its place while its worker starts.
//   7. A blocked worker's CPUs are free for others. It takes them back at once when it
//      resumes; until the count is right again nothing that needs a CPU is granted.
//
// Invariants
//   1. free() = node - what live leases keep + the CPUs of blocked workers; no amount but
//      CPU is ever negative, and CPU only after Resumed. (CheckInvariants)
//   2. A request is granted at most once, and not after Cancel or RemoveJob.
//   3. Workers and started processes together never exceed max_workers, unless the daemon
//      presents workers that it was not asked to start.
//
// Thread safety: one thread.
// Memory: a queued request takes 8 bytes (16 while most of its like were cancelled); each
// distinct shape of a job's queue about 1 KiB.
#ifndef PENSTOCK_RUNTIME_SCHEDULE_SCHEDULER_H_
#define PENSTOCK_RUNTIME_SCHEDULE_SCHEDULER_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "runtime/schedule/job_queue.h"
#include "runtime/schedule/lease.h"
#include "runtime/schedule/resources.h"

namespace penstock {

struct SchedulerLimits {
  uint32_t max_workers = 512;  // processes, at least 1
  uint32_t most_queued_per_job = 1'000'000;
  uint32_t most_shapes_per_job = 256;  // distinct shapes in one job's queue
};

struct SchedulerStats {
  uint64_t queued = 0;    // requests
  uint32_t starting = 0;  // processes asked for and not heard of
  uint32_t workers = 0;   // of these some are...
  uint32_t idle = 0;
  uint32_t blocked = 0;
  uint32_t stopping = 0;
};

class Scheduler {
 public:
  // Enough that a short request keeps passing a long one while the node drains for it, and
  // few enough that the long one waits for seconds, not minutes, of ordinary tasks.
  static constexpr uint32_t kMostPasses = 16;

  Scheduler(Resources node, SchedulerLimits limits);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void AddJob(JobId job);
  // Drops the job and its queue. Returns its workers, which the caller kills; they count,
  // and keep what they hold, until WorkerGone. O(workers).
  std::vector<WorkerId> RemoveJob(JobId job);

  // Queues the request. InvalidArgument: the node never has so much, or more is to be kept
  // than needed. ResourceExhausted: this job's own queue is full, others are not affected.
  // NotFound: the job has ended. O(shapes of the job).
  absl::Status Request(LeaseRequest request);
  // False: it is not queued (any more). O(jobs x shapes x log queue).
  bool Cancel(RequestId request);

  // A process has registered: one that was started, or one that a restarted daemon met
  // again. It is idle; if its job has ended, the next Decide stops it. O(log workers), and
  // so are all the following.
  void WorkerReady(WorkerId worker, JobId job);
  // The process that was asked for will not come. The next Decide may ask again; a caller
  // that has seen enough failures removes the job.
  void StartFailed(JobId job);
  // The process is dead, and what it held comes back. Says nothing about its request.
  void WorkerGone(WorkerId worker);

  // These three repeat what other processes say, and the worker may have died, or its job
  // ended, on the way: what does not fit the worker's state is ignored.
  void Release(WorkerId worker);  // its lease has ended: it is idle, an actor's is stopped
  void Blocked(WorkerId worker);  // it waits in a Get
  void Resumed(WorkerId worker);  // the wait has ended, and it runs already

  // All that can be done now; done once, it is not said again. With J jobs, S shapes of all
  // queues and D grants and starts: O((J + S + D) x log). The queues' lengths do not matter.
  // When a job below its share waits, the leases of the others are looked at as well.
  std::vector<Decision> Decide();

  const Resources& free() const { return free_; }
  SchedulerStats Stats() const;
  // Counts everything anew and aborts with the facts when an invariant does not hold.
  void CheckInvariants() const;

 private:
  class Round;  // one Decide

  struct Worker {
    enum State : uint8_t { kIdle, kLeased, kStopping };
    JobId job = 0;
    State state = kIdle;
    bool dedicated = false;
    bool blocked = false;
    bool asked_back = false;
    bool wait_failed = false;  // kWorkerLimit was said, and it has not resumed yet
    RequestId request = 0;
    Resources held;
    uint64_t order = 0;          // when it became idle, or was leased
    uint64_t blocked_order = 0;  // when it blocked
  };
  struct Job {
    JobQueue queue;
    uint32_t starting = 0;
    uint32_t active = 0;
    uint32_t asked_back = 0;                // of the active leases, those asked back
    uint64_t last_grant = 0;                // or when its queue was empty, as in grants_
    Resources held;                         // by leases that are not dedicated
    std::map<uint64_t, WorkerId> idle;      // by Worker::order
    std::map<uint64_t, WorkerId> leases;    // by Worker::order; not dedicated
  };
  using Workers = absl::flat_hash_map<WorkerId, Worker>;

  bool IsActive(const Worker& worker) const {
    return worker.state == Worker::kLeased && !worker.blocked &&
           !(worker.dedicated && worker.held.empty());
  }
  Worker* FindLeased(WorkerId worker);
  void BeginLease(WorkerId id, Shape& shape, RequestId request);
  void LeaveIdle(WorkerId id, Worker& worker);
  void BecomeIdle(WorkerId id, Worker& worker);
  void Count(Worker& worker, Job& job, int32_t by);
  void SetBlocked(Worker& worker, bool blocked);
  void ForgetLease(WorkerId id, Worker& worker);
  void GiveBack(Worker& worker);
  void Stop(WorkerId id, Worker& worker);
  void StartEnded(JobId job);

  const Resources node_;
  const SchedulerLimits limits_;
  Resources free_;
  Resources for_tasks_;  // the node without what actors keep
  std::map<JobId, Job> jobs_;
  Workers workers_;
  std::map<uint64_t, WorkerId> idle_;         // of all jobs, by Worker::order
  absl::flat_hash_set<WorkerId> asked_back_;  // leases that are to come back
  absl::flat_hash_map<JobId, uint32_t> orphan_starts_;  // for jobs that ended meanwhile
  std::vector<Decision> due_;                 // for the next Decide
  uint64_t queued_ = 0;
  uint32_t starting_ = 0;
  uint32_t stopping_ = 0;
  uint32_t blocked_ = 0;
  uint32_t active_ = 0;
  uint64_t grants_ = 0;
  uint64_t next_order_ = 1;
  RequestId last_request_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_SCHEDULE_SCHEDULER_H_
