// Core: what clients are told, and what waits for room in their rings.
#include <algorithm>

#include "store/base/crash_point.h"
#include "store/object/core.h"
#include "store/shm/parking.h"

namespace penstock {
// A grant's leases learn where it stands, so that a successor knows whether their client
// has heard of them.
void Core::WriteCompletion(CoreSession& session, const Completion& completion) {
  if (completion.op == CompletionOp::kGrant) {
    for (uint32_t i = 0; i < completion.count; ++i) {
      leases_[completion.grant.leases[i].slot()].told_at = session.completions.tail();
    }
  }
  session.completions.Write(completion);
  if (completion.op == CompletionOp::kGrant) PENSTOCK_CRASH_POINT(kGrantWritten);
}

void Core::Complete(SessionRow row, const Completion& completion) {
  CoreSession& session = *sessions_[row];
  if (!session.open) return;
  const bool is_event = completion.op == CompletionOp::kEvent;
  if (session.backlog.empty() && session.completions.HasRoom()) {
    WriteCompletion(session, completion);
    if (!session.unpublished) {
      session.unpublished = true;
      unpublished_rows_.push_back(row);
    }
    return;
  }
  // After a loss all are lost until it has been told, or a later event would stand first.
  if (is_event &&
      (session.events_lost > 0 || session.backlog_events >= limits_.max_event_backlog)) {
    ++session.events_lost;
    return;
  }
  if (!is_event && session.backlog.size() - session.backlog_events >=
                       2 * uint64_t{limits_.max_requests_per_session}) {
    // All its pending requests may be answered at once, but no client that reads comes
    // here; one that only asks would take the daemon's memory.
    Break(row, "it asks on and on and does not read its answers");
    return;
  }
  session.backlog.push_back(completion);
  if (is_event) ++session.backlog_events;
  if (session.backlog.size() == 1) {
    // SYNC S1: the flag, a full fence, then a last look at the ring.
    session.segments.daemon->backlogged.exchange(1, std::memory_order_seq_cst);
    FlushBacklog(row);
  }
}

void Core::FlushBacklog(SessionRow row) {
  CoreSession& session = *sessions_[row];
  bool wrote = false;
  while (!session.backlog.empty() && session.completions.HasRoom()) {
    if (session.backlog.front().op == CompletionOp::kEvent) --session.backlog_events;
    WriteCompletion(session, session.backlog.front());
    session.backlog.pop_front();
    wrote = true;
  }
  if (session.backlog.empty()) {
    if (session.events_lost > 0) {
      // Stands where the lost events would have stood: after all older ones.
      Completion lost{};
      lost.op = CompletionOp::kEventsLost;
      lost.detail[0] = session.events_lost;
      if (session.completions.HasRoom()) {
        session.completions.Write(lost);
        wrote = true;
      } else {
        session.backlog.push_back(lost);
      }
      session.events_lost = 0;
    }
    if (session.backlog.empty()) {
      session.segments.daemon->backlogged.store(0, std::memory_order_relaxed);
    }
  }
  if (wrote && !session.unpublished) {
    session.unpublished = true;
    unpublished_rows_.push_back(row);
  }
}

// Those whose turn it is first; the others with the next call.
void Core::PublishCompletions(size_t most) {
  for (; most > 0 && !unpublished_rows_.empty(); --most) {
    const SessionRow row = unpublished_rows_.front();
    unpublished_rows_.pop_front();
    CoreSession& session = *sessions_[row];
    session.unpublished = false;
    // SYNC S1 parking, producer's half.
    session.completions.Publish();
    PENSTOCK_CRASH_POINT(kCompletionsPublished);
    session.rings.RingOnce(session.segments.client->parked, [this, row] { host_->Wake(row); });
  }
}

void Core::Answer(SessionRow row, uint32_t request, AnswerCode code, uint64_t detail) {
  Completion answer{};
  answer.op = CompletionOp::kAnswer;
  answer.code = code;
  answer.request = request;
  answer.detail[0] = detail;
  Complete(row, answer);
}

// The object stays held until the asker has confirmed its own pin.
void Core::AnswerObject(SessionRow row, uint32_t request, uint32_t slot) {
  ++infos_[slot].holds;
  ++sessions_[row]->holds[slot];
  const Slot& object = slots_[slot];
  Completion answer{};
  answer.op = CompletionOp::kObject;
  answer.request = request;
  answer.object.id = object.id;
  answer.object.size = object.size;
  answer.object.generation = slots_.Generation(slot);
  answer.object.slot = slot;
  answer.object.metadata_size = object.metadata_size;
  answer.object.offset = object.offset;
  // SYNC S4 hold: the asker sees whether the daemon that holds it still lives.
  answer.count = static_cast<uint8_t>(
      index_.header().restarts.load(std::memory_order_relaxed));
  Complete(row, answer);
}

bool Core::HasWaiters(const ObjectId& id) const {
  const auto first = waiters_.lower_bound({id, 0});
  return first != waiters_.end() && first->id == id;
}

// Some at once; where thousands wait, the others in the next turns.
void Core::AnswerWaiters(const ObjectId& id, uint32_t slot) {
  const Telling telling{.id = id, .until_ticket = last_ticket_ + 1, .slot = slot};
  if (TellSome(telling, limits_.most_steps_in_turn / 4)) return;
  ++infos_[slot].holds;  // until all were told
  tellings_.push_back(telling);
}

void Core::RefuseWaiters(const ObjectId& id, AnswerCode code) {
  Completion refusal{};
  refusal.op = CompletionOp::kAnswer;
  refusal.code = code;
  RefuseWaiters(id, refusal);
}

void Core::RefuseWaiters(const ObjectId& id, const Completion& refusal) {
  const Telling telling{.id = id, .until_ticket = last_ticket_ + 1, .refusal = refusal};
  if (!TellSome(telling, limits_.most_steps_in_turn / 4)) tellings_.push_back(telling);
}

// At most so many, and no more than what is left of the turn's share. True: there are no more.
bool Core::TellSome(const Telling& telling, size_t most) {
  for (auto next = waiters_.lower_bound({telling.id, 0});
       next != waiters_.end() && next->id == telling.id && next->ticket < telling.until_ticket;
       next = waiters_.lower_bound({telling.id, 0}), --most) {
    if (most == 0 || share_.tells_left == 0) return false;
    --share_.tells_left;
    const Waiter waiter = *next;
    waiters_.erase(next);
    sessions_[waiter.row]->requests.erase(waiter.request);
    if (!sessions_[waiter.row]->open) continue;
    if (telling.slot != kNoSlot) {
      AnswerObject(waiter.row, waiter.request, telling.slot);
    } else {
      Completion refusal = telling.refusal;
      refusal.request = waiter.request;
      Complete(waiter.row, refusal);
    }
  }
  return true;
}

// One turn's share of the answers to those who wait for one id in their thousands.
void Core::GoOnTelling() {
  for (size_t most = limits_.most_steps_in_turn; most > 0 && !tellings_.empty(); --most) {
    const Telling telling = tellings_.front();
    if (!TellSome(telling, ~size_t{0})) return;
    tellings_.pop_front();
    EndTelling(telling);
  }
}

void Core::EndTelling(const Telling& telling) {
  if (telling.slot == kNoSlot) return;
  SlotInfo& info = infos_[telling.slot];
  --info.holds;
  if (info.wanted) {
    ReturnToQueue(telling.slot);
    room_changed_ = true;
  }
  if (slots_.State(telling.slot) == SlotState::kDeleted && !IsInUse(telling.slot)) {
    Free(telling.slot);
  }
}

// Tells subscribers that an object was sealed (1), deleted (2) or evicted (3).
void Core::Announce(uint8_t kind, uint32_t slot) {
  if (subscriber_rows_.empty()) return;
  const Slot& object = slots_[slot];
  Completion event{};
  event.op = CompletionOp::kEvent;
  event.count = kind;
  event.object.id = object.id;
  event.object.size = object.size;
  const uint32_t wanted = kind == 1 ? kSubscribeSeals : kSubscribeDeletions;
  for (const SessionRow row : subscriber_rows_) {
    if ((sessions_[row]->subscriptions & wanted) != 0) Complete(row, event);
  }
}

void Core::Subscribe(SessionRow row, uint32_t wanted) {
  CoreSession& session = *sessions_[row];
  if (session.subscriptions == 0 && wanted != 0) subscriber_rows_.push_back(row);
  if (session.subscriptions != 0 && wanted == 0) std::erase(subscriber_rows_, row);
  session.subscriptions = wanted;
}

void Core::ForgetRequest(SessionRow row, uint32_t request) {
  CoreSession& session = *sessions_[row];
  const auto found = session.requests.find(request);
  if (found == session.requests.end()) return;
  const PendingRequest pending = found->second;
  session.requests.erase(found);
  if (pending.kind == PendingRequest::Kind::kDeferred) return;  // AnswerDeferred skips it
  if (pending.kind == PendingRequest::Kind::kRoom) {
    --session.room_waits;
    room_waiters_.erase(pending.ticket);
    return;
  }
  waiters_.erase({pending.id, pending.ticket});
  if (!HasWaiters(pending.id)) ForgetRestore(pending.id);
}

}  // namespace penstock
