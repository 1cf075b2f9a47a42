// Core: what each kind of submission means. Every record here is a private copy of bytes
// that a client wrote, and is checked before anything changes.
#include <fmt/format.h>

#include "store/base/check.h"
#include "store/object/core.h"

namespace penstock {

namespace {

// While there is more to look at for room. The asker waits half a second for the last word; such
// a turn takes about 0.1 ms.
constexpr uint64_t kMostTurnsBeforeCancel = 1000;

// The name of an operation that changes the store; null of one that does not.
const char* NameOfWrite(SubmissionOp op) {
  switch (op) {
    case SubmissionOp::kSeal: return "seal";
    case SubmissionOp::kDelete:
    case SubmissionOp::kDeleteById: return "delete";
    case SubmissionOp::kLease: return "lease";
    case SubmissionOp::kReserve: return "reserve";
    case SubmissionOp::kReturnLease: return "give back a lease";
    default: return nullptr;
  }
}

}  // namespace

bool Core::MayHandle(SessionRow row, SubmissionOp op) {
  if (sessions_[row]->role == SessionRole::kReadWrite) [[likely]] return true;
  const char* const write = NameOfWrite(op);
  if (write == nullptr) return true;
  Break(row, fmt::format("it may only read, and asked to {}", write));
  return false;
}

bool Core::Handle(SessionRow row, const Submission& record) {
  if (!MayHandle(row, record.op)) return false;
  switch (record.op) {
    case SubmissionOp::kSeal: return HandleSeal(row, record);
    case SubmissionOp::kDelete: HandleDelete(record); return true;
    case SubmissionOp::kLease: return HandleLease(row, record);
    case SubmissionOp::kReserve: return HandleReserve(row, record);
    case SubmissionOp::kReturnLease: return HandleReturnLease(row, record);
    case SubmissionOp::kGet:
    case SubmissionOp::kContains:
    case SubmissionOp::kDeleteById: return HandleGet(row, record);
    case SubmissionOp::kConfirm: return HandleConfirm(row, record);
    case SubmissionOp::kRelease: HandleRelease(record); return true;
    case SubmissionOp::kCancel:
      if (record.flags_or_count == 0) HandleCancel(row, record.request);
      return true;  // of many: Drain has forgotten them
    case SubmissionOp::kSync:
      deferred_.push_back({row, sessions_[row]->number, record, rounds_.begun, LapFromHere()});
      return true;
    case SubmissionOp::kSubscribe: {
      Subscribe(row, record.flags_or_count & (kSubscribeSeals | kSubscribeDeletions));
      if (record.request != 0) Answer(row, record.request, AnswerCode::kOk);
      return true;
    }
    case SubmissionOp::kNone: break;
  }
  Break(row, fmt::format("a submission has the unknown operation {}",
                         static_cast<unsigned>(record.op)));
  return false;
}

bool Core::OwnsLease(SessionRow row, const Submission& record) const {
  if (record.slot >= index_.capacity()) return false;
  const LeaseEntry& lease = leases_[record.slot];
  return lease.kind == LeaseKind::kLease && lease.session == sessions_[row]->number &&
         slots_.Generation(record.slot) == record.generation;
}

// Whether the record just taken may have been handled by a daemon that died before it
// published its head: then what it asks for may be done.
bool Core::IsReplay(SessionRow row) const {
  const CoreSession& session = *sessions_[row];
  return session.submissions.head() <= session.replay_until;
}

bool Core::HandleSeal(SessionRow row, const Submission& record) {
  if (!OwnsLease(row, record)) {
    if (IsReplay(row)) return true;
    Break(row, fmt::format("it sealed slot {} generation {}, of which it has no lease",
                           record.slot, record.generation));
    return false;
  }
  const uint64_t block_bytes = leases_[record.slot].block_bytes;
  if (record.size > block_bytes ||
      MetadataOffset(record.size) + record.metadata_size > block_bytes) {
    Break(row, fmt::format("it sealed {} bytes and {} bytes of metadata into a block of {}",
                           record.size, record.metadata_size, block_bytes));
    return false;
  }
  constexpr uint32_t kPriorityFlags = kSealLowPriority | kSealHighPriority;
  constexpr uint32_t kKnown = kSealEvictable | kSealSessionBound | kPriorityFlags;
  const uint32_t flags = record.flags_or_count;
  if ((flags & ~kKnown) != 0 || (flags & kPriorityFlags) == kPriorityFlags) {
    Break(row, fmt::format("it sealed with the flags {:#x}, which mean nothing", flags));
    return false;
  }
  const bool reserved = infos_[record.slot].reserved;
  const bool id_is_its_own = reserved ? leases_[record.slot].reserved_id == record.id
                                      : record.id.session == sessions_[row]->number &&
                                            record.id.home == index_.header().incarnation;
  if (!id_is_its_own) {
    Break(row, fmt::format("it sealed under the id {}, which it neither made nor reserved",
                           record.id.ToHex()));
    return false;
  }
  if (Exists(record.id)) {
    // Its own id a second time, or its maker and a reserver met: the first object stays,
    // this one is dropped and told.
    Completion refusal{};
    refusal.op = CompletionOp::kSealRefused;
    refusal.code = AnswerCode::kAlreadyExists;
    refusal.object.id = record.id;
    refusal.object.size = record.size;
    Complete(row, refusal);
    DropUnpublished(row, record);
    return true;
  }
  Publish(row, record);
  return true;
}

bool Core::HandleReturnLease(SessionRow row, const Submission& record) {
  if (!OwnsLease(row, record)) {
    if (IsReplay(row)) return true;
    Break(row, fmt::format("it gave back slot {} generation {}, of which it has no lease",
                           record.slot, record.generation));
    return false;
  }
  ReturnLease(row, record.slot);
  return true;
}

void Core::HandleDelete(const Submission& record) {
  if (record.slot >= index_.capacity()) return;
  const uint64_t word = slots_.Word(record.slot);
  if (StateOf(word) == SlotState::kSealed && GenerationOf(word) == record.generation) {
    Delete(record.slot, AnswerCode::kDeleted);
    return;
  }
  // It left memory since its deleter looked: to disk, or back from there into another slot.
  // If not, somebody else was first. No harm.
  if (spill_ == nullptr || record.id.IsNil()) return;
  if (spilled_.contains(record.id)) {
    DeleteSpilled(record.id);
  } else if (const auto slot = Find(record.id)) {
    Delete(*slot, AnswerCode::kDeleted);
  }
}

void Core::HandleRelease(const Submission& record) {
  if (record.slot >= index_.capacity()) return;
  if (slots_.Generation(record.slot) != record.generation) return;
  if (slots_.State(record.slot) == SlotState::kDeleted && !IsInUse(record.slot)) {
    Free(record.slot);
  }
  // A wanted object may have lost its last pin: creators look again.
  ReturnToQueue(record.slot);
  room_changed_ = true;
  fruitless_looks_ = 0;
  if (room_waiters_.empty() && infos_[record.slot].wanted &&
      slots_.State(record.slot) == SlotState::kSealed) {
    infos_[record.slot].wanted = false;
    slots_.ForgetWanted(record.slot);
  }
}

bool Core::HandleConfirm(SessionRow row, const Submission& record) {
  CoreSession& session = *sessions_[row];
  // SYNC S4 hold: of a hold of the last daemon's, and none of ours, which another thread of the
  // client may have asked for in between.
  const auto restarts =
      static_cast<uint8_t>(index_.header().restarts.load(std::memory_order_relaxed));
  if (session.kept && record.flags_or_count != restarts) return true;
  const auto held = session.holds.find(record.slot);
  if (record.flags_or_count != restarts || held == session.holds.end() ||
      slots_.Generation(record.slot) != record.generation) {
    Break(row, fmt::format("it confirmed a pin of slot {} generation {}, about which it was "
                           "told nothing", record.slot, record.generation));
    return false;
  }
  DropHolds(row, record.slot, 1);
  return true;
}

bool Core::HandleGet(SessionRow row, const Submission& record) {
  CoreSession& session = *sessions_[row];
  const bool asks_again = session.requests.contains(record.request);
  if (asks_again && session.kept) return true;
  if (record.request == 0 || asks_again) {
    Break(row, fmt::format("request number {} is {}", record.request,
                           record.request == 0 ? "no number" : "in use already"));
    return false;
  }
  if (session.requests.size() >= limits_.max_requests_per_session) {
    Answer(row, record.request, AnswerCode::kTooManyRequests);
    return true;
  }
  const bool is_settled = Find(record.id).has_value() ||
                          (!spilled_.contains(record.id) && !ASealMayWait(record.id));
  if (is_settled) {
    Resolve(row, record);
  } else {
    session.requests[record.request] = {PendingRequest::Kind::kDeferred, record.id};
    // Whose seals matter was heard: no lap.
    deferred_.push_back({row, session.number, record, rounds_.begun, 0});
  }
  return true;
}

// Answers a get, contains, delete or sync; invariant 4 holds when it misses.
void Core::Resolve(SessionRow row, const Submission& record) {
  if (record.op == SubmissionOp::kSync) {
    Answer(row, record.request, AnswerCode::kOk);
    return;
  }
  const std::optional<uint32_t> slot = Find(record.id);
  const bool is_on_disk = !slot && spill_ != nullptr && spilled_.contains(record.id);
  switch (record.op) {
    case SubmissionOp::kContains:
      Answer(row, record.request, AnswerCode::kOk, slot || is_on_disk ? 1 : 0);
      return;
    case SubmissionOp::kDeleteById:
      if (slot) Delete(*slot, AnswerCode::kDeleted);
      if (is_on_disk) DeleteSpilled(record.id);
      Answer(row, record.request,
             slot || is_on_disk ? AnswerCode::kOk : AnswerCode::kNotFound);
      return;
    default:
      if (slot) {
        AnswerObject(row, record.request, *slot);
      } else if (is_on_disk) {
        WaitForRestore(row, record);
      } else {
        AnswerMiss(row, record);
      }
  }
}

void Core::AnswerMiss(SessionRow row, const Submission& record) {
  const AnswerCode why = WhyAbsent(record.id);
  if (why != AnswerCode::kOk) {
    Answer(row, record.request, why);
  } else if ((record.flags_or_count & kGetNoWait) != 0) {
    Answer(row, record.request, AnswerCode::kNotFound);
  } else {
    WaitForSeal(row, record);
  }
}

void Core::WaitForSeal(SessionRow row, const Submission& record) {
  const uint64_t ticket = ++last_ticket_;
  sessions_[row]->requests[record.request] = {
      .kind = PendingRequest::Kind::kGet, .id = record.id, .ticket = ticket};
  waiters_.insert({record.id, ticket, row, record.request});
}

// Why a library-made id will never come (again); kOk when it still may.
AnswerCode Core::WhyAbsent(const ObjectId& id) const {
  if (id.IsFromName()) return AnswerCode::kOk;
  const AnswerCode cause = graves_.CauseOf(id.Hash());
  if (cause != AnswerCode::kOk) return cause;
  // One node: what another store made can never come here.
  if (id.home != index_.header().incarnation) return AnswerCode::kOtherStore;
  const auto maker = rows_by_number_.find(id.session);
  return maker != rows_by_number_.end() && sessions_[maker->second]->open
             ? AnswerCode::kOk
             : AnswerCode::kMakerDied;
}

void Core::HandleCancel(SessionRow row, uint32_t request) {
  const auto found = sessions_[row]->requests.find(request);
  if (found == sessions_[row]->requests.end()) return;  // answered meanwhile
  const PendingRequest::Kind kind = found->second.kind;
  if (kind == PendingRequest::Kind::kRoom && evictable_.empty() && clean_bytes_ == 0 &&
      !RoomMayCome() && !depends_on_bells()) {
    return CancelRoom(row, request);
  }
  if (kind == PendingRequest::Kind::kRoom) {
    // At the end of the turn, when this has been tried once more.
    if (found->second.is_cancelled) return;
    found->second.is_cancelled = true;
    late_cancels_.push_back({row, sessions_[row]->number, request,
                             stats_.turns + kMostTurnsBeforeCancel, LapFromHere()});
    return;
  }
  // Of what is on disk: whether room for it was missing, or its read takes long.
  const ObjectId id = found->second.id;
  const auto restoring = restoring_.find(id);
  const bool lacks_room = restoring != restoring_.end() && restoring->second.slot == kNoSlot;
  ForgetRequest(row, request);
  if (lacks_room) {
    Completion refusal = RoomRefusal(AnswerCode::kNoRoomToRestore);
    refusal.request = request;
    return Complete(row, refusal);
  }
  Answer(row, request, AnswerCode::kCancelled, spilled_.contains(id) ? kCancelledOnDisk : 0);
}

// Of one that waits for room, if it still does.
void Core::CancelRoom(SessionRow row, uint32_t request) {
  const auto found = sessions_[row]->requests.find(request);
  if (found == sessions_[row]->requests.end() ||
      found->second.kind != PendingRequest::Kind::kRoom) {
    return;
  }
  ForgetRequest(row, request);
  RefuseRoom(row, request, FreeSlots() == 0 ? AnswerCode::kNoSlots : AnswerCode::kFull);
  room_changed_ = true;  // the next in line may ask for less
}

void Core::HandleLateCancels() {
  const bool has_more = RoomMayCome();
  std::erase_if(late_cancels_, [&](const LateCancel& late) {
    if (laps_.looked < late.lap_ends) return false;
    if (has_more && stats_.turns < late.until_turn) return false;
    const CoreSession* const session = sessions_[late.row].get();
    if (session != nullptr && session->number == late.session) {
      CancelRoom(late.row, late.request);
    }
    return true;
  });
}

}  // namespace penstock
