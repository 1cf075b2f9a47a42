// Session: reading what is not at hand: unpublished objects, waiting, questions.
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "client/src/clock.h"
#include "client/src/refusals.h"
#include "client/src/session.h"
#include "store/base/crash_point.h"
#include "store/base/errors.h"
#include "store/shm/hash_index.h"
#include "store/shm/slot_table.h"

namespace penstock::internal {
namespace {

// How long a call that should not wait gives a daemon that is slow to run.
constexpr int64_t kAnswerPatience_ns = 1'000'000'000;
// Of one call's ids, by the daemon.
constexpr size_t kMostAskedAtOnce = 16384;
// While the ring is full.
constexpr int kYieldsBeforeNap = 200;
constexpr timespec kNap{0, 50'000};

}  // namespace

// This process sealed it, and the daemon may not have taken the record yet. The slot is
// leased to us or sealed already; as long as its generation stands, so does the object.
bool Session::GetUnpublished(const ObjectId& id, ObjectView& view) {
  const std::optional<Unpublished> own = submissions_->FindUnpublished(id);
  if (!own) return false;
  pins_.Pin(own->slot, Epoch());
  const uint64_t word = index_.slot(own->slot).state.load(std::memory_order_seq_cst);
  const SlotState state = StateOf(word);
  if (GenerationOf(word) != own->generation ||
      (state != SlotState::kLeased && state != SlotState::kSealed) ||
      revoked_->load(std::memory_order_relaxed) != 0) {
    Release(own->slot);
    return false;
  }
  // Sealed: taken, and perhaps moved before our pin came. A pinned, published slot stands
  // still and speaks for itself.
  if (state == SlotState::kSealed) {
    view = ObjectView(ObjectView::Key(), {this, &index_.slot(own->slot)});
    return true;
  }
  // Leased: nobody moves it before it is published, and nobody afterwards while we pin it.
  view = ViewOfOwn(own->slot, {.id = id,
                               .offset = own->offset,
                               .size = own->size,
                               .metadata_size = own->metadata_size,
                               .type_tag = own->type_tag});
  return true;
}

// A view may be released by the destructor of another thread_local object, which runs after
// this one's: what it looks at then has no destructor itself.
namespace {

thread_local void* t_spare = nullptr;
thread_local bool t_thread_ends = false;

template <typename T>
struct FreeAtThreadsEnd {
  ~FreeAtThreadsEnd() {
    t_thread_ends = true;
    delete static_cast<T*>(std::exchange(t_spare, nullptr));
  }
};

}  // namespace

std::unique_ptr<Session::OwnSlot> Session::TakeSpareOwnSlot() {
  return std::unique_ptr<OwnSlot>(static_cast<OwnSlot*>(std::exchange(t_spare, nullptr)));
}

void Session::KeepSpareOwnSlot(std::unique_ptr<OwnSlot> own) {
  if (t_thread_ends || t_spare != nullptr) return;
  static thread_local const FreeAtThreadsEnd<OwnSlot> at_end;
  t_spare = own.release();
}

ObjectView Session::ViewOfOwn(uint32_t slot, const ObjectFacts& facts) {
  std::unique_ptr<OwnSlot> own = TakeSpareOwnSlot();
  if (own == nullptr) own = std::make_unique<OwnSlot>();
  own->id = facts.id;
  own->offset = facts.offset;
  own->size = facts.size;
  own->metadata_size = facts.metadata_size;
  own->type_tag = facts.type_tag;
  own->number = slot;
  return ObjectView(ObjectView::Key(), {this, own.release()});
}

// The daemon holds the object for us; our own pin takes over.
absl::StatusOr<ObjectView> Session::TakeHeld(const Completion& answer, const ObjectId& id,
                                             absl::Duration deadline, int64_t until_ns) {
  PENSTOCK_CRASH_POINT(kClientAnswered);
  const uint32_t slot = answer.object.slot;
  const uint64_t offset = answer.object.offset;
  const uint64_t size = answer.object.size;
  if (slot >= index_.capacity() || offset > arena_bytes_ || size > arena_bytes_ - offset) {
    return absl::InternalError("the daemon answered with an object outside the arena");
  }
  pins_.Pin(slot, Epoch());
  // SYNC S4 hold: the pin is in place before we look whether the daemon that holds the object
  // is still the one. If another has begun, it saw our pin, or may have taken the object.
  const auto restarts =
      static_cast<uint8_t>(index_.header().restarts.load(std::memory_order_seq_cst));
  if (answer.count != restarts) {
    const uint64_t word = index_.slot(slot).state.load(std::memory_order_seq_cst);
    if (GenerationOf(word) != answer.object.generation ||
        StateOf(word) != SlotState::kSealed) {
      Release(slot);
      const bool no_wait = deadline <= absl::ZeroDuration();
      const int64_t left_ns = std::max<int64_t>(1, until_ns - NowNs());
      return std::move(GetMany({&id, 1}, no_wait || until_ns == kNever
                                             ? deadline : absl::Nanoseconds(left_ns))
                           .front());
    }
    return ObjectView(ObjectView::Key(), {this, &index_.slot(slot)});
  }
  PENSTOCK_CRASH_POINT(kClientTookOver);
  Submission confirm{};
  confirm.op = SubmissionOp::kConfirm;
  confirm.slot = slot;
  confirm.generation = answer.object.generation;
  confirm.flags_or_count = answer.count;
  // Quiet: a hold a little longer costs nothing, unless somebody waits for this slot.
  if (!submissions_->Push(confirm, Bell::kQuiet)) {
    Release(slot);
    return WhyUnusable();
  }
  // SYNC S3: the publication was a full fence; read the slot after it.
  const uint64_t word = index_.slot(slot).state.load(std::memory_order_seq_cst);
  if (GenerationOf(word) != answer.object.generation) {
    Release(slot);
    return absl::InternalError("the daemon let an object go that it held for this client");
  }
  if (!IsPlainlySealed(word)) submissions_->RingIfParked();
  // The fields of a pinned, published slot stand still.
  return ObjectView(ObjectView::Key(), {this, &index_.slot(slot)});
}

// Brings what the gets of a long list will touch into the cache before they come to it:
// the bucket, then the slot and the pin word, then the payload's first line. Each look-up
// alone waits for three misses in a row; here those of many are under way together. What is
// read here is a hint and never believed.
class Session::LookAhead {
 public:
  LookAhead(const Session& session, std::span<const ObjectId> ids)
      : session_(session), ids_(ids) {
    for (size_t i = 0; i < kBucketAhead && i < ids.size(); ++i) FetchBucket(i);
    for (size_t i = 0; i < kSlotAhead && i < ids.size(); ++i) FetchSlot(i);
  }
  void Step(size_t i) {
    if (i + kBucketAhead < ids_.size()) FetchBucket(i + kBucketAhead);
    if (i + kSlotAhead < ids_.size()) FetchSlot(i + kSlotAhead);
    if (i + kPayloadAhead < ids_.size()) FetchPayload(i + kPayloadAhead);
  }

 private:
  static constexpr size_t kBucketAhead = 24;
  static constexpr size_t kSlotAhead = 16;
  static constexpr size_t kPayloadAhead = 8;
  static constexpr size_t kRemembered = 32;  // a power of two above kBucketAhead

  void FetchBucket(size_t i) {
    const uint64_t hash = ids_[i].Hash();
    hashes_[i % kRemembered] = hash;
    const IndexSegment& index = session_.index_;
    __builtin_prefetch(&index.bucket(static_cast<uint32_t>(hash) & index.bucket_mask()));
  }
  void FetchSlot(size_t i) {
    uint32_t found = 0;
    ForEachCandidate(session_.index_, hashes_[i % kRemembered], [&](uint32_t slot) {
      found = slot;
      return true;
    });
    slots_[i % kRemembered] = found;
    __builtin_prefetch(&session_.index_.slot(found));
    session_.pins_.Prefetch(found);
  }
  void FetchPayload(size_t i) {
    __builtin_prefetch(session_.arena +
                       session_.index_.slot(slots_[i % kRemembered]).offset);
  }

  const Session& session_;
  const std::span<const ObjectId> ids_;
  uint64_t hashes_[kRemembered];
  uint32_t slots_[kRemembered];
};

std::vector<absl::StatusOr<ObjectView>> Session::GetMany(std::span<const ObjectId> ids,
                                                         absl::Duration deadline) {
  const bool no_wait = deadline <= absl::ZeroDuration();
  std::vector<absl::StatusOr<ObjectView>> outcomes(ids.size());
  std::vector<size_t> missing;
  LookAhead ahead(*this, ids);
  for (size_t i = 0; i < ids.size(); ++i) {
    ahead.Step(i);
    outcomes[i].emplace();
    if (ids[i].IsNil()) {
      outcomes[i] = NilIdStatus();  // nobody could ever seal it
    } else if (!GetLocal(ids[i], *outcomes[i]) && !GetUnpublished(ids[i], *outcomes[i])) {
      missing.push_back(i);
    }
  }
  if (missing.empty()) return outcomes;

  const int64_t until = no_wait ? kNever : DeadlineNs(deadline);
  if (!no_wait && missing.size() > kMostAskedAtOnce) {
    // First what is here, on disk or refused for good: no part waits for a seal meanwhile.
    missing = AskFor(ids, missing, AskingFor::kPresent, deadline, until, outcomes);
  }
  AskFor(ids, missing, no_wait ? AskingFor::kPresent : AskingFor::kFuture, deadline, until,
         outcomes);
  return outcomes;
}

// In parts, so that the daemon never has more of this call than it takes from a session at once.
// Returns those that were not here and may come.
std::vector<size_t> Session::AskFor(std::span<const ObjectId> ids,
                                    const std::vector<size_t>& which, AskingFor asking,
                                    absl::Duration deadline, int64_t until_ns,
                                    std::vector<absl::StatusOr<ObjectView>>& outcomes) {
  std::vector<size_t> may_come;
  bool is_over = false;
  bool is_silent = false;     // the daemon: it is not asked again and again
  bool is_restoring = false;  // it needs longer than there is: likewise
  for (size_t begin = 0; begin < which.size(); begin += kMostAskedAtOnce) {
    const size_t count = std::min(kMostAskedAtOnce, which.size() - begin);
    const std::span part(which.data() + begin, count);
    std::vector<Submission> records(count);
    for (size_t i = 0; i < count; ++i) {
      records[i].op = SubmissionOp::kGet;
      records[i].id = ids[part[i]];
      records[i].flags_or_count = asking == AskingFor::kPresent ? kGetNoWait : 0u;
    }
    const bool is_asked = !is_silent && !is_restoring;
    bool is_late = false;
    PendingCall call(std::move(records));
    completions_->Register(call);
    const uint64_t taken_before = submissions_->taken();
    const int64_t asked_ns = NowNs();
    const int64_t part_until_ns =
        deadline <= absl::ZeroDuration() ? asked_ns + kAnswerPatience_ns : until_ns;
    if (!is_asked || !PushUntil(call, part_until_ns) ||
        !completions_->Wait(call, part_until_ns)) {
      is_late = true;
      if (!is_asked) {
        completions_->Cancel(call);
      } else if (TakeLastWords(call, taken_before, asked_ns)) {
        is_restoring |= asking == AskingFor::kPresent;
      } else {
        is_silent = true;
      }
      // The time is over. Of the parts behind this one at least what is here now.
      if (asking == AskingFor::kFuture) {
        is_over = true;
        asking = AskingFor::kPresent;
        until_ns = NowNs() + kAnswerPatience_ns;
      }
    }
    for (size_t i = 0; i < count; ++i) {
      const ObjectId& id = ids[part[i]];
      absl::StatusOr<ObjectView>& outcome = outcomes[part[i]];
      const Completion answer = call.TakeResult(i);
      if (answer.op == CompletionOp::kObject) {
        outcome = TakeHeld(answer, id, deadline, until_ns);
      } else if (answer.op == CompletionOp::kNone) {
        outcome = !Usable()   ? WhyUnusable()
                  : is_silent ? SilentDaemonStatus()
                              : OneOfTooManyStatus(id);
      } else if (is_over || (is_late && answer.code != AnswerCode::kNotFound)) {
        outcome = LateGetStatus(answer, id);
      } else {
        outcome = StatusOfAnswer(answer, id, 0);
        if (answer.code == AnswerCode::kNotFound) may_come.push_back(part[i]);
      }
    }
  }
  return may_come;
}

// The deadline has passed: of each that is unanswered, why. False: the daemon is silent. While it
// takes nothing, the time since it was asked counts as patience.
bool Session::TakeLastWords(PendingCall& call, uint64_t taken_before, int64_t asked_ns) {
  const int64_t from_ns = submissions_->taken() == taken_before ? asked_ns : NowNs();
  return completions_->TakeLastWords(call, from_ns + kLastWordPatience_ns) &&
         submissions_->taken() != taken_before;
}

// False: the deadline has passed, or the session is dead, before all were pushed. What comes
// meanwhile is read in between: answers that nobody reads pile up in the daemon.
bool Session::PushUntil(PendingCall& call, int64_t until_ns) {
  const std::span<const Submission> records(call.records);
  for (int waits = 0;;) {
    const size_t count = submissions_->PushSome(records.subspan(call.pushed));
    call.pushed += count;
    if (call.pushed == records.size()) return true;
    if (IsDead()) return false;
    completions_->DrainIfReady();
    if (count > 0) continue;
    if (waits++ < kYieldsBeforeNap) {
      sched_yield();
    } else if (submissions_->IsTakenNoMore()) {
      return false;
    } else {
      nanosleep(&kNap, nullptr);
    }
    if (until_ns != kNever && NowNs() >= until_ns) return false;
  }
}

// One question, one answer.
absl::StatusOr<Completion> Session::Ask(const Submission& record, int64_t deadline_ns,
                                        bool* asked_again) {
  PendingCall call({record});
  completions_->Register(call);
  const bool answered = PushUntil(call, deadline_ns) && completions_->Wait(call, deadline_ns);
  if (asked_again != nullptr) *asked_again = call.asked_again;
  if (answered) return call.results[0];
  completions_->Cancel(call);
  if (call.results[0].op != CompletionOp::kNone) return call.results[0];
  if (!Usable() || deadline_ns == kNever) return WhyUnusable();
  return SilentDaemonStatus();
}

absl::StatusOr<bool> Session::Contains(const ObjectId& id) {
  bool here = false;
  ForEachCandidate(index_, id.Hash(), [&](uint32_t slot) {
    // The id belongs to the sealed generation if the word is the same before and after.
    const Slot& object = index_.slot(slot);
    const uint64_t before = object.state.load(std::memory_order_acquire);
    if (StateOf(before) != SlotState::kSealed || object.id != id) return false;
    FenceBeforeSecondLook();
    here = object.state.load(std::memory_order_relaxed) == before;
    return here;
  });
  if (here) return true;
  Submission record{};
  record.op = SubmissionOp::kContains;
  record.id = id;
  PENSTOCK_ASSIGN_OR_RETURN(const Completion answer, Ask(record, kNever));
  PENSTOCK_RETURN_IF_ERROR(StatusOfAnswer(answer, id, 0));
  return answer.detail[0] == 1;
}

absl::StatusOr<std::vector<ObjectInfo>> Session::List() {
  PENSTOCK_RETURN_IF_ERROR(AwaitHandled());
  std::vector<ObjectInfo> infos;
  for (uint32_t slot = 0; slot < index_.capacity(); ++slot) {
    const Slot& object = index_.slot(slot);
    const uint64_t before = object.state.load(std::memory_order_acquire);
    if (StateOf(before) != SlotState::kSealed) continue;
    const ObjectInfo info{object.id, object.size, object.metadata_size, object.type_tag,
                          (object.flags & kSealEvictable) != 0,
                          (object.flags & kSealSessionBound) != 0,
                          static_cast<Priority>(PriorityOf(object.flags))};
    FenceBeforeSecondLook();
    const uint64_t after = object.state.load(std::memory_order_relaxed);
    if (GenerationOf(after) == GenerationOf(before)) infos.push_back(info);
  }
  return infos;
}

absl::Status Session::Sync() {
  PENSTOCK_RETURN_IF_ERROR(AwaitHandled());
  const CompletionQueue::RefusedSeals refused = completions_->TakeRefusedSeals();
  return refused.count == 0 ? absl::OkStatus()
                            : RefusedSealsStatus(refused.count, refused.first);
}

absl::Status Session::AwaitHandled() {
  const uint64_t changes = submissions_->changes();
  Submission record{};
  record.op = SubmissionOp::kSync;
  PENSTOCK_RETURN_IF_ERROR(Ask(record, kNever).status());
  // Of two at once the later one may be the first to come here: then the next asks again.
  synced_changes_.store(changes, std::memory_order_relaxed);
  return absl::OkStatus();
}

bool Session::HasUnsynced() {
  return submissions_->changes() != synced_changes_.load(std::memory_order_relaxed);
}

absl::Status Session::Subscribe(uint32_t flags) {
  subscription_.store(flags, std::memory_order_relaxed);
  completions_->ForgetEvents();
  Submission record{};
  record.op = SubmissionOp::kSubscribe;
  record.flags_or_count = flags;
  return Ask(record, kNever).status();
}

absl::StatusOr<Event> Session::NextEvent(absl::Duration deadline) {
  const int64_t until = DeadlineNs(deadline);
  Event event;
  while (!completions_->NextEvent(until, &event)) {
    if (!Usable()) return WhyUnusable();
    if (NowNs() >= until) return absl::DeadlineExceededError("no event within the deadline");
  }
  return event;
}

}  // namespace penstock::internal
