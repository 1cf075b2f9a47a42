// Core: construction and sessions.
#include "store/object/core.h"

#include <algorithm>

#include <fmt/format.h>

#include "absl/container/flat_hash_set.h"
#include "store/base/check.h"
#include "store/base/crash_point.h"

namespace penstock {

Core::Core(IndexSegment index, LeaseSegment leases, CoreLimits limits, CoreHost* host)
    : Core(index, leases, limits, host, SlotInfoTable(index.capacity())) {}

Core::Core(IndexSegment index, LeaseSegment leases, CoreLimits limits, CoreHost* host,
           SlotInfoTable infos)
    : index_(index), slots_(index), hash_(index), leases_(leases), limits_(limits),
      host_(host), infos_(std::move(infos)), graves_(leases.graves()) {
  PENSTOCK_CHECK(leases.header().capacity == index.capacity()) << leases.header().capacity;
  stats_.arena_bytes = index.header().arena_bytes;
  stats_.slots = index.capacity();
}

void Core::AddExtent(uint64_t offset, uint64_t bytes) {
  leases_.AddExtent(offset, bytes);
  allocator_.AddExtent(offset, bytes);
  room_changed_ = true;
}

void Core::FinishPopulation() {
  population_done_ = true;
  room_changed_ = true;
}

absl::StatusOr<SessionRow> Core::OpenSession(SessionSegments segments, uint64_t number,
                                             int32_t pid, SessionRole role) {
  if (open_rows_.size() >= limits_.max_sessions) {
    return absl::ResourceExhaustedError(
        fmt::format("the daemon has its limit of {} sessions open: close some, or start it "
                    "with a higher --max-sessions", limits_.max_sessions));
  }
  leases_.header().next_session = std::max(leases_.header().next_session, number + 1);
  return NewRow(segments, number, pid, role);
}

uint32_t Core::NewMaker(int32_t pid, bool live) {
  uint32_t maker;
  if (free_makers_.empty()) {
    maker = static_cast<uint32_t>(makers_.size());
    makers_.emplace_back();
  } else {
    maker = free_makers_.back();
    free_makers_.pop_back();
  }
  makers_[maker] = Maker{.pid = pid, .live = live};
  return maker;
}

SessionRow Core::NewRow(const SessionSegments& segments, uint64_t number, int32_t pid,
                        SessionRole role) {
  SessionRow row;
  if (free_rows_.empty()) {
    row = static_cast<SessionRow>(sessions_.size());
    sessions_.push_back(nullptr);
  } else {
    row = free_rows_.back();
    free_rows_.pop_back();
  }

  auto session = std::make_unique<CoreSession>();
  session->number = number;
  session->pid = pid;
  session->role = role;
  session->segments = segments;
  session->submissions = segments.MakeSubmissionConsumer();
  session->completions = segments.MakeCompletionProducer();
  session->pins = PinRowReader(segments.bitmap, segments.pins);
  session->open = true;
  session->maker = NewMaker(pid, true);
  columns_.Open(row, session->pins);
  sessions_[row] = std::move(session);
  open_rows_.push_back(row);
  Hear(row);
  rows_by_number_[number] = row;
  return row;
}

void Core::CloseSession(SessionRow row) {
  CoreSession& session = *sessions_[row];
  // What was sealed before the death counts. Once: its tail has stopped moving. A broken
  // ring is not read.
  Drain(row);
  PENSTOCK_CRASH_POINT(kCloseDrained);
  // Requests of a session that is gone are nobody's.
  std::erase_if(deferred_, [row](const Deferred& d) { return d.row == row; });
  std::vector<uint32_t> unanswered;
  for (const auto& [request, pending] : session.requests) unanswered.push_back(request);
  for (const uint32_t request : unanswered) ForgetRequest(row, request);

  std::erase(open_rows_, row);
  StopWatching(row);
  columns_.Close(row);
  std::erase(unpublished_rows_, row);
  if (session.subscriptions != 0) --subscribers_;
  session.open = false;

  // Leases return; who waits for an id that this session had reserved is told.
  while (!session.leases.empty()) {
    const uint32_t slot = session.leases.front();
    std::optional<ObjectId> reserved;
    if (infos_[slot].reserved) reserved = reserved_ids_.at(slot);
    ReturnLease(row, slot);
    if (reserved) RefuseWaiters(*reserved, AnswerCode::kMakerDied);
  }
  PENSTOCK_CRASH_POINT(kCloseReturned);
  std::vector<ObjectId> orphaned;
  const ObjectId first_of_its_own{index_.header().incarnation, session.number, 0};
  for (auto it = waiters_.lower_bound(first_of_its_own); it != waiters_.end(); ++it) {
    const ObjectId& id = it->first;
    if (id.session != session.number || id.home != first_of_its_own.home) break;
    // One on its way back from disk was sealed.
    if (!spilled_.contains(id)) orphaned.push_back(id);
  }
  for (const ObjectId& id : orphaned) RefuseWaiters(id, AnswerCode::kMakerDied);
  while (!session.bound_objects.empty()) {
    Delete(session.bound_objects.front(), AnswerCode::kDeleted);
  }
  const uint64_t number = session.number;
  if (objects_go_with_.erase(number) > 0 &&
      (makers_[session.maker].objects > 0 || !spilled_.empty())) {
    DeleteObjectsOf({number});
  }
  rows_by_number_.erase(number);  // not before: Unlist finds the list by it
  DropAllHolds(session);
  makers_[session.maker].live = false;
  ForgetMaker(session.maker);
  ForgetPinsOf(session);
  sessions_[row].reset();
  free_rows_.push_back(row);
  room_changed_ = true;
}

void Core::DropAllHolds(CoreSession& session) {
  for (const auto& [slot, count] : session.holds) {
    infos_[slot].holds -= std::min(infos_[slot].holds, count);
  }
}

bool Core::IsSessionOf(uint64_t number, int32_t pid) const {
  const auto found = rows_by_number_.find(number);
  return found != rows_by_number_.end() && sessions_[found->second]->pid == pid;
}

void Core::DropObjectsOf(std::span<const uint64_t> numbers) {
  absl::flat_hash_set<uint64_t> ended;
  for (const uint64_t number : numbers) {
    (rows_by_number_.contains(number) ? objects_go_with_ : ended).insert(number);
  }
  if (ended.empty()) return;
  DeleteObjectsOf(ended);
  room_changed_ = true;
}

void Core::DeleteObjectsOf(const absl::flat_hash_set<uint64_t>& sessions) {
  for (uint32_t slot = 0; slot < index_.capacity(); ++slot) {
    if (slots_.State(slot) == SlotState::kSealed && sessions.contains(leases_[slot].session)) {
      Delete(slot, AnswerCode::kDeleted);
    }
  }
  std::vector<ObjectId> on_disk;
  for (const auto& [id, copy] : spilled_) {
    if (sessions.contains(spill_->SpillFacts(copy).maker_session)) on_disk.push_back(id);
  }
  for (const ObjectId& id : on_disk) DeleteSpilled(id);
  FreeMarked();
}

void Core::Break(SessionRow row, std::string why) {
  CoreSession& session = *sessions_[row];
  if (session.broken) return;
  session.broken = true;
  session.broken_why = std::move(why);
  // Seq_cst: a get of this session that has not pinned yet will see it after its pin.
  session.segments.daemon->revoked.exchange(1, std::memory_order_seq_cst);
  ++stats_.broken_sessions;
  host_->SessionBroken(row, session.broken_why);
}

}  // namespace penstock
