// Process: one process of the runtime, driver or worker. Everything it knows of others, and
// the one place where it waits.
//
// One lock guards all of it. Whoever waits leads: it takes records from every channel, and
// sleeps on the process's one eventfd when there are none; the others wait for it. A thread
// of the library hears what the node says.
#ifndef PENSTOCK_RUNTIME_PROCESS_PROCESS_H_
#define PENSTOCK_RUNTIME_PROCESS_PROCESS_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <penstock/client.h>
#include <penstock/internal/call.h>
#include <penstock/runtime.h>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "runtime/channel/channel.h"
#include "runtime/channel/process_page.h"
#include "runtime/process/outgoing_call.h"
#include "runtime/process/sent_calls.h"
#include "runtime/wire/node_message.h"
#include "store/base/spin_budget.h"
#include "store/base/unique_fd.h"
#include "store/shm/mapping.h"
#include "store/shm/memory_file.h"

namespace penstock::internal {

struct ActorState;
struct Peer;

// A group of tasks that need the same, and the workers leased for it.
struct Shape {
  Amounts resources;
  std::deque<OutgoingCall> queue;
  std::vector<Peer*> leases;
  absl::flat_hash_set<uint64_t> requests;  // asked of the node, not granted
};

// Another process, and the channel to it.
struct Peer {
  uint64_t number = 0;
  int32_t pid = 0;
  Mapping own, other, page;
  UniqueFd doorbell;
  ChannelProducer producer;
  ChannelConsumer consumer;
  RingMemory rung;
  std::deque<std::pair<RecordHeader, std::string>> backlog;  // when its ring was full
  bool dead = false;
  bool broken = false;  // it wrote nonsense: nothing more is read

  SentCalls sent;
  // Leased for tasks of this shape.
  Shape* shape = nullptr;
  bool asked_back = false;
  bool hands_back = false;        // it waits: what it has not begun it returns
  uint32_t depth = 1;             // calls at a time
  double mean_run_ns = 0;         // 0: not known yet
  int64_t idle_since_ns = 0;
  ActorState* actor = nullptr;
  // Refs of ours that it holds, and how often they were lent: one that it lets go and one
  // that is lent anew may pass each other on the way.
  struct Lent {
    ResultPtr result;
    uint32_t times = 0;
  };
  absl::flat_hash_map<ObjectId, Lent> lent;
  void Lend(const ResultPtr& result) {
    Lent& entry = lent[result->id];
    entry.result = result;
    ++entry.times;
  }
};

struct ActorState {
  uint64_t id = 0;
  Peer* peer = nullptr;        // null: not placed yet, or gone
  bool asked = false;          // the node knows that we want to meet it
  std::string gone;            // not empty: how it ended
  std::deque<OutgoingCall> queue;
};

// A call of another process that waits to run here.
struct IncomingCall {
  Peer* caller = nullptr;
  uint64_t number = 0;
  std::string bytes;
};

class Process {
 public:
  // The process's one; null before Init and after Shutdown.
  static Process* Get();
  // Throws UsageError.
  static Process& Must();

  static std::unique_ptr<Process> StartDriver(const Config& config, std::string session_dir);
  static std::unique_ptr<Process> JoinDriver(const std::string& address);
  // Serves until the node ends it. Never returns.
  [[noreturn]] static void RunWorker(const std::string& variable);
  ~Process();
  void EndCluster();

  Client& client() { return *client_; }
  const std::string& session_dir() const { return session_dir_; }
  uint64_t cluster() const { return cluster_; }
  // UsageError when the object is of another cluster.
  void CheckIsOurs(const ObjectId& id) const;
  bool is_worker() const { return is_worker_; }

  // Calls (calls.cc).
  ResultPtr CallTask(OutgoingCall&& call, const CallOptions& options);
  uint64_t CreateActor(OutgoingCall&& call, const CallOptions& options);
  ResultPtr CallActor(uint64_t actor, OutgoingCall&& call);
  uint64_t FindActor(const std::string& name);
  void KillActor(uint64_t actor);
  ObjectId NextId();

  // Values (values.cc).
  ResultPtr Put(std::string bytes, std::vector<ResultPtr> contained);
  std::string_view Bytes(const ResultPtr& result, absl::Duration deadline,
                         std::shared_ptr<const void>& hold);
  std::vector<size_t> WaitFor(std::span<const ResultPtr> results, size_t count,
                              absl::Duration deadline);
  std::string PackRef(const ResultPtr& result);
  ResultPtr UnpackRef(std::string_view bytes);
  void RememberOwn(const ResultPtr& result);
  ResultPtr Borrow(const ObjectId& id, uint64_t lender);
  void Dropped(Result& result);

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct NodeAnswer {
    bool done = false;
    NodeFacts facts;
  };

  Process() = default;

  // Connecting (connect.cc).
  void Connect(const std::string& dir, std::optional<uint64_t> worker_number);
  void SendToNode(const NodeFacts& facts, std::span<const int> fds = {});
  void ListenToNode();
  void OnNodeMessage(NodeFacts facts, std::vector<UniqueFd> fds);
  void OnMeeting(const NodeFacts& facts, std::vector<UniqueFd>& fds);
  void AddPeer(std::unique_ptr<Peer> peer);
  void MeetItself();
  void OnGone(const NodeFacts& facts);
  void Break(Peer& peer, const std::string& why);
  void OnNodeLost();
  void ForwardOutput(size_t index);
  void Tick();

  // Waiting (waiting.cc). All with the lock held.
  // Until `done` or the deadline; true when done. Whoever waits takes part in leading.
  bool WaitUntil(Lock& lock, absl::Time until, const std::function<bool()>& done);
  bool Spin(Lock& lock, const std::function<bool()>& done);
  bool Pump();                    // true when something came
  bool PumpPeer(Peer& peer, uint32_t most);
  bool AnythingThere() const;
  bool HasBacklog() const;
  bool HasBacklog(const Shape& shape) const;
  void Send(Peer& peer, uint32_t kind, uint64_t number, std::string_view first,
            std::string_view second);
  void FlushBacklog(Peer& peer);
  void Ring(Peer& peer);
  // This thread's task gives its CPU to others. False when nothing changed by it: no task
  // runs here, an actor's does, or it has given it already.
  bool BeginBlocked();
  void EndBlocked();
  // The same for a wait of several parts. Make it before the lock is taken.
  class Blocked;
  void HandBackInbox();

  // Calls and replies (calls.cc, replies.cc). All with the lock held.
  bool Ready(OutgoingCall& call, bool& failed);
  void Transmit(Peer& peer, OutgoingCall&& call);
  std::optional<std::string> EncodeArguments(OutgoingCall& call);
  Peer* LeaseWithRoom(const Shape& shape) const;
  void Dispatch(Shape& shape);
  void DispatchHeld();
  void FlushActor(ActorState& actor);
  ActorState& ActorOf(uint64_t id);
  std::string TakeSpilled(std::string_view body);
  void OnReply(Peer& peer, uint64_t number, std::string_view bytes);
  void Fail(Result& result, const ErrorFacts& facts);
  void FailBytes(Result& result, std::string packed);
  void Complete(OutgoingCall& call, Peer& peer, const ParsedReply& reply);
  void ReturnLease(Peer& peer);
  void OnGranted(const NodeFacts& facts);
  void OnRefused(const NodeFacts& facts);
  void CancelRequests(Shape& shape);
  void Withdraw(Result& result, const std::string& why);
  void LeaveBusy(Peer& peer);
  NodeFacts AskNode(Lock& lock, NodeFacts question);
  bool NeedsAttention() const;
  void LookNowAndThen(bool something_waits);
  absl::Status Store(const ObjectId& id, uint32_t tag, std::string_view bytes);
  void DrainTrash();

  // Running (executor.cc).
  void Serve();
  void OnCall(Peer& caller, uint64_t number, std::string_view bytes);
  void Run(IncomingCall&& call);
  void Reply(Peer& caller, uint64_t number, ReplyHeader header,
             const std::vector<ObjectId>& ids, std::string_view body);

  std::string session_dir_;
  bool is_worker_ = false;
  uint64_t number_ = 0;
  uint64_t cluster_ = 0;  // the incarnation of its node, in every id that it makes
  std::optional<Client> client_;
  UniqueFd socket_, doorbell_, wake_listener_;
  MemoryFile page_file_;
  Mapping page_mapping_;
  ProcessPage* page_ = nullptr;
  Parker parker_;
  std::thread listener_;
  pid_t keeper_pid_ = 0;  // of the private cluster's daemon

  std::mutex mutex_;
  std::condition_variable turn_;
  bool leading_ = false;
  uint32_t followers_ = 0;  // threads that wait for who leads
  bool stopping_ = false;
  std::string node_lost_;        // why the node is gone
  // In ns: several times what a wake-up costs, or caller and callee stay on the one core
  // that the kernel put them on, where neither ever finds what it looks for.
  SpinBudget spin_{400'000};
  bool listener_attends_ = false;  // it looks again within a millisecond
  absl::flat_hash_map<uint64_t, std::unique_ptr<Peer>> peers_;
  std::vector<Peer*> peer_list_;
  std::map<Amounts, std::unique_ptr<Shape>> shapes_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<ActorState>> actors_;
  absl::flat_hash_map<uint64_t, Shape*> shape_of_request_;
  absl::flat_hash_map<uint64_t, uint64_t> actor_of_request_;
  absl::flat_hash_map<uint64_t, NodeAnswer> answers_;
  std::list<std::pair<Shape*, OutgoingCall>> held_;  // tasks whose arguments are not there
  uint64_t next_request_ = 1;
  std::deque<IncomingCall> inbox_;
  std::vector<IncomingCall> early_;  // of the actor to be: its factory has not run yet
  bool factory_ran_ = false;
  std::string limit_;            // not empty: the next wait fails
  bool blocked_ = false;
  uint32_t calls_since_pump_ = 0;

  static thread_local uint64_t lending;  // the process whose bytes are being unpacked
  static thread_local std::vector<std::weak_ptr<Result>> unpacked;  // by the call that runs
  static thread_local bool runs_task;  // a wait of this thread is one of a task
  std::shared_ptr<void> self_;   // the actor that lives here
  std::string factory_error_;    // why there is none
  std::mutex borrowed_mutex_;
  absl::flat_hash_map<ObjectId, std::weak_ptr<Result>> borrowed_;  // and own ones that went out
  std::atomic<bool> has_trash_{false};
  std::mutex trash_mutex_;
  struct LetGo {
    uint64_t lender;
    ObjectId id;
    uint32_t times;
  };
  std::vector<LetGo> trash_;  // borrowed refs that this process holds no more

  struct Output {
    UniqueFd pipe;
    int32_t pid = 0;
    std::string line;
  };
  std::vector<Output> outputs_;  // the listener's
};

}  // namespace penstock::internal

#endif  // PENSTOCK_RUNTIME_PROCESS_PROCESS_H_
