// Core: turns, and who waits for what the rings hold.
#include <algorithm>

#include "store/base/crash_point.h"
#include "store/object/core.h"
#include "store/shm/parking.h"

namespace penstock {
namespace {

// For seals, in a turn: some 0.1 ms.
constexpr size_t kMostRecordsLookedThrough = 16384;
// Clients that are told, and perhaps woken by a system call each.
constexpr size_t kMostPublished = 64;

}  // namespace

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
  if (count < *available) rounds_.are_all_taken = false;
  for (uint32_t i = 0; i < count; ++i) {
    if (i + 4 < *available) {
      const uint32_t ahead = session.submissions.PeekAhead(4)->slot;
      if (ahead < index_.capacity()) {
        __builtin_prefetch(&infos_[ahead], 1);
        __builtin_prefetch(&leases_[ahead], 1);
      }
    }
    if (session.submissions.PeekAhead(0)->op == SubmissionOp::kCancel &&
        !MayTakeCancel(row, most == ~uint32_t{0})) {
      rounds_.are_all_taken = false;  // the rest of it in the next turn
      break;
    }
    const Submission record = session.submissions.Take();
    ++stats_.records;
    if (!Handle(row, record)) break;
    PENSTOCK_CRASH_POINT(kRecordHandled);
  }
  // Before another ring's record is taken, so that a replay after a crash is harmless.
  if (count > 0) session.submissions.PublishHead();
  if (count > 0) PENSTOCK_CRASH_POINT(kHeadPublished);
  return count > 0;
}

// The next record cancels: the requests that it names are forgotten before it is taken, a share in
// each turn. False: there are more. Where a ring is taken whole, they are forgotten later.
bool Core::MayTakeCancel(SessionRow row, bool is_whole) {
  const CoreSession& session = *sessions_[row];
  const Submission cancel = *session.submissions.PeekAhead(0);  // a copy: the bytes are shared
  if (cancel.flags_or_count == 0) return true;
  if (!is_whole) return ForgetSome(row, cancel);
  late_forgets_.push_back({row, session.number, cancel, 0, 0});
  return true;
}

// Of `count` requests from one number on, those that are unanswered. True: there are no more.
bool Core::ForgetSome(SessionRow row, const Submission& cancel) {
  CoreSession& session = *sessions_[row];
  const uint64_t end = uint64_t{cancel.request} + cancel.flags_or_count;
  for (auto next = session.requests.lower_bound(cancel.request);
       next != session.requests.end() && next->first < end;
       next = session.requests.lower_bound(cancel.request)) {
    if (share_.forgets_left == 0) return false;
    --share_.forgets_left;
    room_changed_ |= next->second.kind == PendingRequest::Kind::kRoom;
    ForgetRequest(row, next->first);
  }
  return true;
}

void Core::ForgetLate() {
  while (!late_forgets_.empty()) {
    const Deferred& late = late_forgets_.front();
    const CoreSession* const session = sessions_[late.row].get();
    const bool is_there = session != nullptr && session->open && session->number == late.session;
    if (is_there && !ForgetSome(late.row, late.record)) return;
    late_forgets_.pop_front();
  }
}

bool Core::Turn() {
  ++stats_.turns;
  BeginEvictionLooks();
  share_.mark_words_left = kPinWordsInATurn;
  share_.forgets_left = share_.tells_left = 4 * limits_.most_steps_in_turn;
  if (laps_.looked < laps_.ends) LookOutOfSight();
  bool worked = TakeRecords();
  if (!deferred_.empty()) {
    AnswerDeferred();
    worked = true;
  }
  // With many sessions, the next turns may bring more for the same look at all rows, unless
  // somebody waits for the room.
  if (columns_.size() < kManySessions || !worked || !room_waiters_.empty()) FreeMarked();
  if (room_changed_ || others_.go_on) ServeRoomWaiters();
  if (!late_forgets_.empty()) {
    ForgetLate();
    worked = true;
  }
  if (room_waiters_.empty() || open_rows_.empty()) rows_to_ask_ = 0;
  if (rows_to_ask_ > 0) AskForLeases();
  if (!tellings_.empty()) {
    GoOnTelling();
    worked = true;
  }
  if (!closings_.empty()) {
    GoOnClosing();
    worked = true;
  }
  if (!sweeps_.empty()) {
    GoOnSweeping();
    worked = true;
  }
  if (!late_cancels_.empty()) {
    HandleLateCancels();
    // The next in line may ask for less.
    if (room_changed_ && !HasMoreToEvict()) ServeRoomWaiters();
  }
  // For EnforcePinQuota, which comes now and then only.
  const bool counts_pins = limits_.pin_quota_bytes != 0 && stats_.turns % 8 == 0;
  if (counts_pins && somebody_waits_for_releases()) CountPins();
  if (spill_ != nullptr) SpillAhead();
  worked |= StepCompaction();
  if (room_waiters_.empty() && !IsCompacting()) allocator_.OpenStacks();
  sealed_evictable_ = false;
  PublishCompletions(kMostPublished);
  return worked;
}

// One round goes once through the rings in sight. A turn takes so many records and goes on behind
// them in the next one: a thousand clients that all have something do not make it long. True if any
// record was taken.
bool Core::TakeRecords() {
  const uint64_t until = stats_.records + limits_.most_records_in_turn;
  bool worked = false;
  if (rounds_.rings_left == 0) {
    ++rounds_.begun;
    rounds_.are_all_taken = true;
    rounds_.rings_left = watched_rows_.size();
  }
  // Backwards: the last one takes the place of one that is let go.
  while (rounds_.rings_left > 0 && stats_.records < until) {
    const size_t place = --rounds_.rings_left;
    const SessionRow row = watched_rows_[place];
    CoreSession& session = *sessions_[row];
    if (Drain(row, limits_.most_records_at_once)) {
      worked = true;
      session.worked_at = stats_.turns;
    }
    if (!session.backlog.empty()) FlushBacklog(row);
    PublishCompletions(kMostPublished);  // no answer waits for the rings of others
    if (MayBeLetGo(place)) LetGo(place);
  }
  if (rounds_.rings_left > 0) return true;
  rounds_.completed = rounds_.begun;
  if (rounds_.are_all_taken) rounds_.clean = rounds_.begun;
  return worked;
}

// Invariant 4: where little waits, one more pass over the rings in sight, up to the tails read
// from now on; what that pass defers waits for the next turn, or a client that asks without end
// would keep this one from ending. Where much waits, the asker does not pay for what others have in
// their rings: only a seal makes an object, so a question is answered if no seal of its id waits.
// Who asked for more waits until the turns have taken all that waited then.
void Core::AnswerDeferred() {
  const size_t share = 2 * limits_.most_steps_in_turn + deferred_.size() / 4;
  const size_t count = std::min(deferred_.size(), share);
  std::vector<Deferred> deferred(deferred_.begin(), deferred_.begin() + count);
  deferred_.erase(deferred_.begin(), deferred_.begin() + count);
  const bool is_little = CountWaiting() <= limits_.most_records_at_once;
  absl::flat_hash_set<ObjectId> sealed;
  if (!is_little) sealed = SealsWaitingOf(deferred);
  const auto must_wait = [&](Deferred& item) {
    if (laps_.looked < item.lap_ends) {
      item.round = rounds_.begun;
      return true;
    }
    if (is_little || HasPassed(item.round)) return false;
    // Of what is on disk: room for it may be among what waits.
    return item.record.op == SubmissionOp::kSync || sealed.contains(item.record.id) ||
           spilled_.contains(item.record.id);
  };
  const auto rest = std::stable_partition(deferred.begin(), deferred.end(), must_wait);
  deferred_.insert(deferred_.end(), deferred.begin(), rest);
  deferred.erase(deferred.begin(), rest);
  if (is_little) {
    for (size_t i = watched_rows_.size(); i-- > 0;) Drain(watched_rows_[i]);
  }
  Resolve(deferred);
}

// Whether all that waited in the rings in sight when round `round` took its records has been taken:
// in one round since, or in as many parts as the longest ring has.
bool Core::HasPassed(uint64_t round) const {
  const uint64_t parts =
      (kSubmissionEntries + limits_.most_records_at_once - 1) / limits_.most_records_at_once;
  return rounds_.clean > round || rounds_.completed >= round + parts;
}

uint64_t Core::CountWaiting() const {
  uint64_t waiting = 0;
  for (const SessionRow row : watched_rows_) waiting += CountWaiting(row);
  return waiting;
}

uint32_t Core::CountWaiting(SessionRow row) const {
  const CoreSession& session = *sessions_[row];
  return session.broken || !session.open ? 0 : session.submissions.Available().value_or(0);
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

// Of the ids that were asked for, those of which a seal waits, or may wait. Cost: a look at each
// record in the rings where it could, up to a bound.
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
  size_t looked_through = 0;
  for (const SessionRow row : sealers) {
    const SubmissionConsumer& submissions = sessions_[row]->submissions;
    const uint32_t waiting = CountWaiting(row);
    looked_through += waiting;
    if (looked_through > kMostRecordsLookedThrough) return asked_for;  // as if each had one
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
    if (session == nullptr || session->number != item.session || !session->open) continue;
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
  if (!marked_.empty() || !late_forgets_.empty()) return false;
  if (rounds_.rings_left > 0 || !closings_.empty() || !sweeps_.empty()) return false;
  if (!deferred_.empty() || !late_cancels_.empty() || !tellings_.empty()) return false;
  if (IsCompacting() || rows_to_ask_ > 0) return false;
  // Written between two turns, by what the disk or a session's end made true: nobody would be
  // told of them before the next turn.
  if (!unpublished_rows_.empty()) return false;
  if ((room_changed_ || others_.go_on) && !room_waiters_.empty()) return false;
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
