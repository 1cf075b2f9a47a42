// The words of the scheduler's callers: who asks for what, and what is to be done.
#ifndef PENSTOCK_RUNTIME_SCHEDULE_LEASE_H_
#define PENSTOCK_RUNTIME_SCHEDULE_LEASE_H_

#include <cstdint>

#include "runtime/schedule/resources.h"

namespace penstock {

using JobId = uint64_t;      // one driver and all that works for it
using WorkerId = uint64_t;   // a worker process
// The daemon counts the requests of its node: each id is larger than every one before, and
// below 2^63. So an id is also the request's age.
using RequestId = uint64_t;

struct LeaseRequest {
  RequestId id = 0;
  JobId job = 0;
  Resources needed{};  // must be free for the request to be granted
  // Held from then on, for as long as the lease lives; no more than `needed`. A task keeps
  // all of it, an actor nothing unless it says otherwise.
  Resources kept{};
  bool dedicated = false;  // an actor: its worker serves nothing else ever
};

struct Decision {
  enum Kind {
    kGrant,        // `request` is served by `worker`
    kStartWorker,  // start a process for `job`; WorkerReady or StartFailed is owed
    kStopWorker,   // end `worker`; WorkerGone is owed
    kAskBack,      // ask the holder of the lease that answered `request` to release `worker`
    kWorkerLimit,  // every worker there may be waits: fail the wait of `worker`
  };
  Kind kind;
  JobId job;             // of the request and the worker
  RequestId request = 0; // kAskBack, kWorkerLimit: what the worker was granted for
  WorkerId worker = 0;

  friend bool operator==(const Decision&, const Decision&) = default;
};

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_SCHEDULE_LEASE_H_
