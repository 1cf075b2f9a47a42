// Core: objects on disk. What goes there when, and how it comes back.
//
// An object is written while it is in memory and anybody may read it: it cannot change.
// Once its copy is on disk it is *clean*, and costs nothing to drop: mark, read the pins
// (SYNC S2), free. So writing goes ahead of need, from a watermark on, and a creator that
// waits finds clean objects. Objects that come back keep their copy and are clean at once.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "store/base/check.h"
#include "store/base/crash_point.h"
#include "store/object/core.h"

namespace penstock {
namespace {

// Of the arena's bytes that are free or can be had without a write, this part is kept.
constexpr uint64_t kWatermarkPart = 8;
// Bytes under way to disk: enough to keep it busy, little enough to choose well.
constexpr uint64_t kMostWriting = 256 * kMiB;
// One choice: the oldest of this many candidates, found in this many slots at most.
constexpr size_t kSample = 64;
constexpr uint32_t kMostLooks = 1 << 12;
// Once a sample is full, and there are objects of a lower priority: so many slots more.
constexpr uint32_t kLooksForLower = 1024;
// A get leaves the epoch of its time in its pin word: so many epochs fit into one turnover
// of the arena. More would make gets touch their epoch words more often.
constexpr uint64_t kEpochsPerTurnover = 64;
// Clean objects that one look at the pin columns may cover.
constexpr size_t kCleanBatch = 16;

}  // namespace

void Core::EnableSpill(SpillHost* spill) { spill_ = spill; }

// An id may name one object after another; slot and generation tell them apart.
uint64_t Core::OriginOf(uint32_t slot) const {
  return (slots_.Generation(slot) << 28) | slot;
}

// What a daemon that died had on disk. Before anything is freed: an object that was deleted
// while it was being written leaves a copy behind, and only its slot still knows.
void Core::AdoptCopies(std::span<const uint32_t> copies) {
  if (copies.empty()) return;
  absl::flat_hash_set<uint64_t> deleted;
  for (const uint32_t slot : doomed_) deleted.insert(OriginOf(slot));
  for (const uint32_t copy : copies) {
    const SpilledFacts facts = spill_->SpillFacts(copy);
    const std::optional<uint32_t> slot = Find(facts.id);
    if (slot && OriginOf(*slot) == facts.origin && !infos_[*slot].has_copy()) {
      AddClean(*slot, copy);
    } else if (slot || deleted.contains(facts.origin) ||
               !spilled_.try_emplace(facts.id, copy).second) {
      spill_->SpillDrop(copy);  // what is in memory is the object
    }
  }
}

// Sealed bytes make time pass.
void Core::CountSealedBytes(uint64_t bytes) {
  sealed_bytes_ += bytes;
  if (sealed_bytes_ < allocator_.total_bytes() / kEpochsPerTurnover) return;
  sealed_bytes_ = 0;
  AdvanceEpoch();
}

void Core::AddClean(uint32_t slot, uint32_t copy) {
  infos_[slot].copy_plus_one = copy + 1;
  clean_bytes_ += leases_[slot].block_bytes;
  clean_[PriorityOf(slots_[slot].flags)].push_back(
      {slot, slots_.Generation(slot), infos_[slot].epoch});
}

// The copy of an object in memory is not needed, or goes on alone.
std::optional<uint32_t> Core::TakeCopy(uint32_t slot) {
  if (!infos_[slot].has_copy()) return std::nullopt;
  clean_bytes_ -= leases_[slot].block_bytes;
  if (!left_clean_.empty()) left_clean_.erase(slot);
  return std::exchange(infos_[slot].copy_plus_one, 0) - 1;
}

// Drops clean objects that nobody pins, those of lower priority first. True if anything was
// freed.
bool Core::DropClean(uint64_t block_bytes) {
  uint64_t freed = 0;
  for (std::deque<CleanCopy>& queue : clean_) {
    if (freed < block_bytes) freed += DropCleanOf(queue, block_bytes - freed);
  }
  return freed > 0;
}

// Of one priority, those unused since they were last looked at first. The bytes freed. As of
// evictable objects (EvictFor), a look at all rows serves several, what is pinned leaves the queue
// and is wanted, and what is left to look at when a turn's share is spent waits for the next one.
uint64_t Core::DropCleanOf(std::deque<CleanCopy>& queue, uint64_t block_bytes) {
  uint64_t freed = 0;
  // Two rounds: in the first one that was used since gets a second chance.
  for (size_t most = 2 * queue.size(); most > 0 && freed < block_bytes && !queue.empty() &&
                                       share_.eviction_looks_left > 0;) {
    const size_t looks_before = share_.eviction_looks_left;
    const std::vector<CleanCopy> batch = UnusedClean(queue, block_bytes - freed);
    most -= std::min(most, looks_before - share_.eviction_looks_left);
    // SYNC S2 pin/evict: mark a batch, then one pass over the pin rows.
    std::vector<SlotLook> looks;
    for (const CleanCopy& item : batch) {
      slots_.MarkEvicting(item.slot);
      infos_[item.slot].wanted = false;
      looks.push_back({.slot = item.slot});
    }
    columns_.LookForPins(looks);
    std::vector<SlotLook> pinned;
    for (const CleanCopy& item : batch) {
      if (infos_[item.slot].holds > 0 || LookAt(looks, item.slot).is_pinned) {
        left_clean_.emplace(item.slot, item);
        pinned.push_back({.slot = item.slot});
      } else {
        freed += leases_[item.slot].block_bytes;
        DropClean(item);
      }
    }
    PutBackWanted(pinned);
  }
  return freed;
}

// The next ones of the queue; one that was used since goes to its end. May come back with none.
std::vector<CleanCopy> Core::UnusedClean(std::deque<CleanCopy>& queue, uint64_t wanted_bytes) {
  std::vector<CleanCopy> items;
  std::vector<SlotLook> looks;
  uint64_t bytes = 0;
  while (!queue.empty() && share_.eviction_looks_left > 0 && items.size() < kCleanBatch &&
         bytes < wanted_bytes) {
    const CleanCopy item = queue.front();
    queue.pop_front();
    --share_.eviction_looks_left;
    const uint64_t word = slots_.Word(item.slot);
    if (StateOf(word) != SlotState::kSealed || GenerationOf(word) != item.generation ||
        !infos_[item.slot].has_copy()) {
      continue;
    }
    bytes += leases_[item.slot].block_bytes;
    items.push_back(item);
    looks.push_back({.slot = item.slot, .last_use = infos_[item.slot].epoch});
  }
  columns_.LookForUses(looks, Epoch());
  std::erase_if(items, [&](CleanCopy item) {
    const uint64_t last_use = LookAt(looks, item.slot).last_use;
    if (last_use == item.epoch) return false;
    item.epoch = infos_[item.slot].epoch = last_use;
    queue.push_back(item);
    return true;
  });
  return items;
}

void Core::DropClean(const CleanCopy& item) {
  spilled_[slots_[item.slot].id] = *TakeCopy(item.slot);
  ++stats_.spilled;
  Unlist(item.slot);
  Free(item.slot);
  PENSTOCK_CRASH_POINT(kCleanDropped);
}

// SYNC S3: its last release tells us. True: it went just now.
bool Core::Want(uint32_t slot) {
  slots_.MarkWanted(slot);
  infos_[slot].wanted = true;
  return !IsInUse(slot);
}

bool Core::MayBeWritten(uint32_t slot) const {
  const SlotInfo& info = infos_[slot];
  return slots_.State(slot) == SlotState::kSealed && !info.has_copy() && info.holds == 0 &&
         (slots_[slot].flags & (kSealEvictable | kSealSessionBound)) == 0;
}

// What may be written next: of the lowest priority that was found, what was used longest ago
// first, as far as a sample tells.
std::vector<SpillCandidate> Core::SampleForSpill() {
  std::array<std::vector<SlotLook>, kPriorities> found;
  uint32_t lowest = 0;  // of which there is any object
  while (lowest + 1 < kPriorities && stats_.objects_of[lowest] == 0) ++lowest;
  uint32_t most_looks = std::min(kMostLooks, fresh_slot_);
  for (uint32_t looks = 0; looks < most_looks && fruitless_looks_ <= fresh_slot_; ++looks) {
    hand_ = hand_ + 1 < fresh_slot_ ? hand_ + 1 : 0;
    ++fruitless_looks_;
    if (!MayBeWritten(hand_)) continue;
    const uint32_t priority = PriorityOf(slots_[hand_].flags);
    if (found[priority].size() >= kSample) continue;
    found[priority].push_back({.slot = hand_, .last_use = infos_[hand_].epoch});
    if (found[priority].size() < kSample) continue;
    if (priority <= lowest) break;
    most_looks = std::min(most_looks, looks + kLooksForLower);
  }
  for (std::vector<SlotLook>& sample : found) {
    columns_.LookForPins(sample);
    // If somebody waits for room, the last release of one that is pinned will tell.
    std::erase_if(sample, [this](const SlotLook& look) {
      return look.is_pinned && (room_waiters_.empty() || !Want(look.slot));
    });
    if (sample.empty()) continue;
    fruitless_looks_ = 0;
    const uint64_t now = Epoch();
    columns_.LookForUses(sample, now);
    std::vector<SpillCandidate> candidates;
    for (const SlotLook& look : sample) {
      infos_[look.slot].epoch = look.last_use;
      candidates.push_back({now - std::min(now, look.last_use), look.slot});
    }
    std::stable_sort(
        candidates.begin(), candidates.end(),
        [](const SpillCandidate& a, const SpillCandidate& b) { return a.age > b.age; });
    return candidates;
  }
  return {};
}

// Starts writing about `bytes`.
void Core::StartSpill(uint64_t bytes) {
  if (spill_ == nullptr || spill_stopped_ || fresh_slot_ == 0) return;
  if (writing_bytes_ >= kMostWriting) return;  // what is written by then changes room
  uint64_t started = 0;
  for (const SpillCandidate& candidate : SampleForSpill()) {
    if (started >= bytes || writing_bytes_ >= kMostWriting) break;
    started += leases_[candidate.slot].block_bytes;
    WriteOut(candidate.slot);
  }
  // Not all slots were looked at yet: in the next turn, if somebody still waits.
  if (started == 0 && fruitless_looks_ <= fresh_slot_) room_changed_ = true;
}

void Core::WriteOut(uint32_t slot) {
  const Slot& object = slots_[slot];
  const LeaseEntry& lease = leases_[slot];
  const uint64_t ticket = next_ticket_++;
  // Held like an object that somebody is about to pin: neither freed nor moved.
  ++infos_[slot].holds;
  writing_bytes_ += lease.block_bytes;
  spill_jobs_[ticket] = {slot, object.id};
  spill_->SpillWrite(ticket,
                     {.id = object.id, .size = object.size,
                      .stored_bytes = MetadataOffset(object.size) + object.metadata_size,
                      .metadata_size = object.metadata_size, .type_tag = object.type_tag,
                      .flags = object.flags, .maker_session = lease.session,
                      .maker_pid = lease.maker_pid, .origin = OriginOf(slot)},
                     object.offset);
  PENSTOCK_CRASH_POINT(kSpillAsked);
}

// Ahead of need.
void Core::SpillAhead() {
  const uint64_t kept = allocator_.total_bytes() / kWatermarkPart;
  uint64_t at_hand = allocator_.free_bytes() + clean_bytes_ + writing_bytes_;
  if (MemoryComesBack()) at_hand += returned_bytes();
  if (!population_done_ || at_hand >= kept) return;
  StartSpill(kept - at_hand);
}

void Core::SpillWritten(const SpillOutcome& outcome) {
  const auto job = spill_jobs_.find(outcome.ticket);
  PENSTOCK_CHECK(job != spill_jobs_.end()) << "ticket " << outcome.ticket;
  const uint32_t slot = job->second.slot;
  spill_jobs_.erase(job);
  writing_bytes_ -= leases_[slot].block_bytes;
  --infos_[slot].holds;
  room_changed_ = true;
  const bool is_deleted = slots_.State(slot) == SlotState::kDeleted;
  if (outcome.trouble != SpillTrouble::kNone) {
    spill_stopped_ = true;
    spill_trouble_ = outcome.trouble;
    ++stats_.spill_failed_writes;
  } else if (is_deleted) {
    spill_->SpillDrop(outcome.copy);
  } else {
    spill_trouble_ = SpillTrouble::kNone;
    AddClean(slot, outcome.copy);
    ++stats_.spill_written;
    PENSTOCK_CRASH_POINT(kSpillWritten);
  }
  if (is_deleted && !IsInUse(slot)) Free(slot);
}

void Core::RetrySpill() {
  if (!spill_stopped_) return;
  spill_stopped_ = false;
  room_changed_ = true;
}

// A get of an object on disk: it waits like for a seal, and room is made like for a creator.
void Core::WaitForRestore(SessionRow row, const Submission& record) {
  WaitForSeal(row, record);
  if (restoring_.contains(record.id)) return;
  const uint64_t ticket = ++last_ticket_;
  restoring_[record.id] = {.ticket = ticket};
  const SpilledFacts facts = spill_->SpillFacts(spilled_.at(record.id));
  Enqueue({kStoreRow, kStoreSession, 0, BlockBytes(facts.stored_bytes), false, record.id, ticket});
}

// Nobody waits for it any more, and no read of it has begun.
void Core::ForgetRestore(const ObjectId& id) {
  const auto found = restoring_.find(id);
  if (found == restoring_.end() || found->second.slot != kNoSlot) return;
  room_waiters_.erase(found->second.ticket);
  restoring_.erase(found);
}

// True: the read has begun.
bool Core::ServeRestore(const RoomWaiter& waiter, Evicting evicting) {
  std::optional<uint32_t> slot = TakeBlock(waiter.block_bytes, kStoreSession, 0);
  while (!slot) {
    // As for a creator (TakeLeaseEvicting).
    if (evicting == Evicting::kNo) return false;
    if (WaitsForHost() || IsOutOfReach(waiter.block_bytes)) return false;
    if (FlushesFor(waiter.block_bytes)) return false;
    if (!IsSmallBlock(waiter.block_bytes) && MayCompact(waiter.block_bytes)) return false;
    if (!EvictFor(waiter.block_bytes)) return false;
    compaction_.failed_bytes = 0;
    slot = TakeBlock(waiter.block_bytes, kStoreSession, 0);
  }
  stats_.leased_bytes += waiter.block_bytes;
  ++stats_.leases;
  restoring_[waiter.id].slot = *slot;
  const uint64_t ticket = next_ticket_++;
  spill_jobs_[ticket] = {*slot, waiter.id};
  const uint32_t copy = spilled_.at(waiter.id);
  spill_->SpillRead(ticket, copy, spill_->SpillFacts(copy).stored_bytes,
                    leases_[*slot].offset);
  PENSTOCK_CRASH_POINT(kRestoreAsked);
  return true;
}

void Core::SpillRead(const SpillOutcome& outcome) {
  const auto job = spill_jobs_.find(outcome.ticket);
  PENSTOCK_CHECK(job != spill_jobs_.end()) << "ticket " << outcome.ticket;
  const auto [slot, id] = job->second;
  spill_jobs_.erase(job);
  stats_.leased_bytes -= leases_[slot].block_bytes;
  --stats_.leases;
  room_changed_ = true;
  const auto restoring = restoring_.find(id);
  // Deleted meanwhile, and perhaps made again and spilled again: not this read's business.
  const bool is_wanted = restoring != restoring_.end() && restoring->second.slot == slot;
  if (is_wanted) restoring_.erase(restoring);
  if (is_wanted && outcome.trouble == SpillTrouble::kNone) {
    ++stats_.restored;
    PublishRestored(slot, id);
    return;
  }
  FreeBlock(slot);
  if (!is_wanted) return;
  ++stats_.spill_failed_reads;
  Completion refusal{};
  refusal.op = CompletionOp::kAnswer;
  refusal.code = AnswerCode::kSpillLost;
  refusal.detail[0] = static_cast<uint64_t>(outcome.trouble);
  refusal.detail[1] = outcome.file;
  refusal.detail[2] = static_cast<uint64_t>(outcome.error_number);
  RefuseWaiters(id, refusal);
}

void Core::PublishRestored(uint32_t slot, const ObjectId& id) {
  const auto on_disk = spilled_.find(id);
  const uint32_t copy = on_disk->second;
  spilled_.erase(on_disk);
  const SpilledFacts facts = spill_->SpillFacts(copy);
  LeaseEntry& lease = leases_[slot];
  lease.maker_pid = facts.maker_pid;
  lease.session = facts.maker_session;
  lease.kind = LeaseKind::kObject;
  PENSTOCK_CRASH_POINT(kRestoreTurned);
  slots_.Publish(slot, ObjectFacts{facts.id, lease.offset, facts.size, facts.metadata_size,
                                   facts.type_tag, facts.flags});
  PENSTOCK_CRASH_POINT(kRestorePublished);
  SlotInfo& info = infos_[slot];
  info.maker = MakerOf(lease);
  info.epoch = Epoch();
  CountObject(slot);
  List(slot);
  AddClean(slot, copy);
  AnswerWaiters(id, slot);
  if (!sweeps_.empty() && IsSwept(facts.maker_session)) {
    Delete(slot, AnswerCode::kDeleted);
    FreeMarked();
  }
}

void Core::DeleteSpilled(const ObjectId& id) {
  const auto found = spilled_.find(id);
  const uint32_t copy = found->second;
  spilled_.erase(found);
  ForgetRestore(id);
  restoring_.erase(id);  // a read under way ends for nobody
  graves_.Bury(id.Hash(), AnswerCode::kDeleted);
  ++stats_.deleted;
  DropCopy(copy);
  RefuseWaiters(id, AnswerCode::kDeleted);
}

void Core::DropCopy(uint32_t copy) {
  spill_->SpillDrop(copy);
  RetrySpill();  // a full disk has room again
}

}  // namespace penstock
