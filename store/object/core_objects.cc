// Core: publishing, finding, deleting and freeing objects.
#include <algorithm>
#include <array>

#include "store/base/check.h"
#include "store/base/crash_point.h"
#include "store/object/core.h"

namespace penstock {

std::optional<uint32_t> Core::Find(const ObjectId& id) const {
  std::optional<uint32_t> found;
  ForEachCandidate(index_, id.Hash(), [&](uint32_t slot) {
    if (slots_.State(slot) != SlotState::kSealed || slots_[slot].id != id) return false;
    found = slot;
    return true;
  });
  if (!found && !overflow_.empty()) {
    if (const auto it = overflow_.find(id); it != overflow_.end()) found = it->second;
  }
  return found;
}

namespace {

// Deletes of which one look at all rows finds the pins.
constexpr size_t kMostMarked = 256;
// With so few each delete is looked at by itself, and its block is free while it is in the caches.
constexpr size_t kFewSessions = 8;
// Half of them and more are gone: so there are never many more than twice as many as objects.
constexpr size_t kSweptForEach = 8;
// At one call of LookAgainAtKept, where there are few sessions.
constexpr size_t kMostLookedAtAgain = 1024;

ObjectFacts FactsOf(const Submission& seal, const LeaseEntry& lease) {
  return {seal.id, lease.offset, seal.size, seal.metadata_size, seal.type_tag,
          seal.flags_or_count};
}

}  // namespace

// Sealed or given back: it is none of the session's leases any more.
void Core::LeaveLeases(CoreSession& session, uint32_t slot) {
  const uint64_t block_bytes = leases_[slot].block_bytes;
  session.leases.Remove(infos_, slot);
  session.leased_bytes -= block_bytes;
  stats_.leased_bytes -= block_bytes;
  --stats_.leases;
  if (!infos_[slot].reserved) return;
  reserved_.erase(leases_[slot].reserved_id);
  infos_[slot].reserved = false;
}

void Core::Publish(SessionRow row, const Submission& record) {
  CoreSession& session = *sessions_[row];
  const uint32_t slot = record.slot;
  SlotInfo& info = infos_[slot];
  LeaseEntry& lease = leases_[slot];
  LeaveLeases(session, slot);
  lease.kind = LeaseKind::kObject;
  PENSTOCK_CRASH_POINT(kSealTurned);
  slots_.Publish(slot, FactsOf(record, lease));
  PENSTOCK_CRASH_POINT(kSealPublished);
  info.maker = session.maker;
  CountObject(slot);
  ++stats_.sealed;
  if (spill_ != nullptr) {
    CountSealedBytes(lease.block_bytes);
    info.epoch = Epoch();
    fruitless_looks_ = 0;
  }
  if ((record.flags_or_count & kSealEvictable) != 0) {
    info.epoch = EpochOfSeals();
    evictable_.Push(PriorityOf(record.flags_or_count), info.epoch, slot,
                    slots_.Generation(slot));
    stats_.evictable_bytes += lease.block_bytes;
    if (!room_waiters_.empty()) room_changed_ = true;  // it may be dropped for them
    if (evictable_.size() > 1024 && evictable_.size() / 2 > stats_.objects) {
      evictable_.Sweep(kSweptForEach, [this](const EvictionEntry& entry) {
        return slots_.State(entry.slot) == SlotState::kSealed &&
               slots_.Generation(entry.slot) == entry.generation;
      });
    }
  }
  if ((record.flags_or_count & kSealSessionBound) != 0) {
    session.bound_objects.PushFront(infos_, slot);
  }
  List(slot);
  PENSTOCK_CRASH_POINT(kSealListed);
  if (!waiters_.empty()) AnswerWaiters(record.id, slot);
  if (!subscriber_rows_.empty()) Announce(1, slot);
}

void Core::CountObject(uint32_t slot) {
  const uint64_t block_bytes = leases_[slot].block_bytes;
  Maker& maker = makers_[infos_[slot].maker];
  ++maker.objects;
  maker.bytes += block_bytes;
  stats_.object_bytes += block_bytes;
  ++stats_.objects;
  ++stats_.objects_of[PriorityOf(slots_[slot].flags)];
}

// A seal of an id that is taken. Its maker may read the bytes already (SealToView, or a get of
// what it sealed and we had not taken), so they stay until its last pin goes, like those of an
// object that was deleted.
void Core::DropUnpublished(SessionRow row, const Submission& record) {
  CoreSession& session = *sessions_[row];
  const uint32_t slot = record.slot;
  LeaveLeases(session, slot);
  leases_[slot].kind = LeaseKind::kObject;
  PENSTOCK_CRASH_POINT(kRefusalTurned);
  infos_[slot].maker = session.maker;
  // SYNC S2 pin/evict and S3 last release: the mark is a full fence before the look.
  slots_.PublishDeleted(slot, FactsOf(record, leases_[slot]));
  PENSTOCK_CRASH_POINT(kRefusalMarked);
  CountObject(slot);
  FreeLater(slot);
}

// Enters a sealed object where it is looked for.
void Core::List(uint32_t slot) {
  const ObjectId& id = slots_[slot].id;
  if (hash_.Insert(id.Hash(), slot)) return;
  overflow_[id] = slot;
  infos_[slot].overflow = true;
}

// In memory or on disk.
bool Core::Exists(const ObjectId& id) const {
  return Find(id).has_value() || (spill_ != nullptr && spilled_.contains(id));
}

// The one in the index's header, whose 32 bits a busy store counts through in hours, with the
// turns of that counter above it.
uint64_t Core::Epoch() {
  const uint32_t low = index_.header().epoch.load(std::memory_order_relaxed);
  epoch_ += low - static_cast<uint32_t>(epoch_);
  return epoch_;
}

// The epoch of what is sealed in this turn. It begins with the turn's first seal, so that
// a get before that seal counts as older and one after it as younger.
uint64_t Core::EpochOfSeals() {
  if (!sealed_evictable_) {
    sealed_evictable_ = true;
    AdvanceEpoch();
  }
  return Epoch();
}

void Core::AdvanceEpoch() {
  auto& epoch = index_.header().epoch;
  const uint32_t next = epoch.load(std::memory_order_relaxed) + 1;
  epoch.store(next != 0 ? next : 1, std::memory_order_relaxed);  // 0: never used
}

// Takes a sealed object out of everything that can find it.
void Core::Unlist(uint32_t slot) {
  const Slot& object = slots_[slot];
  SlotInfo& info = infos_[slot];
  if (info.overflow) {
    overflow_.erase(object.id);
    info.overflow = false;
  } else {
    PENSTOCK_CHECK(hash_.Erase(object.id.Hash(), slot)) << "slot " << slot << " not listed";
  }
  if ((object.flags & kSealEvictable) != 0) {
    stats_.evictable_bytes -= leases_[slot].block_bytes;
    if (!left_queue_.empty()) left_queue_.erase(slot);
  }
  if (info.in_list) {
    sessions_[rows_by_number_.at(leases_[slot].session)]->bound_objects.Remove(infos_, slot);
  }
}

// Its bytes are free after FreeMarked, which the caller calls before anything else may need them.
void Core::Delete(uint32_t slot, AnswerCode cause) {
  Unlist(slot);
  PENSTOCK_CRASH_POINT(kDeleteUnlisted);
  graves_.Bury(slots_[slot].id.Hash(), cause);
  if (const auto copy = TakeCopy(slot)) DropCopy(*copy);
  if (!subscriber_rows_.empty()) Announce(2, slot);
  ++stats_.deleted;
  // SYNC S2 pin/evict and S3 last release: the mark is a full fence before the look.
  slots_.MarkDeleted(slot);
  PENSTOCK_CRASH_POINT(kDeleteMarked);
  FreeLater(slot);
}

// Of a slot that was marked just now.
void Core::FreeLater(uint32_t slot) {
  if (columns_.size() <= kFewSessions) {
    if (IsInUse(slot)) {
      doomed_.insert(slot);
    } else {
      Free(slot);
    }
    return;
  }
  marked_.push_back({slot, slots_.Generation(slot)});
  if (marked_.size() >= kMostMarked) FreeMarked();
}

// One look at all rows for all that were deleted meanwhile: what a look costs is shared, and with
// thousands of sessions it is most of a delete. Where thousands of rows have touched the same
// pages, each slot costs a word of each: then a look is for as few as a turn's share allows, and
// the others stay for the next turn.
void Core::FreeMarked() {
  while (!marked_.empty() && share_.mark_words_left > 0) {
    const size_t most =
        std::clamp<size_t>(kPinWordsInATurn / (share_.words_for_a_look + 1), 1, kMostMarked);
    const size_t count = std::min(marked_.size(), most);
    std::array<SlotGeneration, kMostMarked> batch;
    std::copy_n(marked_.begin(), count, batch.begin());
    marked_.erase(marked_.begin(), marked_.begin() + static_cast<ptrdiff_t>(count));
    const size_t words = FreeMarked(std::span(batch).first(count));
    share_.words_for_a_look = words / count;
    share_.mark_words_left -= std::min(share_.mark_words_left, words);
  }
}

void Core::FreeAllMarked() {
  while (!marked_.empty()) {
    share_.mark_words_left = kPinWordsInATurn;
    FreeMarked();
  }
}

size_t Core::FreeMarked(std::span<const SlotGeneration> marked_slots) {
  std::array<SlotLook, kMostMarked> looks;
  size_t count = 0;
  for (const SlotGeneration& marked : marked_slots) {
    // Released meanwhile, and so freed?
    const uint64_t word = slots_.Word(marked.slot);
    if (StateOf(word) != SlotState::kDeleted || GenerationOf(word) != marked.generation) continue;
    if (infos_[marked.slot].holds > 0) {
      doomed_.insert(marked.slot);
    } else {
      looks[count++] = {.slot = marked.slot};
    }
  }
  const size_t words = columns_.LookForPins({looks.data(), count});
  for (size_t i = 0; i < count; ++i) {
    if (looks[i].is_pinned) {
      doomed_.insert(looks[i].slot);
    } else {
      Free(looks[i].slot);
    }
  }
  return words;
}

// The bytes may be used again from here on.
void Core::Free(uint32_t slot) {
  LeaseEntry& lease = leases_[slot];
  SlotInfo& info = infos_[slot];
  Maker& maker = makers_[info.maker];
  --maker.objects;
  maker.bytes -= lease.block_bytes;
  stats_.object_bytes -= lease.block_bytes;
  --stats_.objects;
  --stats_.objects_of[PriorityOf(slots_[slot].flags)];
  ++stats_.freed;
  if (!maker.live) ForgetMaker(info.maker);
  if (!doomed_.empty()) doomed_.erase(slot);
  lease.session = 0;
  lease.kind = LeaseKind::kNone;
  PENSTOCK_CRASH_POINT(kFreeCleared);
  allocator_.Free(lease.offset, lease.block_bytes);
  slots_.Free(slot);
  PENSTOCK_CRASH_POINT(kFreed);
  free_slots_.push_back(slot);
  room_changed_ = true;
}

// Pinned, or held for somebody who is about to pin it. After the mark (SYNC S2, S3).
bool Core::IsInUse(uint32_t slot) const {
  return infos_[slot].holds > 0 || IsPinned(slot);
}

uint64_t Core::LastUse(uint32_t slot) {
  return columns_.LastUse(slot, infos_[slot].epoch, Epoch());
}

void Core::DropHolds(SessionRow row, uint32_t slot, uint32_t count) {
  CoreSession& session = *sessions_[row];
  const auto held = session.holds.find(slot);
  held->second -= count;
  if (held->second == 0) session.holds.erase(held);
  SlotInfo& info = infos_[slot];
  info.holds -= count;
  if (info.wanted) {
    ReturnToQueue(slot);
    room_changed_ = true;
  }
  if (slots_.State(slot) == SlotState::kDeleted && !IsInUse(slot)) {
    Free(slot);
  }
}

// Of all rows: deleted objects that nobody pins any more are free now.
void Core::RetryDoomed() {
  for (const uint32_t slot : doomed_) marked_.push_back({slot, slots_.Generation(slot)});
  doomed_.clear();
  FreeAllMarked();
}

void Core::LookAgainAtKept() {
  const size_t most = std::max<size_t>(kMostLookedAtAgain / (1 + columns_.size() / 64), 64);
  auto slot = doomed_.lower_bound(look_again_at_doomed_);
  for (size_t left = most; slot != doomed_.end() && left > 0; --left) {
    marked_.push_back({*slot, slots_.Generation(*slot)});
    slot = doomed_.erase(slot);
  }
  look_again_at_doomed_ = slot == doomed_.end() ? 0 : *slot;
  FreeMarked();
  if (!somebody_waits_for_room()) return;
  auto entry = left_queue_.lower_bound(look_again_at_pinned_);
  for (size_t left = most; entry != left_queue_.end() && left > 0; --left) {
    evictable_.PushAgain(entry->second);
    entry = left_queue_.erase(entry);
    room_changed_ = true;
  }
  look_again_at_pinned_ = entry == left_queue_.end() ? 0 : entry->first;
  auto clean = left_clean_.lower_bound(look_again_at_clean_);
  for (size_t left = most; clean != left_clean_.end() && left > 0; --left) {
    const uint32_t kept = clean->first;
    ReturnToQueue(kept);
    room_changed_ = true;
    clean = left_clean_.upper_bound(kept);
  }
  look_again_at_clean_ = clean == left_clean_.end() ? 0 : clean->first;
}

void Core::ForgetMaker(uint32_t maker) {
  if (makers_[maker].live || makers_[maker].objects > 0) return;
  const auto departed = departed_makers_.find(makers_[maker].session);
  if (departed != departed_makers_.end() && departed->second == maker) {
    departed_makers_.erase(departed);
  }
  makers_[maker] = Maker{};
  free_makers_.push_back(maker);
}

CoreStats Core::Stats() const {
  CoreStats stats = stats_;
  stats.ready_bytes = allocator_.total_bytes();
  stats.free_bytes = allocator_.free_bytes() + allocator_.reserved_bytes();
  stats.doomed = doomed_.size();
  stats.sessions = open_rows_.size();
  stats.get_waiters = waiters_.size();
  stats.room_waiters = room_waiters_.size();
  stats.spilled_objects = spilled_.size();
  stats.clean_bytes = clean_bytes_;
  stats.writing_bytes = writing_bytes_;
  stats.restoring = restoring_.size();
  stats.spill_trouble = static_cast<uint64_t>(spill_trouble_);
  return stats;
}

void Core::CheckInvariants() const {
  allocator_.CheckInvariants();
  for (uint32_t maker = 0; maker < makers_.size(); ++maker) {
    const SessionRow row = makers_[maker].row;
    PENSTOCK_CHECK(!makers_[maker].live || (row < sessions_.size() && sessions_[row] != nullptr &&
                                            sessions_[row]->maker == maker))
        << "maker " << maker << " of row " << row;
  }
  uint64_t leased = 0, object_bytes = 0, objects = 0, free_slots = 0, clean = 0;
  std::array<uint64_t, kPriorities> objects_of = {};
  for (uint32_t slot = 0; slot < index_.capacity(); ++slot) {
    const LeaseEntry& lease = leases_[slot];
    switch (slots_.State(slot)) {
      case SlotState::kFree:
        PENSTOCK_CHECK(lease.kind == LeaseKind::kNone) << "free slot " << slot;
        ++free_slots;
        break;
      case SlotState::kLeased:
        PENSTOCK_CHECK(lease.kind == LeaseKind::kLease &&
                       (lease.session == kStoreSession ||
                        rows_by_number_.contains(lease.session)))
            << "leased slot " << slot << " of session " << lease.session;
        leased += lease.block_bytes;
        break;
      case SlotState::kSealed:
        PENSTOCK_CHECK(Find(slots_[slot].id) == slot) << "sealed slot " << slot;
        PENSTOCK_CHECK(!spilled_.contains(slots_[slot].id)) << "sealed slot " << slot;
        if (infos_[slot].has_copy()) clean += lease.block_bytes;
        [[fallthrough]];
      case SlotState::kDeleted:
        PENSTOCK_CHECK(lease.kind == LeaseKind::kObject) << "object slot " << slot;
        object_bytes += lease.block_bytes;
        ++objects;
        ++objects_of[PriorityOf(slots_[slot].flags)];
        break;
      case SlotState::kEvicting:
        PENSTOCK_CHECK(false) << "slot " << slot << " left half evicted";
    }
  }
  PENSTOCK_CHECK(leased == stats_.leased_bytes) << leased << " " << stats_.leased_bytes;
  PENSTOCK_CHECK(object_bytes == stats_.object_bytes && objects == stats_.objects)
      << object_bytes << " " << stats_.object_bytes;
  PENSTOCK_CHECK(objects_of == stats_.objects_of) << "objects by priority";
  PENSTOCK_CHECK(clean == clean_bytes_) << clean << " " << clean_bytes_;
  for (const SlotGeneration& marked : marked_) {
    PENSTOCK_CHECK(!doomed_.contains(marked.slot)) << "slot " << marked.slot << " marked twice";
  }
  for (const auto& [slot, entry] : left_queue_) {
    PENSTOCK_CHECK(slots_.State(slot) == SlotState::kSealed && infos_[slot].wanted &&
                   slots_.Generation(slot) == entry.generation)
        << "slot " << slot << " left the queue of eviction";
  }
  uint64_t extent_bytes = 0;
  for (const ExtentEntry& extent : MergedExtents()) extent_bytes += extent.bytes;
  PENSTOCK_CHECK(extent_bytes == allocator_.total_bytes())
      << extent_bytes << " in the table, " << allocator_.total_bytes();
  PENSTOCK_CHECK(free_slots == FreeSlots()) << free_slots;
  PENSTOCK_CHECK(allocator_.free_bytes() + allocator_.reserved_bytes() + leased +
                     object_bytes + compaction_.copy_block_bytes() ==
                 allocator_.total_bytes())
      << "bytes do not add up";
}

}  // namespace penstock
