// Core: leaving the store to another core in order, and going on after one that did.
//
// What a death leaves has to be found out slot by slot (core_recover.cc). A core that retires
// says what it knows: which bytes and slots are free, who made what, what waits to be freed.
// Of what clients had asked and not been told, nothing is handed over: they ask again, as
// after a death.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "store/base/check.h"
#include "store/object/core.h"
#include "store/object/core_state.h"

namespace penstock {
namespace {

struct NumberedMaker {
  uint64_t session;
  uint32_t maker;
  uint32_t reserved;
};
struct OverflowEntry {
  ObjectId id;
  uint32_t slot;
  uint32_t reserved;
};

}  // namespace

// Everything that stands for a client's request, or for a job of the disk, goes.
void Core::ForgetWork() {
  while (!closings_.empty()) GoOnClosing();
  while (!sweeps_.empty()) GoOnSweeping();
  FreeAllMarked();
  while (!left_clean_.empty()) ReturnToQueue(left_clean_.begin()->first);
  PublishCompletions();
  for (const SessionRow row : open_rows_) {
    CoreSession& session = *sessions_[row];
    DropAllHolds(session);
    session.holds.clear();
    // Leases whose grants found no room in the ring: their client never heard of them.
    for (const Completion& completion : session.backlog) {
      if (completion.op != CompletionOp::kGrant) continue;
      for (uint32_t i = 0; i < completion.count; ++i) {
        ReturnLease(row, completion.grant.leases[i].slot());
      }
    }
    session.backlog.clear();
  }
  for (const auto& [ticket, job] : spill_jobs_) {
    if (slots_.State(job.slot) != SlotState::kLeased) {
      --infos_[job.slot].holds;
      continue;
    }
    stats_.leased_bytes -= leases_[job.slot].block_bytes;
    --stats_.leases;
    FreeBlock(job.slot);
  }
  spill_jobs_.clear();
  // The next core learns from the disk what is there.
  for (const std::deque<CleanCopy>& queue : clean_) {
    for (const CleanCopy& item : queue) {
      if (slots_.Generation(item.slot) == item.generation) infos_[item.slot].copy_plus_one = 0;
    }
  }
  room_waiters_.clear();
  for (const Telling& telling : tellings_) EndTelling(telling);
  tellings_.clear();
  AbandonStaleCompaction();
}

std::string Core::Retire() {
  ForgetWork();
  StateWriter state;
  CoreStateHeader header;
  header.incarnation = index_.header().incarnation;
  header.restarts = index_.header().restarts.load(std::memory_order_relaxed);
  header.capacity = index_.capacity();
  header.fresh_slot = fresh_slot_;
  header.epoch = Epoch();
  header.stats = stats_;
  state.Add(header);
  state.AddAll(free_slots_);
  state.AddAll(allocator_.FreeExtents());
  state.AddAll(std::vector<uint32_t>(doomed_.begin(), doomed_.end()));
  std::vector<OverflowEntry> overflow;
  for (const auto& [id, slot] : overflow_) overflow.push_back({id, slot, 0});
  state.AddAll(overflow);
  state.AddAll(makers_.ToVector());
  state.AddAll(free_makers_.ToVector());
  std::vector<NumberedMaker> departed;
  for (const auto& [number, maker] : departed_makers_) departed.push_back({number, maker, 0});
  state.AddAll(departed);
  state.AddAll(std::vector<uint64_t>(objects_go_with_.begin(), objects_go_with_.end()));
  while (!left_queue_.empty()) ReturnToQueue(left_queue_.begin()->first);
  state.AddAll(evictable_.entries());
  std::vector<SessionState> sessions;
  for (const SessionRow row : open_rows_) {
    const CoreSession& session = *sessions_[row];
    sessions.push_back({session.number, session.leased_bytes, session.maker,
                        session.leases.front(), session.bound_objects.front(), 0});
  }
  state.AddAll(sessions);
  const uint64_t total_bytes = state.bytes().size();
  std::memcpy(state.bytes().data() + offsetof(CoreStateHeader, total_bytes), &total_bytes,
              sizeof(total_bytes));
  return std::move(state.bytes());
}

bool Core::CanResume(std::string_view state, const IndexSegment& index) {
  const std::optional<CoreStateHeader> header = StateReader(state).Take<CoreStateHeader>();
  const IndexHeader& now = index.header();
  return header && header->magic == kCoreStateMagic && header->version == kCoreStateVersion &&
         header->slot_info_bytes == sizeof(SlotInfo) && header->total_bytes == state.size() &&
         header->incarnation == now.incarnation && header->capacity == index.capacity() &&
         header->restarts == now.restarts.load(std::memory_order_relaxed);
}

RecoveryReport Core::Resume(std::string_view state, std::span<const KeptSession> kept,
                            std::vector<SessionRow>& rows, std::span<const uint32_t> copies) {
  StateReader reader(state);
  const CoreStateHeader header = *reader.Take<CoreStateHeader>();
  std::vector<Allocator::Extent> free_extents;
  std::vector<uint32_t> doomed;
  std::vector<OverflowEntry> overflow;
  std::vector<NumberedMaker> departed;
  std::vector<uint64_t> objects_go_with;
  std::vector<Maker> makers;
  std::vector<uint32_t> free_makers;
  std::vector<EvictionEntry> evictable;
  std::vector<SessionState> sessions;
  const bool is_whole = reader.TakeAll(free_slots_) && reader.TakeAll(free_extents) &&
                        reader.TakeAll(doomed) && reader.TakeAll(overflow) &&
                        reader.TakeAll(makers) && reader.TakeAll(free_makers) &&
                        reader.TakeAll(departed) && reader.TakeAll(objects_go_with) &&
                        reader.TakeAll(evictable) && reader.TakeAll(sessions) && reader.empty();
  PENSTOCK_CHECK(is_whole) << "the state of the last daemon's core is cut off";
  makers_.Assign(makers);
  free_makers_.Assign(free_makers);
  stats_ = header.stats;
  epoch_ = header.epoch;
  fresh_slot_ = header.fresh_slot;
  doomed_.insert(doomed.begin(), doomed.end());
  for (const OverflowEntry& entry : overflow) overflow_[entry.id] = entry.slot;
  for (const NumberedMaker& entry : departed) departed_makers_[entry.session] = entry.maker;
  objects_go_with_.insert(objects_go_with.begin(), objects_go_with.end());
  evictable_.Restore(evictable);
  RestoreAllocator(free_extents);

  const uint32_t restarts = BeginAfterAnother();
  absl::flat_hash_map<uint64_t, const SessionState*> by_number;
  for (const SessionState& session : sessions) by_number[session.number] = &session;
  for (const KeptSession& session : kept) {
    rows.push_back(KeepSession(session));
    const auto found = by_number.find(session.number);
    PENSTOCK_CHECK(found != by_number.end())
        << "session " << session.number << " of restart " << restarts << " has no state";
    RestoreSession(rows.back(), *found->second);
  }
  RecoveryReport report;
  report.objects = stats_.objects;
  report.leases = stats_.leases;
  AdoptCopies(copies);
  for (const SessionRow row : rows) Drain(row);
  RetryDoomed();
  room_changed_ = true;
  return report;
}

void Core::RestoreAllocator(std::span<const Allocator::Extent> free_extents) {
  size_t next = 0;
  for (const ExtentEntry& extent : MergedExtents()) {
    // What lies between free extents is in use, as one block is as good as many.
    std::vector<Allocator::Block> used;
    const uint64_t end = extent.offset + extent.bytes;
    uint64_t at = extent.offset;
    for (; next < free_extents.size() && free_extents[next].offset < end; ++next) {
      if (free_extents[next].offset > at) used.push_back({at, free_extents[next].offset - at});
      at = free_extents[next].offset + free_extents[next].bytes;
    }
    if (at < end) used.push_back({at, end - at});
    allocator_.AddUsedExtent(extent.offset, extent.bytes, used);
  }
}

void Core::RestoreSession(SessionRow row, const SessionState& state) {
  CoreSession& session = *sessions_[row];
  // KeepSession has made another one.
  makers_[session.maker] = {};
  free_makers_.push_back(session.maker);
  session.maker = state.maker;
  makers_[session.maker].row = row;
  session.leased_bytes = state.leased_bytes;
  session.leases = SlotList(state.leases);
  session.bound_objects = SlotList(state.bound_objects);
  for (uint32_t slot = state.leases; slot != kNoSlot; slot = infos_[slot].next) {
    if (!infos_[slot].reserved) continue;
    reserved_[leases_[slot].reserved_id] = slot;
  }
}

}  // namespace penstock
