// Core: leases of blocks and slots, making room, and who waits for it.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "store/base/check.h"
#include "store/base/crash_point.h"
#include "store/object/core.h"

namespace penstock {
namespace {

constexpr size_t kMostAsked = 16;  // in a turn: a packet each

}  // namespace

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
  const uint64_t ticket = ++last_ticket_;
  session.requests[record.request] = {
      .kind = PendingRequest::Kind::kRoom, .id = id, .ticket = ticket};
  ++session.room_waits;
  Enqueue({row, session.number, record.request, record.size, reserve, id, ticket});
}

void Core::Enqueue(const RoomWaiter& waiter) {
  room_waiters_.emplace(waiter.ticket, waiter);
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
  TakeBackIfEnded(record.id);
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
    if (FlushesFor(block_bytes)) return std::nullopt;
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
  if (IsOutOfReach(FirstForRoom().block_bytes)) return true;
  uint64_t needed_bytes = FirstForRoom().block_bytes;
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
      if (MayCompact(waiter.block_bytes) || IsCompacting() || RoomMayCome()) return false;
      if (WaitsForHost()) return false;
      // Nor before all has been taken that waits in the rings by now: room may be among it.
      if (stats_.turns > refusing_at_ + 1) {
        refusing_since_ = rounds_.begun;
        refusing_lap_ends_ = LapFromHere();
      }
      refusing_at_ = stats_.turns;
      if (laps_.looked < refusing_lap_ends_) refusing_since_ = rounds_.begun;
      if (laps_.looked < refusing_lap_ends_ ||
          !HasPassed(refusing_since_)) {
        room_changed_ = true;
        return false;
      }
      // The disk takes nothing, so no room comes of itself: better told than left to wait.
      const ObjectId id = waiter.id;
      ForgetRestore(id);
      RefuseWaiters(id, RoomRefusal(AnswerCode::kNoRoomToRestore));
      return true;
    }
    room_waiters_.erase(waiter.ticket);
    return true;
  }
  const auto refuse = [&](AnswerCode code, uint64_t detail) {
    ForgetRequest(waiter.row, waiter.request);
    Answer(waiter.row, waiter.request, code, detail);
    return true;
  };
  if (!sessions_[waiter.row]->open) {
    ForgetRequest(waiter.row, waiter.request);
    return true;
  }
  if (!MayEverFit(waiter.block_bytes)) {
    return refuse(AnswerCode::kTooLarge, StoreBytes());
  }
  if (waiter.reserve) TakeBackIfEnded(waiter.id);
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

// While the host has no memory to give: who asks for more than any piece that is there has lost its
// place to the next one.
void Core::PassOverOutOfReach() {
  size_t most = std::min<size_t>(room_waiters_.size(), limits_.most_steps_in_turn);
  for (; most > 0 && IsOutOfReach(FirstForRoom().block_bytes); --most) {
    RoomWaiter waiter = FirstForRoom();
    room_waiters_.erase(room_waiters_.begin());
    waiter.ticket = ++last_ticket_;
    (waiter.row == kStoreRow ? restoring_.at(waiter.id).ticket
                             : sessions_[waiter.row]->requests.at(waiter.request).ticket) =
        waiter.ticket;
    room_waiters_.emplace(waiter.ticket, waiter);
  }
}

void Core::ServeRoomWaiters() {
  others_.again |= others_.go_on && room_changed_;
  room_changed_ = false;
  ++compaction_.room_round;
  if (host_is_short_) PassOverOutOfReach();
  AbandonStaleCompaction();
  for (size_t most = limits_.most_steps_in_turn / 2; !room_waiters_.empty(); --most) {
    if (most == 0) {
      room_changed_ = true;  // the next turn goes on
      return;
    }
    const RoomWaiter first = FirstForRoom();
    if (!ServeRoomWaiter(first, Evicting::kAllowed)) break;
    if (host_is_short_ && !room_waiters_.empty()) PassOverOutOfReach();
  }
  AbandonStaleCompaction();
  if (room_waiters_.empty()) {
    others_.go_on = others_.again = false;
    return;
  }
  if (!IsOutOfReach(FirstForRoom().block_bytes)) rows_to_ask_ = open_rows_.size();
  ConsiderCompaction();
  ServeOthers();
}

// Those behind the first in line, some in each turn; one that asks for no less than another that
// was refused need not be tried.
void Core::ServeOthers() {
  if (!others_.go_on) {
    others_.after = room_waiters_.begin()->first;
    others_.refused_bytes = ~uint64_t{0};
  }
  others_.go_on = false;
  size_t most = 4 * limits_.most_steps_in_turn;
  for (auto next = room_waiters_.upper_bound(others_.after);
       next != room_waiters_.end() && MayOvertake(64); --most) {
    if (most == 0) {
      others_.go_on = true;
      return;
    }
    const RoomWaiter waiter = next->second;
    others_.after = next->first;
    if (waiter.block_bytes >= others_.refused_bytes) {
      ++next;
      continue;
    }
    const bool is_served = MayOvertake(waiter.block_bytes) &&
                           ServeRoomWaiter(waiter, Evicting::kNo);
    if (!is_served) others_.refused_bytes = waiter.block_bytes;
    next = room_waiters_.upper_bound(others_.after);
  }
  if (std::exchange(others_.again, false)) room_changed_ = true;
}

// What clients keep ahead of their need comes back to those who need it now. Each is asked
// once until it is granted something again, some in each turn.
void Core::AskForLeases() {
  size_t asks = kMostAsked;
  size_t looks = std::min(rows_to_ask_, limits_.most_steps_in_turn);
  for (; looks > 0 && asks > 0; --looks) {
    --rows_to_ask_;
    const SessionRow row = open_rows_[next_to_ask_++ % open_rows_.size()];
    CoreSession& session = *sessions_[row];
    if (session.broken || session.leases.empty() || session.asked_for_leases) continue;
    session.asked_for_leases = true;
    host_->AskForLeases(row);
    --asks;
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
  CountHolders();
  const TopHolders& top = top_holders_;
  const auto larger = [](const Holder& a, const Holder& b) { return a.bytes > b.bytes ? a : b; };
  const Holder pins = larger(top.pins_in_this_walk, top.pins);
  const Holder made = larger(top.made_in_this_walk, top.made);
  Completion answer{};
  answer.op = CompletionOp::kAnswer;
  answer.code = code;
  answer.count = static_cast<uint8_t>(spill_trouble_);
  answer.detail[0] = stats_.object_bytes;
  answer.detail[1] = stats_.evictable_bytes;
  answer.detail[2] = stats_.leased_bytes;
  answer.detail[3] = StoreBytes();
  answer.detail[4] = static_cast<uint32_t>(made.pid);
  answer.detail[4] |= uint64_t{static_cast<uint32_t>(pins.pid)} << 32;
  answer.detail[5] = made.bytes;
  answer.detail[6] = stats_.objects | (pins.bytes / kPinnedUnitBytes) << 32;
  return answer;
}

}  // namespace penstock
