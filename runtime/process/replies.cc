// Process: replies, and what becomes of calls whose process is gone.
#include <algorithm>

#include <fmt/format.h>

#include "runtime/process/process.h"

namespace penstock::internal {

void Process::FailBytes(Result& result, std::string packed) {
  result.bytes = std::move(packed);
  result.state = Result::State::kFailed;
  if (!result.wanted_in_store) return;
  result.in_store = Store(result.id, kErrorTag, result.bytes).ok();
}

void Process::Fail(Result& result, const ErrorFacts& facts) {
  FailBytes(result, PackError(facts));
}

// The rest of a reply that was too long for a record.
std::string Process::TakeSpilled(std::string_view body) {
  std::string whole;
  ObjectId id;
  if (!TakeFrom(body, id)) return whole;
  if (const auto view = client_->Get(id, absl::Seconds(10)); view.ok()) {
    whole = std::string(view->text());
  }
  [[maybe_unused]] const absl::Status ignored = client_->Delete(id);
  return whole;
}

void Process::OnReply(Peer& peer, uint64_t number, std::string_view bytes) {
  absl::StatusOr<ParsedReply> reply = ParseReply(bytes);
  std::string spilled;
  if (reply.ok() && (reply->header.flags & kIsSpilled) != 0) {
    spilled = TakeSpilled(reply->body);
    reply = ParseReply(spilled);
  }
  std::optional<OutgoingCall> call = reply.ok() ? peer.sent.Take(number) : std::nullopt;
  if (!call.has_value()) {
    return Break(peer, fmt::format("process {} answered what was never asked", peer.pid));
  }
  Complete(*call, peer, *reply);
  LeaveBusy(peer);
}

void Process::Complete(OutgoingCall& call, Peer& peer, const ParsedReply& reply) {
  // Lent with the call and held on to: kept for it until it lets go.
  for (const ObjectId& id : reply.borrowed) {
    const auto kept = std::find_if(call.kept.begin(), call.kept.end(),
                                   [&](const ResultPtr& each) { return each->id == id; });
    if (kept != call.kept.end()) peer.Lend(*kept);
  }
  Result& result = *call.result;
  switch (reply.header.status) {
    case ReplyStatus::kHandedBack: {
      // It waits, and this call may be what it waits for: somebody else is to run it.
      std::string_view rest = reply.body;
      if (peer.shape == nullptr || !TakeFrom(rest, call.header)) {
        return Fail(result, {.kind = ErrorKind::kLost, .message = "the call was handed back"});
      }
      call.arguments.bytes = std::string(rest);
      peer.hands_back = true;
      peer.shape->queue.push_front(std::move(call));
      return;
    }
    case ReplyStatus::kFailed:
      FailBytes(result, std::string(reply.body));
      break;
    case ReplyStatus::kStored:
      result.in_store = true;
      result.state = Result::State::kStored;
      break;
    case ReplyStatus::kInline:
    default:
      for (const ObjectId& id : reply.contained) {
        ResultPtr inner = Borrow(id, peer.number);
        if (inner->lender == peer.number) ++inner->times_lent;
        else Send(peer, kReleaseRecord, 1, BytesOf(id), {});  // another keeps it for us
        result.contained.push_back(std::move(inner));
      }
      result.bytes = std::string(reply.body);
      result.state = Result::State::kInline;
      if (result.wanted_in_store) {
        result.in_store = Store(result.id, kValueTag, result.bytes).ok();
      }
      break;
  }
  // One that took long says more of what follows than many short ones before it.
  const double run_ns = std::max(reply.header.run_ns, 1u);
  const bool longer = run_ns > peer.mean_run_ns;
  peer.mean_run_ns += (run_ns - peer.mean_run_ns) / (longer ? 1 : 8);
}

// A peer wrote nonsense into its channel: the channel is at its end, and its calls fail. A
// worker that did so while we lease it is not to be leased to anybody again.
void Process::Break(Peer& peer, const std::string& why) {
  peer.broken = true;
  if (peer.shape != nullptr) {
    SendToNode({.kind = wire::NodeKind_Kill, .process = peer.number});
  }
  OnGone({.kind = wire::NodeKind_Gone, .process = peer.number, .pid = peer.pid, .text = why});
}

// A process has ended, or broke its channel. What it answered before is read first.
void Process::OnGone(const NodeFacts& facts) {
  const auto found = peers_.find(facts.process);
  if (found == peers_.end() || found->second->dead) return;
  Peer& peer = *found->second;
  while (PumpPeer(peer, 1'000'000) && !peer.dead) {
  }
  if (peer.dead) return;
  peer.dead = true;
  peer.lent.clear();
  peer.backlog.clear();
  std::erase(peer_list_, &peer);
  const auto is_of_peer = [&](const IncomingCall& call) { return call.caller == &peer; };
  std::erase_if(inbox_, is_of_peer);
  std::erase_if(early_, is_of_peer);
  if (peer.shape != nullptr) {
    std::erase(peer.shape->leases, &peer);
    peer.shape = nullptr;
  }
  ActorState* const actor = peer.actor;
  for (const OutgoingCall& call : peer.sent.TakeAll()) {
    if (call.header.actor != 0) {
      Fail(*call.result, {.kind = ErrorKind::kActor,
                           .message = "the actor died: " + facts.text, .code = 1});
    } else {
      Fail(*call.result,
           {.kind = ErrorKind::kWorker,
            .message = fmt::format("the worker that ran {} died: {}", call.function->name,
                                   facts.text),
            .pid = facts.pid, .signal = facts.signal, .code = facts.code});
    }
  }
  if (actor != nullptr) {
    actor->gone = "the actor died: " + facts.text;
    actor->peer = nullptr;
    FlushActor(*actor);
  }
  DispatchHeld();
}

}  // namespace penstock::internal
