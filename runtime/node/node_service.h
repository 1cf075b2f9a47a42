// NodeService: what the daemon does for tasks and actors. It knows the processes of the
// runtime (drivers and their workers), starts workers, hands out leases as the scheduler
// decides, and introduces two processes to each other once; calls then pass it by.
//
// Thread safety: one thread, the reactor's.
#ifndef PENSTOCK_RUNTIME_NODE_NODE_SERVICE_H_
#define PENSTOCK_RUNTIME_NODE_NODE_SERVICE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "runtime/node/spawner.h"
#include "runtime/schedule/scheduler.h"
#include "runtime/wire/node_message.h"
#include "store/reactor/reactor.h"
#include "store/wire/packet_socket.h"

namespace penstock {

// What the node service asks of the store.
class NodeStore {
 public:
  virtual ~NodeStore() = default;
  virtual bool IsSessionOf(uint64_t session, int32_t pid) const = 0;
  // What these sessions made goes when they end, or now where they have.
  virtual void DropObjectsOf(std::span<const uint64_t> sessions) = 0;
};

struct NodeOptions {
  std::string dir;           // of the daemon's socket
  double cpus = 1;
  uint32_t max_workers = 64;
  uint32_t started_ahead = 2;  // workers of a new job, before it asks
};

class NodeService {
 public:
  NodeService(Reactor& reactor, NodeStore& store, const NodeOptions& options);
  // Kills every worker: none outlives its node.
  ~NodeService();

  // A process has said Hello as Runtime on `socket`; from now on it is ours.
  absl::Status Adopt(UniqueFd socket, UniqueFd pidfd, int32_t pid);

  // Acts on what was heard. Call after each Poll of the reactor, not in between: whoever
  // resumed before another one asked has been heard then, whichever of the two was read first.
  void Decide();

  size_t processes() const { return processes_.size(); }
  size_t workers() const;

 private:
  struct Process {
    uint64_t number = 0;
    JobId job = 0;
    bool is_driver = false;
    bool registered = false;
    bool asked_for = false;   // by the scheduler, which is owed an answer
    int32_t pid = 0;
    UniqueFd socket;
    UniqueFd pidfd;
    UniqueFd page;
    UniqueFd doorbell;
    UniqueFd output;          // until the driver has it
    uint64_t serves = 0;      // the process that leases it, 0: nobody
    RequestId lease = 0;
    bool dedicated = false;
    absl::flat_hash_set<uint64_t> met;
  };
  struct Job {
    uint64_t driver = 0;
    Launch launch;
    UniqueFd executable;
    UniqueFd directory;
    uint32_t failed_starts = 0;
    std::vector<uint64_t> sessions;  // with the store, of all processes it ever had
  };
  struct Request {
    uint64_t process = 0;  // who asked
    uint64_t number = 0;   // its own number for it
    uint64_t actor = 0;    // 0: for tasks
  };

  // What processes say.
  void OnPacket(uint64_t number);
  void OnDeath(uint64_t number);
  absl::Status Handle(Process& process, NodeFacts facts, std::vector<UniqueFd> fds);
  absl::Status RegisterDriver(Process& process, const NodeFacts& facts,
                              std::vector<UniqueFd>& fds);
  absl::Status RegisterWorker(Process& process, const NodeFacts& facts,
                              std::vector<UniqueFd>& fds);
  absl::Status RequestLease(Process& process, const NodeFacts& facts);
  void ReturnLease(Process& process, uint64_t worker);
  void NameActor(Process& process, const NodeFacts& facts);
  void FindActor(Process& process, const NodeFacts& facts);
  void MeetActor(Process& process, const NodeFacts& facts);
  void KillWorker(Process& process, uint64_t worker);

  // What the scheduler decides.
  void Act(const Decision& decision);
  void Grant(const Decision& decision);
  void StartWorker(JobId job, bool asked_for);
  void Introduce(Process& a, Process& b);
  void StopWorker(uint64_t number);
  void EndLease(Process& worker);
  void EndJob(JobId job);

  void Tell(Process& process, const NodeFacts& facts, std::span<const int> fds = {});
  void TellGone(const Process& dead, int32_t code, int32_t signal);
  void Drop(Process& process, const absl::Status& why);
  Process* Find(uint64_t number);

  Reactor& reactor_;
  NodeStore& store_;
  const NodeOptions options_;
  Scheduler scheduler_;
  uint64_t next_number_ = 1;
  bool events_since_decision_ = false;
  RequestId next_request_ = 1;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Process>> processes_;
  absl::flat_hash_map<JobId, Job> jobs_;
  absl::flat_hash_map<RequestId, Request> requests_;
  absl::flat_hash_map<uint64_t, uint64_t> actors_;          // actor -> process
  absl::flat_hash_map<uint64_t, std::vector<std::pair<uint64_t, uint64_t>>> awaited_;
                                         // actor -> (process, request) that want to meet it
  absl::flat_hash_map<std::string, uint64_t> names_;        // "job/name" -> actor
  absl::flat_hash_map<uint64_t, std::string> gone_actors_;  // actor -> how it ended
};

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_NODE_NODE_SERVICE_H_
