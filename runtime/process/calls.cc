// Process: calls on their way out.
#include <algorithm>

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "runtime/process/clock.h"
#include "runtime/process/process.h"

namespace penstock::internal {
namespace {

// A lease's worker is kept busy for about so long with calls that it has not begun.
constexpr double kAhead_ns = 200'000;
constexpr uint32_t kMostAhead = 512;
constexpr size_t kMostRequests = 64;
// This often a process that only calls looks at what came meanwhile.
constexpr uint32_t kPumpEvery = 64;

constexpr uint32_t kIdsOfBlock = 64;
constexpr size_t kMostInRecord = kMostRecordBytes - sizeof(CallHeader);

}  // namespace

// From the thread's own block of ids.
ObjectId Process::NextId() {
  struct Block {
    uint64_t cluster = 0;  // whose ids they are
    ObjectId next;
    uint32_t left = 0;
  };
  thread_local Block block;
  if (block.left == 0 || block.cluster != cluster_) {
    const auto first = client_->NextIds(kIdsOfBlock);
    if (!first.ok()) throw RuntimeUnavailable(std::string(first.status().message()));
    block = {cluster_, *first, kIdsOfBlock};
  }
  --block.left;
  ObjectId id = block.next;
  ++block.next.sequence;
  return id;
}

// Whether every argument given by its ref is there. `failed`: one of them is an error, and
// the call fails with it, unrun.
bool Process::Ready(OutgoingCall& call, bool& failed) {
  failed = false;
  for (const Argument& argument : call.arguments.list) {
    if (argument.ref == nullptr) continue;
    switch (argument.ref->state) {
      case Result::State::kPending:
        return false;
      case Result::State::kFailed:
        FailBytes(*call.result, argument.ref->bytes);
        failed = true;
        return true;
      case Result::State::kBorrowed: {
        const auto here = client_->Contains(argument.ref->id);
        if (here.ok() && !*here) return false;
        break;
      }
      default:
        break;
    }
  }
  return true;
}

// Nothing when they are too many for a record and the store has no room for them.
std::optional<std::string> Process::EncodeArguments(OutgoingCall& call) {
  std::string bytes = std::move(call.arguments.bytes);
  for (Argument& argument : call.arguments.list) {
    if (argument.ref == nullptr) {
      bytes.append(argument.bytes);
      continue;
    }
    if (argument.ref->state == Result::State::kInline) {
      AppendArgument(bytes, ArgumentKind::kValue, argument.ref->bytes);
    } else {
      AppendArgument(bytes, ArgumentKind::kObject, BytesOf(argument.ref->id));
    }
    call.kept.push_back(std::move(argument.ref));
  }
  call.arguments = {};
  if (bytes.size() <= kMostInRecord) return bytes;
  CreateOptions options;
  options.type_tag = kSpillTag;
  const auto id = client_->Put(bytes, options);
  if (!id.ok()) return std::nullopt;
  call.header.flags |= kIsSpilled;
  auto spilled = std::make_shared<Result>(*id);
  spilled->state = Result::State::kStored;
  spilled->in_store = true;
  call.kept.push_back(std::move(spilled));  // goes with the call
  return std::string(BytesOf(*id));
}

void Process::Transmit(Peer& peer, OutgoingCall&& call) {
  const std::optional<std::string> bytes = EncodeArguments(call);
  if (!bytes.has_value()) {
    return Fail(*call.result, {.kind = ErrorKind::kLost,
                               .message = "the arguments could not be stored: the store is full"});
  }
  const std::string_view header(reinterpret_cast<const char*>(&call.header),
                                sizeof(CallHeader));
  Send(peer, kCallRecord, peer.sent.next_number(), header, *bytes);
  peer.sent.Push(std::move(call));
}

ResultPtr Process::CallTask(OutgoingCall&& call, const CallOptions& options) {
  ResultPtr result = call.result;
  Lock lock(mutex_);
  if (!node_lost_.empty()) throw RuntimeUnavailable(node_lost_);
  auto& shape = shapes_[options.resources];
  if (shape == nullptr) {
    shape = std::make_unique<Shape>();
    shape->resources = options.resources;
  }
  bool failed = false;
  if (!Ready(call, failed)) {
    held_.emplace_back(shape.get(), std::move(call));
  } else if (!failed) {
    Peer* const worker = shape->queue.empty() ? LeaseWithRoom(*shape) : nullptr;
    if (worker != nullptr) {
      Transmit(*worker, std::move(call));
    } else {
      shape->queue.push_back(std::move(call));
      Dispatch(*shape);
    }
  }
  LookNowAndThen(!held_.empty() || !shape->queue.empty() || HasBacklog(*shape));
  return result;
}

// The one that has least to do, of those that take more; null when none does.
Peer* Process::LeaseWithRoom(const Shape& shape) const {
  Peer* best = nullptr;
  for (Peer* const peer : shape.leases) {
    if (peer->asked_back || peer->hands_back || peer->sent.open() >= peer->depth) continue;
    if (best == nullptr || peer->sent.open() < best->sent.open()) best = peer;
  }
  return best;
}

bool Process::HasBacklog(const Shape& shape) const {
  return std::any_of(shape.leases.begin(), shape.leases.end(),
                     [](const Peer* peer) { return !peer->backlog.empty(); });
}

// Gives the queue's calls to the workers leased for it, and asks for more when they do not
// suffice.
void Process::Dispatch(Shape& shape) {
  while (!shape.queue.empty()) {
    Peer* const best = LeaseWithRoom(shape);
    if (best == nullptr) break;
    OutgoingCall call = std::move(shape.queue.front());
    shape.queue.pop_front();
    Transmit(*best, std::move(call));
  }
  const size_t wanted = std::min(shape.queue.size(), kMostRequests);
  while (shape.requests.size() < wanted) {
    const uint64_t request = next_request_++;
    shape.requests.insert(request);
    shape_of_request_[request] = &shape;
    SendToNode({.kind = wire::NodeKind_RequestLease, .request = request,
                .resources = shape.resources, .kept = shape.resources});
  }
}

// After something came: held calls whose arguments are there now.
void Process::DispatchHeld() {
  for (auto entry = held_.begin(); entry != held_.end();) {
    const auto at = entry++;
    bool failed = false;
    if (!Ready(at->second, failed)) continue;
    Shape* const shape = at->first;
    OutgoingCall call = std::move(at->second);
    held_.erase(at);
    if (failed) continue;
    shape->queue.push_back(std::move(call));
  }
  for (const auto& [resources, shape] : shapes_) {
    if (!shape->queue.empty()) Dispatch(*shape);
  }
  for (const auto& [id, actor] : actors_) {
    if (!actor->queue.empty()) FlushActor(*actor);
  }
}

bool Process::NeedsAttention() const {
  if (!held_.empty()) return true;
  for (const auto& [resources, shape] : shapes_) {
    if (!shape->queue.empty() || HasBacklog(*shape)) return true;
  }
  for (const auto& [id, actor] : actors_) {
    if (!actor->queue.empty() || (actor->peer != nullptr && !actor->peer->backlog.empty())) {
      return true;
    }
  }
  return false;
}

// After a call: a process that only calls looks at what came, and somebody looks after what
// waits when it goes off to do something else. `something_waits`: of what was called just now.
void Process::LookNowAndThen(bool something_waits) {
  if (++calls_since_pump_ >= kPumpEvery && !leading_) {
    calls_since_pump_ = 0;
    Pump();
  }
  if (listener_attends_ || !something_waits) return;
  listener_attends_ = true;
  RingDoorbell(wake_listener_.get());
}

ActorState& Process::ActorOf(uint64_t id) {
  auto& actor = actors_[id];
  if (actor == nullptr) {
    actor = std::make_unique<ActorState>();
    actor->id = id;
  }
  return *actor;
}

uint64_t Process::CreateActor(OutgoingCall&& call, const CallOptions& options) {
  Lock lock(mutex_);
  if (!node_lost_.empty()) throw RuntimeUnavailable(node_lost_);
  const uint64_t id = number_ << 32 | next_request_++;
  if (!options.name.empty()) {
    const NodeFacts answer = AskNode(
        lock, {.kind = wire::NodeKind_NameActor, .actor = id, .name = options.name});
    if (answer.code != 0) throw UsageError(answer.text);
  }
  ActorState& actor = ActorOf(id);
  actor.asked = true;
  call.header.flags = kIsFactory;
  call.header.actor = id;
  actor.queue.push_back(std::move(call));
  const uint64_t request = next_request_++;
  actor_of_request_[request] = id;
  SendToNode({.kind = wire::NodeKind_RequestLease, .request = request, .actor = id,
              .resources = options.resources, .kept = options.kept, .dedicated = true});
  return id;
}

ResultPtr Process::CallActor(uint64_t id, OutgoingCall&& call) {
  ResultPtr result = call.result;
  Lock lock(mutex_);
  if (!node_lost_.empty()) throw RuntimeUnavailable(node_lost_);
  ActorState& actor = ActorOf(id);
  call.header.flags = kIsMethod;
  call.header.actor = id;
  bool failed = false;
  if (actor.peer != nullptr && actor.queue.empty() && actor.gone.empty() &&
      Ready(call, failed)) {
    if (!failed) Transmit(*actor.peer, std::move(call));
  } else {
    actor.queue.push_back(std::move(call));
    FlushActor(actor);
  }
  LookNowAndThen(!actor.queue.empty() ||
                 (actor.peer != nullptr && !actor.peer->backlog.empty()));
  return result;
}

// In order: a call whose arguments are not there holds back those after it.
void Process::FlushActor(ActorState& actor) {
  if (!actor.gone.empty()) {
    std::deque<OutgoingCall> queue = std::exchange(actor.queue, {});
    for (OutgoingCall& call : queue) {
      Fail(*call.result, {.kind = ErrorKind::kActor, .message = actor.gone});
    }
    return;
  }
  if (actor.peer == nullptr) {
    if (actor.asked) return;
    actor.asked = true;
    const uint64_t request = next_request_++;
    actor_of_request_[request] = actor.id;
    SendToNode({.kind = wire::NodeKind_MeetActor, .request = request, .actor = actor.id});
    return;
  }
  while (!actor.queue.empty()) {
    bool failed = false;
    if (!Ready(actor.queue.front(), failed)) return;
    OutgoingCall call = std::move(actor.queue.front());
    actor.queue.pop_front();
    if (!failed) Transmit(*actor.peer, std::move(call));
  }
}

uint64_t Process::FindActor(const std::string& name) {
  Lock lock(mutex_);
  const NodeFacts answer = AskNode(lock, {.kind = wire::NodeKind_FindActor, .name = name});
  if (answer.kind != wire::NodeKind_Found) throw UsageError(answer.text);
  return answer.actor;
}

void Process::KillActor(uint64_t id) {
  Lock lock(mutex_);
  ActorState& actor = ActorOf(id);
  if (actor.peer == nullptr && actor.gone.empty()) {
    // Met first, so that what was called before the kill has its turn to fail.
    FlushActor(actor);
    WaitUntil(lock, absl::InfiniteFuture(),
              [&] { return actor.peer != nullptr || !actor.gone.empty() || !node_lost_.empty(); });
  }
  if (actor.peer == nullptr) return;
  SendToNode({.kind = wire::NodeKind_Kill, .process = actor.peer->number});
  WaitUntil(lock, absl::Now() + absl::Seconds(10), [&] { return !actor.gone.empty(); });
}

// A question to the node and its answer.
NodeFacts Process::AskNode(Lock& lock, NodeFacts question) {
  const uint64_t request = question.request = next_request_++;
  answers_[request] = {};
  SendToNode(question);
  WaitUntil(lock, absl::InfiniteFuture(),
            [&] { return answers_[request].done || !node_lost_.empty(); });
  NodeAnswer answer = std::move(answers_[request]);
  answers_.erase(request);
  if (!answer.done) throw RuntimeUnavailable(node_lost_);
  return std::move(answer.facts);
}

void Process::OnGranted(const NodeFacts& facts) {
  if (facts.process == number_) MeetItself();
  const auto peer = peers_.find(facts.process);
  if (const auto actor = actor_of_request_.find(facts.request);
      actor != actor_of_request_.end()) {
    ActorState& state = ActorOf(actor->second);
    actor_of_request_.erase(actor);
    if (peer == peers_.end()) {
      state.gone = "the actor's process ended before it was met";
    } else {
      state.peer = peer->second.get();
      state.peer->actor = &state;
    }
    return FlushActor(state);
  }
  const auto shape = shape_of_request_.find(facts.request);
  if (shape == shape_of_request_.end() || peer == peers_.end() || peer->second->dead) {
    return SendToNode({.kind = wire::NodeKind_ReturnLease, .process = facts.process});
  }
  Shape& wanted = *shape->second;
  wanted.requests.erase(facts.request);
  shape_of_request_.erase(shape);
  Peer& worker = *peer->second;
  worker.shape = &wanted;
  worker.asked_back = worker.hands_back = false;
  worker.idle_since_ns = SteadyNs();
  wanted.leases.push_back(&worker);
  Dispatch(wanted);
  if (wanted.queue.empty()) CancelRequests(wanted);
}

void Process::CancelRequests(Shape& shape) {
  for (const uint64_t request : shape.requests) {
    SendToNode({.kind = wire::NodeKind_CancelLease, .request = request});
    shape_of_request_.erase(request);
  }
  shape.requests.clear();
}

// The wait for `result` has failed: no worker can be had for its call, and none is to run it
// later, when nobody waits for it any more.
void Process::Withdraw(Result& result, const std::string& why) {
  for (const auto& [resources, shape] : shapes_) {
    const auto call = std::find_if(shape->queue.begin(), shape->queue.end(),
                                   [&](const OutgoingCall& each) {
                                     return each.result.get() == &result;
                                   });
    if (call == shape->queue.end()) continue;
    Fail(result, {.kind = ErrorKind::kLimit, .message = why});
    shape->queue.erase(call);
    if (shape->queue.empty()) CancelRequests(*shape);
    return;
  }
}

void Process::OnRefused(const NodeFacts& facts) {
  if (const auto actor = actor_of_request_.find(facts.request);
      actor != actor_of_request_.end()) {
    ActorState& state = ActorOf(actor->second);
    actor_of_request_.erase(actor);
    state.gone = facts.text;
    return FlushActor(state);
  }
  const auto found = shape_of_request_.find(facts.request);
  if (found == shape_of_request_.end()) return;
  Shape& shape = *found->second;
  shape.requests.erase(facts.request);
  shape_of_request_.erase(found);
  if (static_cast<absl::StatusCode>(facts.code) == absl::StatusCode::kResourceExhausted) {
    return;  // pushed back: what waits here waits longer
  }
  std::deque<OutgoingCall> queue = std::exchange(shape.queue, {});
  const bool infeasible =
      static_cast<absl::StatusCode>(facts.code) == absl::StatusCode::kInvalidArgument;
  for (OutgoingCall& call : queue) {
    Fail(*call.result,
         {.kind = infeasible ? ErrorKind::kInfeasible : ErrorKind::kUnavailable,
          .message = facts.text});
  }
}

void Process::ReturnLease(Peer& peer) {
  if (peer.shape == nullptr) return;
  std::erase(peer.shape->leases, &peer);
  peer.shape = nullptr;
  peer.asked_back = peer.hands_back = false;
  SendToNode({.kind = wire::NodeKind_ReturnLease, .process = peer.number});
}

// After a reply: how far ahead this worker is to be given calls.
void Process::LeaveBusy(Peer& peer) {
  if (peer.shape == nullptr) return;
  if (peer.mean_run_ns > 0) {
    const double ahead = std::min(kAhead_ns / peer.mean_run_ns, double{kMostAhead});
    peer.depth = 1 + static_cast<uint32_t>(ahead);
  }
  if (peer.sent.open() > 0) return;
  peer.idle_since_ns = SteadyNs();
  if (peer.asked_back || peer.hands_back) ReturnLease(peer);
}

}  // namespace penstock::internal
