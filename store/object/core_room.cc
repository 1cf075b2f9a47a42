// Core: leases of blocks and slots, making room, and who waits for it.
#include <algorithm>

#include <fmt/format.h>

#include "store/base/check.h"
#include "store/base/crash_point.h"
#include "store/object/core.h"

namespace penstock {
bool Core::MayEverFit(uint64_t block_bytes) const {
  return block_bytes <= (population_done_ ? StoreBytes() : index_.header().arena_bytes);
}

bool Core::HandleLease(SessionRow row, const Submission& record) {
  CoreSession& session = *sessions_[row];
  const uint64_t block_bytes = record.size;
  const uint32_t count = record.flags_or_count;
  if (block_bytes == 0 || block_bytes > kMaxArenaBytes ||
      BlockBytes(block_bytes) != block_bytes || count == 0 ||
      count > limits_.max_leases_per_request) {
    Break(row, fmt::format("it asked for {} leases of {} bytes: no block size, or more than "
                           "{} at once", count, block_bytes, limits_.max_leases_per_request));
    return false;
  }
  const uint32_t ahead = std::min(count, LeasesAhead(row, block_bytes));
  if (record.request == 0) {
    if (ahead > 0) GrantMany(row, 0, block_bytes, ahead);
    return true;
  }
  if (session.requests.contains(record.request)) {
    if (session.kept) return true;  // asked again after the last daemon's death
    Break(row, fmt::format("request number {} is in use already", record.request));
    return false;
  }
  if (!MayEverFit(block_bytes)) {
    Answer(row, record.request, AnswerCode::kTooLarge, StoreBytes());
    return true;
  }
  FreeMarkedIfItMatters();
  if (!IsWithinQuota(row, block_bytes)) {
    RefuseQuota(row, record.request);
    return true;
  }
  if (GrantMany(row, record.request, block_bytes, std::max(ahead, 1u)) > 0) return true;
  WaitForRoom(row, record);
  return true;
}

// What was deleted just before counts against a quota, and those who wait are first in line for it.
void Core::FreeMarkedIfItMatters() {
  if (!marked_.empty() && (limits_.client_quota_bytes != 0 || !room_waiters_.empty())) FreeMarked();
}

// Of a lease or a reservation that cannot be granted yet.
void Core::WaitForRoom(SessionRow row, const Submission& record) {
  CoreSession& session = *sessions_[row];
  if (session.requests.size() >= limits_.max_requests_per_session ||
      session.room_waits >= limits_.max_room_waits_per_session) {
    Answer(row, record.request, AnswerCode::kTooManyRequests);
    return;
  }
  const bool reserve = record.op == SubmissionOp::kReserve;
  const ObjectId id = reserve ? record.id : ObjectId{};
  const uint64_t ticket = next_room_ticket_++;
  session.requests[record.request] = {
      .kind = PendingRequest::Kind::kRoom, .id = id, .ticket = ticket};
  ++session.room_waits;
  Enqueue({row, session.number, record.request, record.size, reserve, id, ticket});
}

// Last, but for those who are out of reach: they have lost their places.
void Core::Enqueue(const RoomWaiter& waiter) {
  auto place = room_waiters_.end();
  if (host_is_short_ && !IsOutOfReach(waiter.block_bytes)) {
    const uint64_t reach = allocator_.LongestRange();
    place = std::find_if(room_waiters_.begin(), room_waiters_.end(),
                         [&](const RoomWaiter& other) { return other.block_bytes > reach; });
  }
  room_waiters_.insert(place, waiter);
  room_changed_ = true;
  fruitless_looks_ = 0;
}

// How many blocks this session may hold beyond its need: from plenty only, never at others'
// cost, and the less the more sessions share the store.
uint32_t Core::LeasesAhead(SessionRow row, uint64_t block_bytes) const {
  if (!room_waiters_.empty()) return 0;
  const uint64_t total = allocator_.total_bytes();
  const uint64_t free = allocator_.free_bytes();
  const uint64_t held = sessions_[row]->leased_bytes;
  if (free < total / 8 || FreeSlots() < index_.capacity() / 8) return 0;
  const uint64_t quota = limits_.client_quota_bytes;
  if (quota != 0 && HeldBytes(row) + block_bytes > quota / 4 * 3) return 0;
  const uint64_t share =
      std::min(total / 16 / open_rows_.size(), quota == 0 ? total : quota / 16);
  const uint64_t slot_share = FreeSlots() / 8 / open_rows_.size();
  if (held < share && (share - held) / block_bytes > 0) {
    return static_cast<uint32_t>(
        std::min<uint64_t>({(share - held) / block_bytes, slot_share, ~uint32_t{0}}));
  }
  // A block larger than a share: one ahead, where it takes a small part of what is free.
  const bool one_fits = block_bytes <= free / 4 / open_rows_.size() && held <= 2 * block_bytes;
  return one_fits && block_bytes > share ? 1 : 0;
}

bool Core::HandleReserve(SessionRow row, const Submission& record) {
  CoreSession& session = *sessions_[row];
  const uint64_t block_bytes = record.size;
  const bool asks_again = session.requests.contains(record.request);
  if (asks_again && session.kept) return true;
  if (block_bytes == 0 || block_bytes > kMaxArenaBytes ||
      BlockBytes(block_bytes) != block_bytes || record.request == 0 || asks_again) {
    Break(row, fmt::format("it reserved an id with {} bytes and request number {}",
                           block_bytes, record.request));
    return false;
  }
  if (Exists(record.id) || reserved_.contains(record.id)) {
    Answer(row, record.request, AnswerCode::kAlreadyExists);
    return true;
  }
  if (!MayEverFit(block_bytes)) {
    Answer(row, record.request, AnswerCode::kTooLarge, StoreBytes());
    return true;
  }
  FreeMarkedIfItMatters();
  if (!IsWithinQuota(row, block_bytes)) {
    RefuseQuota(row, record.request);
    return true;
  }
  if (const auto slot = TakeLeaseInTurn(row, block_bytes)) {
    GrantReserved(row, record.request, record.id, *slot);
    return true;
  }
  WaitForRoom(row, record);
  return true;
}

// A block and a slot, recorded before anybody hears of them; `session` last.
std::optional<uint32_t> Core::TakeBlock(uint64_t block_bytes, uint64_t session, int32_t pid) {
  std::optional<uint64_t> offset;
  if (FreeSlots() > 0) offset = allocator_.Allocate(block_bytes);
  if (!offset && !marked_.empty()) {
    FreeMarked();  // deleted by a record just before this one
    if (FreeSlots() > 0) offset = allocator_.Allocate(block_bytes);
  }
  if (!offset) return std::nullopt;
  uint32_t slot;
  if (free_slots_.empty()) {
    slot = fresh_slot_++;
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  LeaseEntry& lease = leases_[slot];
  lease.offset = *offset;
  lease.block_bytes = block_bytes;
  lease.kind = LeaseKind::kLease;
  lease.maker_pid = pid;
  lease.told_at = kNotTold;
  lease.reserved_id = ObjectId{};
  lease.session = session;
  PENSTOCK_CRASH_POINT(kLeaseRecorded);
  slots_.Lease(slot);
  infos_[slot] = SlotInfo{};
  compaction_.regions.Note(slot, *offset);
  PENSTOCK_CRASH_POINT(kLeaseTaken);
  return slot;
}

// Nobody ever saw these bytes, so no pin needs to be looked for.
void Core::FreeBlock(uint32_t slot) {
  LeaseEntry& lease = leases_[slot];
  lease.session = 0;
  lease.kind = LeaseKind::kNone;
  PENSTOCK_CRASH_POINT(kBlockCleared);
  allocator_.Free(lease.offset, lease.block_bytes);
  slots_.Free(slot);
  free_slots_.push_back(slot);
  room_changed_ = true;
}

std::optional<uint32_t> Core::TakeLease(SessionRow row, uint64_t block_bytes) {
  CoreSession& session = *sessions_[row];
  const std::optional<uint32_t> taken = TakeBlock(block_bytes, session.number, session.pid);
  if (!taken) return std::nullopt;
  const uint32_t slot = *taken;
  session.asked_for_leases = false;
  session.leases.PushFront(infos_, slot);
  session.leased_bytes += block_bytes;
  stats_.leased_bytes += block_bytes;
  ++stats_.leases;
  return slot;
}

std::optional<uint32_t> Core::TakeLeaseEvicting(SessionRow row, uint64_t block_bytes) {
  for (;;) {
    if (const auto slot = TakeLease(row, block_bytes)) return slot;
    if (WaitsForHost() || IsOutOfReach(block_bytes)) return std::nullopt;
    // What is free suffices and lies apart: objects move (core_compact.cc) before more is
    // dropped. For a small block dropping another one is cheaper.
    if (!IsSmallBlock(block_bytes) && MayCompact(block_bytes)) return std::nullopt;
    if (!EvictFor(block_bytes)) return std::nullopt;
    compaction_.failed_bytes = 0;
  }
}

// First come, first served: nobody takes bytes that the first in line waits for. But when
// enough are free for both, and only lie apart, holding others up would not help it, and a
// single large creator would stop all small ones until its deadline. Nor is anybody held up by
// one who is out of reach.
bool Core::MayOvertake(uint64_t block_bytes) const {
  if (room_waiters_.empty()) return true;
  if (IsOutOfReach(room_waiters_.front().block_bytes)) return true;
  uint64_t needed_bytes = room_waiters_.front().block_bytes;
  if (compaction_.phase == Compaction::Phase::kEmptying) {
    // The window is reserved; what is still in it needs a place elsewhere.
    needed_bytes = compaction_.end - compaction_.begin - allocator_.reserved_bytes();
  }
  return allocator_.free_bytes() >= needed_bytes + block_bytes;
}

std::optional<uint32_t> Core::TakeLeaseInTurn(SessionRow row, uint64_t block_bytes) {
  if (room_waiters_.empty()) return TakeLeaseEvicting(row, block_bytes);
  return MayOvertake(block_bytes) ? TakeLease(row, block_bytes) : std::nullopt;
}

// Grants up to `count` leases, evicting only for the first. How many were granted.
uint32_t Core::GrantMany(SessionRow row, uint32_t request, uint64_t block_bytes,
                         uint32_t count) {
  Completion grant{};
  grant.op = CompletionOp::kGrant;
  grant.request = request;
  grant.grant.block_bytes = block_bytes;
  uint32_t granted = 0;
  while (granted < count) {
    const bool is_asked_for = granted == 0 && request != 0;
    const std::optional<uint32_t> slot =
        is_asked_for ? TakeLeaseInTurn(row, block_bytes) : TakeLease(row, block_bytes);
    if (!slot) break;
    grant.grant.leases[grant.count++] =
        GrantedLease::Make(*slot, slots_.Generation(*slot), leases_[*slot].offset);
    ++granted;
    if (grant.count == kLeasesPerGrant) {
      Complete(row, grant);
      grant.count = 0;
      grant.request = 0;  // the first record ends the request
    }
  }
  if (grant.count > 0) Complete(row, grant);
  return granted;
}

void Core::GrantReserved(SessionRow row, uint32_t request, const ObjectId& id,
                         uint32_t slot) {
  infos_[slot].reserved = true;
  leases_[slot].reserved_id = id;
  reserved_[id] = slot;
  reserved_ids_[slot] = id;
  Completion grant{};
  grant.op = CompletionOp::kGrant;
  grant.request = request;
  grant.count = 1;
  grant.for_reserved_id = 1;
  grant.grant.block_bytes = leases_[slot].block_bytes;
  grant.grant.leases[0] =
      GrantedLease::Make(slot, slots_.Generation(slot), leases_[slot].offset);
  Complete(row, grant);
}

// A lease that its holder did not seal.
void Core::ReturnLease(SessionRow row, uint32_t slot) {
  LeaveLeases(*sessions_[row], slot);
  FreeBlock(slot);
}

// Answers one who waits, if there is room for it by now. False: it goes on waiting.
bool Core::ServeRoomWaiter(const RoomWaiter& waiter, Evicting evicting) {
  if (waiter.row == kStoreRow) {
    if (!ServeRestore(waiter, evicting)) {
      if (evicting == Evicting::kNo || !spill_stopped_) return false;
      if (MayCompact(waiter.block_bytes) || IsCompacting() || HasMoreToEvict()) return false;
      if (WaitsForHost()) return false;
      // Nor before all has been taken that waits in the rings by now: room may be among it.
      if (stats_.turns > refusing_at_ + 1) {
        refusing_since_ = stats_.turns;
        refusing_lap_ends_ = LapFromHere();
      }
      refusing_at_ = stats_.turns;
      if (looked_out_of_sight_ < refusing_lap_ends_) refusing_since_ = stats_.turns;
      if (looked_out_of_sight_ < refusing_lap_ends_ ||
          (!are_all_taken_ && !HasPassed(refusing_since_))) {
        room_changed_ = true;
        return false;
      }
      // The disk takes nothing, so no room comes of itself: better told than left to wait.
      const ObjectId id = waiter.id;
      ForgetRestore(id);
      RefuseWaiters(id, RoomRefusal(AnswerCode::kNoRoomToRestore));
      return true;
    }
    ForgetRoomWaiter();
    return true;
  }
  const auto refuse = [&](AnswerCode code, uint64_t detail) {
    ForgetRequest(waiter.row, waiter.request);
    Answer(waiter.row, waiter.request, code, detail);
    return true;
  };
  if (!MayEverFit(waiter.block_bytes)) {
    return refuse(AnswerCode::kTooLarge, StoreBytes());
  }
  if (waiter.reserve && (Exists(waiter.id) || reserved_.contains(waiter.id))) {
    return refuse(AnswerCode::kAlreadyExists, 0);
  }
  const std::optional<uint32_t> slot = evicting == Evicting::kAllowed
                                           ? TakeLeaseEvicting(waiter.row, waiter.block_bytes)
                                           : TakeLease(waiter.row, waiter.block_bytes);
  if (!slot) return false;
  ForgetRequest(waiter.row, waiter.request);
  if (waiter.reserve) {
    GrantReserved(waiter.row, waiter.request, waiter.id, *slot);
    return true;
  }
  Completion grant{};
  grant.op = CompletionOp::kGrant;
  grant.request = waiter.request;
  grant.count = 1;
  grant.grant.block_bytes = waiter.block_bytes;
  grant.grant.leases[0] =
      GrantedLease::Make(*slot, slots_.Generation(*slot), leases_[*slot].offset);
  Complete(waiter.row, grant);
  return true;
}

bool Core::IsForgotten(const RoomWaiter& waiter) const {
  if (waiter.row == kStoreRow) {
    const auto restore = restoring_.find(waiter.id);
    return restore == restoring_.end() || restore->second.slot != kNoSlot ||
           restore->second.ticket != waiter.ticket;
  }
  const CoreSession* const session = sessions_[waiter.row].get();
  if (session == nullptr || session->number != waiter.session) return true;
  const auto request = session->requests.find(waiter.request);
  return request == session->requests.end() || request->second.ticket != waiter.ticket;
}

// A request that waited for room is gone. The first in line is always one that waits; others
// are taken out at the end of the turn, all at once: a client may cancel thousands.
void Core::ForgetRoomWaiter() {
  ++forgotten_room_waiters_;
  while (!room_waiters_.empty() && IsForgotten(room_waiters_.front())) {
    room_waiters_.pop_front();
    --forgotten_room_waiters_;
  }
}

void Core::ServeRoomWaiters() {
  room_changed_ = false;
  if (forgotten_room_waiters_ > 0) {
    std::erase_if(room_waiters_, [this](const RoomWaiter& w) { return IsForgotten(w); });
    forgotten_room_waiters_ = 0;
  }
  if (host_is_short_) {
    const uint64_t reach = allocator_.LongestRange();
    std::stable_partition(
        room_waiters_.begin(), room_waiters_.end(),
        [&](const RoomWaiter& waiter) { return waiter.block_bytes <= reach; });
  }
  ++compaction_.room_round;
  AbandonStaleCompaction();
  while (!room_waiters_.empty()) {
    const RoomWaiter first = room_waiters_.front();
    if (!ServeRoomWaiter(first, Evicting::kAllowed)) break;
  }
  AbandonStaleCompaction();
  if (room_waiters_.empty()) return;
  if (!IsOutOfReach(room_waiters_.front().block_bytes)) AskForLeases();
  ConsiderCompaction();
  // The others; whoever asks for no less than one who was refused need not be tried.
  uint64_t refused_bytes = ~uint64_t{0};
  for (size_t i = 1; i < room_waiters_.size() && MayOvertake(64);) {
    const RoomWaiter waiter = room_waiters_[i++];
    if (waiter.block_bytes >= refused_bytes || IsForgotten(waiter)) continue;
    // One that is served stays among the others, forgotten, until the next turn.
    const bool is_served = MayOvertake(waiter.block_bytes) &&
                           ServeRoomWaiter(waiter, Evicting::kNo);
    if (!is_served) refused_bytes = waiter.block_bytes;
  }
}

// What clients keep ahead of their need comes back to those who need it now. Each is asked
// once until it is granted something again.
void Core::AskForLeases() {
  for (const SessionRow row : open_rows_) {
    CoreSession& session = *sessions_[row];
    if (session.broken || session.leases.empty() || session.asked_for_leases) continue;
    session.asked_for_leases = true;
    host_->AskForLeases(row);
  }
}

void Core::RefuseRoom(SessionRow row, uint32_t request, AnswerCode code) {
  ++stats_.refused_full;
  Completion refusal = RoomRefusal(code);
  refusal.request = request;
  Complete(row, refusal);
}

void Core::RefuseQuota(SessionRow row, uint32_t request) {
  Completion answer{};
  answer.op = CompletionOp::kAnswer;
  answer.code = AnswerCode::kOverQuota;
  answer.request = request;
  answer.detail[0] = limits_.client_quota_bytes;
  answer.detail[1] = HeldBytes(row);
  Complete(row, answer);
}

// Says who holds the memory.
Completion Core::RoomRefusal(AnswerCode code) {
  FindTopPinner();
  const auto top = std::max_element(
      makers_.begin(), makers_.end(),
      [](const Maker& a, const Maker& b) { return a.bytes < b.bytes; });
  Completion answer{};
  answer.op = CompletionOp::kAnswer;
  answer.code = code;
  answer.count = static_cast<uint8_t>(spill_trouble_);
  answer.detail[0] = stats_.object_bytes;
  answer.detail[1] = stats_.evictable_bytes;
  answer.detail[2] = stats_.leased_bytes;
  answer.detail[3] = StoreBytes();
  answer.detail[4] = top == makers_.end() ? 0 : static_cast<uint32_t>(top->pid);
  answer.detail[4] |= uint64_t{static_cast<uint32_t>(top_pinner_.pid)} << 32;
  answer.detail[5] = top == makers_.end() ? 0 : top->bytes;
  answer.detail[6] = stats_.objects | (top_pinner_.bytes / kPinnedUnitBytes) << 32;
  return answer;
}

}  // namespace penstock
