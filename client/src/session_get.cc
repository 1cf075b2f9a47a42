// Session: reading what is not at hand: unpublished objects, waiting, questions.
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

thread_local std::unique_ptr<Session::OwnSlot> Session::spare_own_slot;

ObjectView Session::ViewOfOwn(uint32_t slot, const ObjectFacts& facts) {
  std::unique_ptr<OwnSlot> own = std::move(spare_own_slot);
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
  // Quiet: a hold a little longer costs nothing, unless somebody waits for this slot.
  if (!submissions_->Push(confirm, Bell::kQuiet)) {
    Release(slot);
    return WhyUnusable();
  }
  // SYNC S3: the publication was a full fence; read the slot after it.
  const uint64_t word = index_.slot(slot).state.load(std::memory_order_seq_cst);
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

  std::vector<Submission> records(missing.size());
  for (size_t i = 0; i < missing.size(); ++i) {
    records[i].op = SubmissionOp::kGet;
    records[i].id = ids[missing[i]];
    records[i].flags_or_count = no_wait ? kGetNoWait : 0u;
  }
  PendingCall call(std::move(records));
  completions_->Register(call);
  const int64_t until =
      no_wait ? NowNs() + kAnswerPatience_ns : DeadlineNs(deadline);
  const bool pushed = submissions_->PushMany(call.records, {}, Bell::kRing);
  if (!pushed || !completions_->Wait(call, until)) completions_->Cancel(call, false);
  for (size_t i = 0; i < missing.size(); ++i) {
    const ObjectId& id = ids[missing[i]];
    const Completion& answer = call.results[i];
    if (answer.op == CompletionOp::kObject) {
      outcomes[missing[i]] = TakeHeld(answer, id, deadline, until);
    } else if (answer.op != CompletionOp::kNone) {
      outcomes[missing[i]] = StatusOfAnswer(answer, id, 0);
    } else if (!Usable()) {
      outcomes[missing[i]] = WhyUnusable();
    } else {
      outcomes[missing[i]] = DeadlineStatus(id);
    }
  }
  return outcomes;
}

// One question, one answer.
absl::StatusOr<Completion> Session::Ask(const Submission& record, int64_t deadline_ns,
                                        bool* asked_again) {
  PendingCall call({record});
  completions_->Register(call);
  const bool answered =
      submissions_->Push(call.records[0]) && completions_->Wait(call, deadline_ns);
  if (asked_again != nullptr) *asked_again = call.asked_again;
  if (answered) return call.results[0];
  completions_->Cancel(call, false);
  if (call.results[0].op != CompletionOp::kNone) return call.results[0];
  if (!Usable()) return WhyUnusable();
  return absl::DeadlineExceededError(
      "the daemon did not answer in time: is it stopped, or the host overloaded?");
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
  PENSTOCK_RETURN_IF_ERROR(Sync());
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
