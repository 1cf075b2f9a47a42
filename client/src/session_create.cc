// Session: making, sealing and deleting objects.
#include <time.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "client/src/clock.h"
#include "client/src/refusals.h"
#include "client/src/session.h"
#include "store/base/crash_point.h"
#include "store/base/errors.h"
#include "store/base/streaming_copy.h"
#include "store/base/units.h"
#include "store/shm/hash_index.h"
#include "store/shm/slot_table.h"
#include "store/shm/size_class.h"

namespace penstock::internal {
namespace {

constexpr uint64_t kMostMetadataBytes = 1 * kMiB;
// CreateMany, when it has some and not all: how long it keeps them, and leaves the room to others.
constexpr int64_t kMostHeld_ns = 5'000'000;
constexpr int64_t kFirstPause_ns = 1'000'000;
constexpr int64_t kMostPause_ns = 100'000'000;

absl::Status CheckOptions(const CreateOptions& options) {
  const uint64_t metadata = options.metadata.size();
  if (metadata > kMostMetadataBytes) {
    const auto [given, most] = FormatBytesApart(metadata, kMostMetadataBytes);
    return absl::InvalidArgumentError(
        fmt::format("{} of metadata, at most {} fit beside an object: put the rest into the "
                    "payload", given, most));
  }
  if (options.priority > Priority::kHigh) {
    return absl::InvalidArgumentError(
        fmt::format("options.priority is {}, which is none: take kLow, kNormal or kHigh",
                    static_cast<unsigned>(options.priority)));
  }
  return absl::OkStatus();
}

absl::Status CheckSize(uint64_t size, uint64_t arena_bytes) {
  if (size > arena_bytes) {
    const auto [asked, most] = FormatBytesApart(size, arena_bytes);
    return absl::InvalidArgumentError(
        fmt::format("an object of {} is larger than the store, which takes {}: start the "
                    "daemon with more --memory, or make several objects", asked, most));
  }
  return absl::OkStatus();
}

// What is copied into a large object is copied by the kernels that the daemon found best. Apart
// from Create, whose small objects should not feel it.
[[gnu::noinline, gnu::cold]] void TakeCopyPlan(const IndexHeader& header) {
  // Nothing measured here: what another store of this host's has measured is as good.
  const uint32_t plan = header.copy_plan.load(std::memory_order_relaxed);
  if (plan != 0) UseCopyPlan(plan);
}

uint32_t FlagsOf(Priority priority) {
  switch (priority) {
    case Priority::kLow: return kSealLowPriority;
    case Priority::kNormal: return 0;
    case Priority::kHigh: return kSealHighPriority;
  }
  return 0;
}

}  // namespace

absl::StatusOr<Builder> Session::Create(uint64_t size, const CreateOptions& options,
                                        AnswerCode* why) {
  if (read_only_) [[unlikely]] return ReadOnlyStatus(asked_for_read_only_);
  PENSTOCK_RETURN_IF_ERROR(CheckOptions(options));
  PENSTOCK_RETURN_IF_ERROR(CheckSize(size, arena_bytes_));
  const uint64_t block_bytes = BlockBytes(MetadataOffset(size) + options.metadata.size());
  if (size >= kLeastStreamingBytes) [[unlikely]] TakeCopyPlan(index_.header());
  const bool own_id = !options.id || (options.id->session == number_ &&
                                      options.id->home == incarnation_);
  HeldLease lease;
  ObjectId id;
  if (own_id) {
    if (options.id) {
      // A later object of this session would be given the same, and be dropped.
      if (!leases_->HasGiven(options.id->sequence)) [[unlikely]] {
        return NotGivenStatus(*options.id);
      }
      // Reserved by nobody, so this is the only look before the daemon drops the second.
      ObjectView first;
      if (GetLocal(*options.id, first) || GetUnpublished(*options.id, first)) {
        return AlreadyExistsStatus(*options.id);
      }
    }
    LeaseCache::Taken taken = leases_->Take(block_bytes);
    if (!taken.lease) {
      completions_->DrainIfReady();
      taken = leases_->Take(block_bytes);
    }
    id = options.id.value_or(MakeId(taken.sequence));
    if (taken.refill > 0) {
      Submission refill{};
      refill.op = SubmissionOp::kLease;
      refill.size = block_bytes;
      refill.flags_or_count = taken.refill;
      submissions_->Push(refill);
    }
    if (taken.lease) {
      lease = *taken.lease;
      if (taken.next_offset && IsSmallBlock(block_bytes)) {
        PrefetchBlock(*taken.next_offset, block_bytes);
      }
    } else {
      PENSTOCK_ASSIGN_OR_RETURN(lease, WaitForLease(block_bytes, options, nullptr, why));
    }
  } else {
    id = *options.id;
    if (id.IsNil()) return NilIdStatus();
    PENSTOCK_ASSIGN_OR_RETURN(lease, WaitForLease(block_bytes, options, &id, why));
  }
  PENSTOCK_CRASH_POINT(kClientLeased);
  Builder builder;
  builder.session_ = this;
  builder.lease_ = {lease.generation, lease.offset, block_bytes, lease.slot};
  builder.id_ = id;
  builder.size_ = size;
  builder.metadata_size_ = static_cast<uint32_t>(options.metadata.size());
  builder.type_tag_ = options.type_tag;
  builder.flags_ = (options.evictable ? kSealEvictable : 0u) |
                   (options.session_bound ? kSealSessionBound : 0u) |
                   FlagsOf(options.priority);
  if (!options.metadata.empty()) {
    std::memcpy(builder.metadata().data(), options.metadata.data(), options.metadata.size());
  }
  return builder;
}

absl::Status Session::CheckTogether(std::span<const uint64_t> sizes, uint64_t metadata) const {
  if (sizes.size() > index_.capacity()) {
    return absl::InvalidArgumentError(fmt::format(
        "{} objects at once are more than the store takes, which has {} slots: start the daemon "
        "with more --objects, or make them in parts", sizes.size(), index_.capacity()));
  }
  uint64_t block_bytes = 0;
  for (const uint64_t size : sizes) {
    PENSTOCK_RETURN_IF_ERROR(CheckSize(size, arena_bytes_));
    block_bytes += BlockBytes(MetadataOffset(size) + metadata);
    if (block_bytes <= arena_bytes_) continue;
    return absl::InvalidArgumentError(fmt::format(
        "{} objects at once take more than the store, which has {}: start the daemon with more "
        "--memory, or make them in parts", sizes.size(), FormatBytes(arena_bytes_)));
  }
  return absl::OkStatus();
}

absl::Status Session::CreateSome(std::span<const uint64_t> sizes, const CreateOptions& options,
                                 int64_t until_ns, std::vector<Builder>& builders,
                                 AnswerCode* why) {
  CreateOptions each = options;
  for (const uint64_t size : sizes) {
    if (until_ns != kNever || !builders.empty()) {
      int64_t left_ns = until_ns == kNever ? until_ns : std::max<int64_t>(0, until_ns - NowNs());
      if (!builders.empty()) left_ns = std::min(left_ns, kMostHeld_ns);
      each.deadline = absl::Nanoseconds(left_ns);
    }
    PENSTOCK_ASSIGN_OR_RETURN(Builder builder, Create(size, each, why));
    builders.push_back(std::move(builder));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Builder>> Session::CreateMany(std::span<const uint64_t> sizes,
                                                         const CreateOptions& options) {
  if (read_only_) return ReadOnlyStatus(asked_for_read_only_);
  PENSTOCK_RETURN_IF_ERROR(CheckOptions(options));
  PENSTOCK_RETURN_IF_ERROR(CheckTogether(sizes, options.metadata.size()));
  const int64_t until_ns = DeadlineNs(options.deadline);
  std::vector<Builder> builders;
  builders.reserve(sizes.size());
  for (int64_t pause_ns = kFirstPause_ns;; pause_ns = std::min(2 * pause_ns, kMostPause_ns)) {
    AnswerCode why = AnswerCode::kOk;
    const absl::Status refusal = CreateSome(sizes, options, until_ns, builders, &why);
    if (refusal.ok()) return builders;
    builders.clear();
    // Not in step with another one that does the same.
    const int64_t jitter_ns = static_cast<int64_t>((number_ * 7919 + NowNs() / 1000) % 1000);
    const int64_t wait_ns = pause_ns + pause_ns * jitter_ns / 1000;
    const bool may_come = why == AnswerCode::kFull || why == AnswerCode::kNoSlots ||
                          absl::IsDeadlineExceeded(refusal);
    if (!may_come || !Usable() || NowNs() + wait_ns >= until_ns) return refusal;
    const timespec pause{wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
    nanosleep(&pause, nullptr);
  }
}

// A round trip, and the daemon's patience when the store is full.
absl::StatusOr<HeldLease> Session::WaitForLease(uint64_t block_bytes,
                                                const CreateOptions& options,
                                                const ObjectId* reserve, AnswerCode* why) {
  Submission record{};
  record.op = reserve != nullptr ? SubmissionOp::kReserve : SubmissionOp::kLease;
  record.size = block_bytes;
  if (reserve != nullptr) {
    record.id = *reserve;
  } else {
    record.flags_or_count = leases_->WantedCount(block_bytes);
  }
  PendingCall call({record});
  completions_->Register(call);
  const int64_t until_ns = DeadlineNs(options.deadline);
  // Asked in any case: without a deadline it is a question whether there is room now.
  const int64_t asked_until_ns = std::max(until_ns, NowNs() + kLastWordPatience_ns);
  const bool answered = PushUntil(call, asked_until_ns) && completions_->Wait(call, until_ns);
  if (!answered && Usable()) {
    // Late: the daemon's last word says who holds the memory (or is the grant after all).
    completions_->TakeLastWords(call, NowNs() + kLastWordPatience_ns);
  }
  const Completion answer = call.TakeResult(0);
  if (answer.op == CompletionOp::kGrant && answer.count > 0) {
    const GrantedLease& granted = answer.grant.leases[0];
    if (granted.slot() < index_.capacity() && granted.offset() <= arena_bytes_ &&
        block_bytes <= arena_bytes_ - granted.offset()) {
      leases_->CountTaken();
      return HeldLease{granted.generation, granted.offset(), granted.slot()};
    }
    return absl::InternalError("the daemon granted a block outside the arena");
  }
  if (!Usable()) {
    completions_->Cancel(call);
    return WhyUnusable();
  }
  if (answer.op == CompletionOp::kNone) return SilentDaemonStatus();
  if (why != nullptr) *why = answer.code;
  return StatusOfAnswer(answer, reserve != nullptr ? *reserve : ObjectId{}, block_bytes);
}

Submission Session::SealRecord(const Builder& builder) {
  Submission record{};
  record.op = SubmissionOp::kSeal;
  record.generation = builder.lease_.generation;
  record.slot = builder.lease_.slot;
  record.metadata_size = builder.metadata_size_;
  record.id = builder.id_;
  record.size = builder.size_;
  record.type_tag = builder.type_tag_;
  record.flags_or_count = builder.flags_;
  return record;
}

absl::StatusOr<ObjectId> Session::Seal(Builder& builder) {
  builder.session_ = nullptr;
  if (!submissions_->PushSeal(SealRecord(builder), builder.lease_.offset)) {
    return WhyUnusable();
  }
  return builder.id_;
}

absl::StatusOr<ObjectView> Session::SealToView(Builder& builder) {
  // Pinned before the seal is out: another's delete cannot free what we go on reading.
  const uint32_t slot = builder.lease_.slot;
  pins_.Pin(slot, Epoch());
  ObjectView view = ViewOfOwn(slot, {.id = builder.id_,
                                     .offset = builder.lease_.offset,
                                     .size = builder.size_,
                                     .metadata_size = builder.metadata_size_,
                                     .type_tag = builder.type_tag_});
  PENSTOCK_RETURN_IF_ERROR(Seal(builder).status());
  return view;
}

absl::StatusOr<std::vector<ObjectId>> Session::SealMany(std::span<Builder> builders) {
  std::vector<ObjectId> ids;
  std::vector<Submission> records;
  std::vector<uint64_t> offsets;
  for (Builder& builder : builders) {
    ids.push_back(builder.id_);
    records.push_back(SealRecord(builder));
    offsets.push_back(builder.lease_.offset);
    builder.session_ = nullptr;
  }
  if (!submissions_->PushMany(records, offsets, Bell::kRing)) return WhyUnusable();
  return ids;
}

absl::Status Session::Delete(const ObjectId& id) {
  if (read_only_) [[unlikely]] return ReadOnlyStatus(asked_for_read_only_);
  switch (submissions_->PushDeleteOfNewest(id)) {
    case SubmissionQueue::OwnDelete::kPushed: return absl::OkStatus();
    case SubmissionQueue::OwnDelete::kNotFound: break;
  }
  Submission record{};
  record.op = SubmissionOp::kDelete;
  record.id = id;  // should it leave memory before the daemon takes the record
  bool found = false;
  ForEachCandidate(index_, id.Hash(), [&](uint32_t slot) {
    const Slot& object = index_.slot(slot);
    const uint64_t before = object.state.load(std::memory_order_acquire);
    if (StateOf(before) != SlotState::kSealed || object.id != id) return false;
    // The generation makes it safe: should the slot be another's by now, nothing happens.
    record.slot = slot;
    record.generation = GenerationOf(before);
    FenceBeforeSecondLook();
    found = object.state.load(std::memory_order_relaxed) == before;
    return found;
  });
  if (!found) {
    // Our own seal, not taken yet: the delete follows it in the same ring.
    if (const auto own = submissions_->FindUnpublished(id)) {
      record.slot = own->slot;
      record.generation = own->generation;
      found = true;
    }
  }
  if (found) return submissions_->Push(record) ? absl::OkStatus() : WhyUnusable();
  record.op = SubmissionOp::kDeleteById;
  bool asked_again = false;
  PENSTOCK_ASSIGN_OR_RETURN(const Completion answer, Ask(record, kNever, &asked_again));
  // The daemon that died may have done it.
  if (asked_again && answer.code == AnswerCode::kNotFound) return absl::OkStatus();
  if (answer.code == AnswerCode::kNotFound) {
    return absl::NotFoundError(
        fmt::format("object {} is not here, so nothing was deleted", id.ToHex()));
  }
  return StatusOfAnswer(answer, id, 0);
}

}  // namespace penstock::internal
