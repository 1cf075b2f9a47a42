// Core: turns, and who waits for what the rings hold.
#include <algorithm>

#include "store/base/crash_point.h"
#include "store/object/core.h"
#include "store/shm/parking.h"

namespace penstock {

// True if any record was taken, of `most` at most.
bool Core::Drain(SessionRow row, uint32_t most) {
  CoreSession& session = *sessions_[row];
  if (session.broken) return false;
  const std::optional<uint32_t> available = session.submissions.Available();
  if (!available) {
    Break(row, "its submission tail is impossible: it moved back, or past the ring's end");
    return false;
  }
  const uint32_t count = std::min(*available, most);
  if (count < *available) are_all_taken_ = false;
  for (uint32_t i = 0; i < count; ++i) {
    if (i + 4 < *available) {
      const uint32_t ahead = session.submissions.PeekAhead(4)->slot;
      if (ahead < index_.capacity()) {
        __builtin_prefetch(&infos_[ahead], 1);
        __builtin_prefetch(&leases_[ahead], 1);
      }
    }
    const Submission record = session.submissions.Take();
    ++stats_.records;
    if (!Handle(row, record)) break;
    PENSTOCK_CRASH_POINT(kRecordHandled);
  }
  if (!marked_.empty()) FreeMarked();
  // Before another ring's record is taken, so that a replay after a crash is harmless.
  if (count > 0) session.submissions.PublishHead();
  if (count > 0) PENSTOCK_CRASH_POINT(kHeadPublished);
  return count > 0;
}

bool Core::Turn() {
  ++stats_.turns;
  bool worked = false;
  are_all_taken_ = true;
  BeginEvictionLooks();
  if (looked_out_of_sight_ < lap_ends_) LookOutOfSight();
  // By index and backwards: the last one takes the place of one that is let go.
  for (size_t i = watched_rows_.size(); i-- > 0;) {
    const SessionRow row = watched_rows_[i];
    CoreSession& session = *sessions_[row];
    if (Drain(row, limits_.most_records_at_once)) {
      worked = true;
      session.worked_at = stats_.turns;
    }
    if (!session.backlog.empty()) FlushBacklog(row);
    PublishCompletions();  // no answer waits for the rings of others
    if (MayBeLetGo(i)) LetGo(i);
  }
  if (!deferred_.empty()) {
    AnswerDeferred();
    worked = true;
  }
  if (room_changed_ || forgotten_room_waiters_ > 0) ServeRoomWaiters();
  if (!late_cancels_.empty()) {
    HandleLateCancels();
    // The next in line may ask for less.
    if (room_changed_ && !HasMoreToEvict()) ServeRoomWaiters();
  }
  if (spill_ != nullptr) SpillAhead();
  worked |= StepCompaction();
  sealed_evictable_ = false;
  PublishCompletions();
  return worked;
}

// Invariant 4: where little waits, one more pass over the rings in sight, up to the tails read
// from now on; what that pass defers waits for the next turn, or a client that asks without end
// would keep this one from ending. Where much waits, the asker does not pay for what others have in
// their rings: only a seal makes an object, so a question is answered if no seal of its id waits.
// Who asked for more waits until the turns have taken all that waited then.
void Core::AnswerDeferred() {
  std::vector<Deferred> deferred;
  deferred.swap(deferred_);
  const bool is_little = CountWaiting() <= limits_.most_records_at_once;
  absl::flat_hash_set<ObjectId> sealed;
  if (!is_little) sealed = SealsWaitingOf(deferred);
  const auto must_wait = [&](Deferred& item) {
    if (looked_out_of_sight_ < item.lap_ends) {
      item.turn = stats_.turns;
      return true;
    }
    if (is_little || HasPassed(item.turn)) return false;
    // Of what is on disk: room for it may be among what waits.
    return item.record.op == SubmissionOp::kSync || sealed.contains(item.record.id) ||
           spilled_.contains(item.record.id);
  };
  const auto rest = std::stable_partition(deferred.begin(), deferred.end(), must_wait);
  deferred_.assign(deferred.begin(), rest);
  deferred.erase(deferred.begin(), rest);
  if (is_little) {
    for (size_t i = watched_rows_.size(); i-- > 0;) Drain(watched_rows_[i]);
    are_all_taken_ = true;
  }
  Resolve(deferred);
}

// Whether all that waited in the rings when turn `turn` took its records has been taken: in one
// pass since, or in as many parts as the longest ring has.
bool Core::HasPassed(uint64_t turn) const {
  const uint64_t parts =
      (kSubmissionEntries + limits_.most_records_at_once - 1) / limits_.most_records_at_once;
  return (are_all_taken_ && turn < stats_.turns) || stats_.turns - turn >= parts;
}

uint64_t Core::CountWaiting() const {
  uint64_t waiting = 0;
  for (const SessionRow row : watched_rows_) waiting += CountWaiting(row);
  return waiting;
}

uint32_t Core::CountWaiting(SessionRow row) const {
  const CoreSession& session = *sessions_[row];
  return session.broken ? 0 : session.submissions.Available().value_or(0);
}

// Whose seal could make an object of this id: HandleSeal breaks everybody else's session.
absl::InlinedVector<SessionRow, 2> Core::SealersOf(const ObjectId& id) const {
  absl::InlinedVector<SessionRow, 2> sealers;
  const auto add = [&](uint64_t session) {
    const auto row = rows_by_number_.find(session);
    if (row != rows_by_number_.end()) sealers.push_back(row->second);
  };
  if (const auto slot = reserved_.find(id); slot != reserved_.end()) {
    add(leases_[slot->second].session);
  }
  if (id.home == index_.header().incarnation) add(id.session);
  return sealers;
}

// If so, a no could be a lie to a client that was told of the object. Where it could be sealed is
// in sight from now on.
bool Core::ASealMayWait(const ObjectId& id) {
  bool may_wait = false;
  for (const SessionRow row : SealersOf(id)) {
    if (CountWaiting(row) == 0) continue;
    may_wait = true;
    Hear(row);
  }
  return may_wait;
}

// Of the ids that were asked for, those of which a seal waits. Cost: a look at each record in
// the rings where it could.
absl::flat_hash_set<ObjectId> Core::SealsWaitingOf(const std::vector<Deferred>& deferred) const {
  absl::flat_hash_set<ObjectId> asked_for, sealed;
  absl::flat_hash_set<SessionRow> sealers;
  for (const Deferred& item : deferred) {
    if (item.record.op == SubmissionOp::kSync || !asked_for.insert(item.record.id).second) {
      continue;
    }
    const auto rows = SealersOf(item.record.id);
    sealers.insert(rows.begin(), rows.end());
  }
  for (const SessionRow row : sealers) {
    const SubmissionConsumer& submissions = sessions_[row]->submissions;
    const uint32_t waiting = CountWaiting(row);
    for (uint32_t i = 0; i < waiting; ++i) {
      if (submissions.PeekAhead(i)->op != SubmissionOp::kSeal) continue;
      const ObjectId id = submissions.PeekAhead(i)->id;  // a copy: the bytes are shared
      if (asked_for.contains(id)) sealed.insert(id);
    }
  }
  return sealed;
}

void Core::Resolve(const std::vector<Deferred>& deferred) {
  for (const Deferred& item : deferred) {
    CoreSession* const session = sessions_[item.row].get();
    if (session == nullptr || session->number != item.session) continue;
    if (item.record.op != SubmissionOp::kSync) {
      // Cancelled meanwhile: nobody asks any more.
      const auto request = session->requests.find(item.record.request);
      if (request == session->requests.end() ||
          request->second.kind != PendingRequest::Kind::kDeferred) {
        continue;
      }
      session->requests.erase(request);
    }
    Resolve(item.row, item.record);
  }
  FreeMarked();
}

bool Core::PreparePark() {
  if (!deferred_.empty() || !late_cancels_.empty() || IsCompacting()) return false;
  // Written between two turns, by what the disk or a session's end made true: nobody would be
  // told of them before the next turn.
  if (!unpublished_rows_.empty()) return false;
  if (room_changed_ && !room_waiters_.empty()) return false;
  parker_.Park(index_.header().parked);
  for (const SessionRow row : watched_rows_) {
    if (HasWork(*sessions_[row])) {
      Unpark();
      return false;
    }
  }
  return true;
}

}  // namespace penstock
