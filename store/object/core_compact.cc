// Core: compaction. When a block would fit in the free bytes but in no free extent, sealed
// objects that nobody pins move away from the cheapest window of its size.
//
// One object's way: a block elsewhere; the copy, some bytes a turn (a sealed object cannot
// change); then SYNC S2: mark, look at the pin column and at the holds. Nobody: the slot's
// offset, the lease table's, the state, in this order, and only then is the old block free.
// Somebody: put back, and the copy is dropped. The generation stays, so whoever knows the
// object by slot and generation goes on knowing it.
//
// CRASH SAFETY: the daemon dies between any two of these stores. Before the slot's offset:
// the copy's block is in no table, so it is free memory to the next daemon. After it: the
// slot tells the truth, the lease table the block's size, and both blocks hold the same bytes.
#include <algorithm>

#include "store/base/check.h"
#include "store/base/crash_point.h"
#include "store/object/core.h"

namespace penstock {

namespace {

using Phase = Compaction::Phase;

// One look at the lease table's extents for each.
constexpr uint32_t kMostExtentsAtOnce = 256;

}  // namespace

// Whether moving objects may make a block of this size out of what is free.
bool Core::MayCompact(uint64_t block_bytes) const {
  const Compaction& c = compaction_;
  if (FreeSlots() == 0) return false;
  if (allocator_.free_bytes() + allocator_.reserved_bytes() < block_bytes) return false;
  if (c.failed_bytes == 0 || block_bytes < c.failed_bytes) return true;
  // Once a search was in vain: not before something has changed, and not for every little
  // change where a search is long.
  if (c.room_round < c.retry_round) return false;
  const uint64_t freed = stats_.freed - c.failed_freed;
  return freed == 0 || freed >= c.failed_blocks / 1024;
}

// The first in line was not served: begins to make room for it, if that is possible.
void Core::ConsiderCompaction() {
  Compaction& c = compaction_;
  if (c.phase != Phase::kIdle || room_waiters_.empty() || MemoryComesBack()) return;
  if (share_.has_more_to_flush) {
    room_changed_ = true;  // merging may be enough: the next turn looks
    return;
  }
  const RoomWaiter& first = FirstForRoom();
  if (IsOutOfReach(first.block_bytes) || !MayCompact(first.block_bytes)) return;
  c.row = first.row;
  c.session = first.session;
  c.request = first.request;
  c.block_bytes = first.block_bytes;
  c.window_bytes = first.block_bytes;
  if (IsSmallBlock(first.block_bytes)) {
    const uint64_t ample = std::min(kSmallBlocksWindow, allocator_.free_bytes() / 4 / 64 * 64);
    c.window_bytes = std::max(c.window_bytes, ample);
  }
  c.windows = 0;
  c.movable_bytes = ~uint64_t{0};
  c.phase = Phase::kListing;
}

// One turn's share. True if there was any.
bool Core::StepCompaction() {
  if (!IsCompacting()) return false;
  AbandonStaleCompaction();
  if (compaction_.phase == Phase::kListing) ListBlocks();
  if (compaction_.phase == Phase::kSearching) Search();
  if (compaction_.phase == Phase::kEmptying) EmptyWindow();
  return true;
}

// Once in the daemon's life: which block lies where. TakeLease and Relocate keep it up.
void Core::ListBlocks() {
  Compaction& c = compaction_;
  if (!c.listed) {
    if (!c.regions.active()) c.regions.Activate(stats_.arena_bytes, index_.capacity());
    const uint32_t until =
        c.listed_slots + std::min(fresh_slot_ - c.listed_slots, kSlotsListedPerTurn);
    for (; c.listed_slots < until; ++c.listed_slots) {
      const LeaseEntry& lease = leases_[c.listed_slots];
      if (lease.kind != LeaseKind::kNone) c.regions.Note(c.listed_slots, lease.offset);
    }
    if (c.listed_slots < fresh_slot_) return;
    c.listed = true;
  }
  StartSearch();
}

void Core::StartSearch() {
  Compaction& c = compaction_;
  c.search.emplace(c.window_bytes, BlockAlignment(c.block_bytes));
  c.seen_regions = 0;
  c.seen_blocks = 0;
  c.range_end = 0;
  c.pinned.clear();
  c.movable_bytes = std::min(c.movable_bytes, allocator_.LargestPlace());
  c.phase = Phase::kSearching;
}

void Core::Search() {
  Compaction& c = compaction_;
  const uint64_t regions = c.regions.size();
  for (uint64_t seen = 0; seen < kBlocksSeenPerTurn && c.seen_regions < regions;) {
    const uint64_t region = (c.first_region + c.seen_regions) % regions;
    if (region == 0 && c.range_end != 0) {  // from the arena's end to its beginning
      c.search->EndRange(c.range_end);
      c.range_end = 0;
    }
    FeedRegion(region);
    ++c.seen_regions;
    seen += c.blocks.size() + 1;
    c.seen_blocks += c.blocks.size();
    if (c.seen_blocks >= kBlocksSeenPerSearch && c.search->best()) break;
  }
  const bool enough = c.seen_blocks >= kBlocksSeenPerSearch && c.search->best();
  if (enough || c.seen_regions == regions) EndSearch();
}

// Shows the search the blocks that begin in a region, lowest first.
void Core::FeedRegion(uint64_t region) {
  Compaction& c = compaction_;
  c.blocks.clear();
  c.regions.ForEach(region, [&](uint32_t slot) {
    const LeaseEntry& lease = leases_[slot];
    if (lease.kind == LeaseKind::kNone || c.regions.RegionOf(lease.offset) != region) {
      return false;
    }
    c.blocks.push_back({slot, 0, lease.offset, lease.block_bytes});
    return true;
  });
  std::sort(c.blocks.begin(), c.blocks.end(),
            [](const Victim& a, const Victim& b) { return a.offset < b.offset; });
  const auto& ranges = allocator_.ranges();
  const auto enter = [&](uint64_t offset) {
    if (offset < c.range_end) return;
    if (c.range_end != 0) c.search->EndRange(c.range_end);
    const auto range = std::prev(ranges.upper_bound(offset));
    c.range_end = range->first + range->second;
    // From the middle of a range: what reaches into it from below is not known.
    if (range->first >= c.first_region * c.regions.region_bytes() || c.seen_regions > 0) {
      c.search->BeginRange(range->first);
    } else {
      c.search->Forget();
    }
  };
  for (const Victim& block : c.blocks) {
    enter(block.offset);
    c.search->AddBlock(block.offset, block.block_bytes, IsMovable(block.slot));
  }
}

// A hint: the pin that counts is looked for after the mark (Relocate).
bool Core::IsMovable(uint32_t slot) {
  Compaction& c = compaction_;
  const LeaseEntry& lease = leases_[slot];
  if (slots_.State(slot) != SlotState::kSealed || lease.block_bytes > c.movable_bytes) {
    return false;  // a lease, or deleted and pinned, or too large for every free extent
  }
  if (!IsInUse(slot)) return true;
  if (c.pinned.size() < kWantedPerSearch) c.pinned.push_back(slot);
  return false;
}

void Core::EndSearch() {
  Compaction& c = compaction_;
  if (c.range_end != 0) c.search->EndRange(c.range_end);
  const std::optional<WindowSearch::Window> best = c.search->best();
  c.first_region = (c.first_region + c.seen_regions) % c.regions.size();
  if (!best) {
    FailCompaction();
    return;
  }
  c.begin = best->begin;
  c.end = best->begin + c.window_bytes;
  c.next_region = c.regions.RegionOf(c.begin);
  c.victims.clear();
  allocator_.ReserveWindow(c.begin, c.end);
  c.phase = Phase::kEmptying;
}

void Core::EmptyWindow() {
  Compaction& c = compaction_;
  uint64_t budget_bytes = kCopiedBytesPerTurn;
  for (uint32_t seen = 0; seen < kBlocksSeenPerTurn && budget_bytes > 0; ++seen) {
    if (allocator_.reserved_bytes() == c.end - c.begin) {
      ReleaseWindow();
      c.phase = Phase::kIdle;
      c.failed_bytes = 0;
      ++stats_.compactions;
      // At once, before anybody else sees it.
      ServeRoomWaiters();
      return;
    }
    // Without a victim and not empty: something lies there that the search did not see.
    if (!c.victim && !NextVictim()) {
      TryAnotherWindow();
      return;
    }
    switch (MoveSome(budget_bytes)) {
      case Moved::kSome: case Moved::kDone: break;
      case Moved::kWaits: return;
      case Moved::kNoPlace:
        c.movable_bytes = c.victim->block_bytes - 1;
        [[fallthrough]];
      case Moved::kBlocked:
        TryAnotherWindow();
        return;
    }
  }
}

// The next object of the window that is still there.
bool Core::NextVictim() {
  Compaction& c = compaction_;
  while (!c.victims.empty() || CollectVictims()) {
    const Victim victim = c.victims.back();
    c.victims.pop_back();
    if (slots_.Generation(victim.slot) != victim.generation) continue;
    c.victim = victim;
    c.copied_bytes = 0;
    c.looks = 0;
    return true;
  }
  return false;
}

// The largest first, for which a place is hardest to find: if there is none, little was
// copied in vain.
bool Core::CollectVictims() {
  Compaction& c = compaction_;
  while (c.victims.size() < kBlocksSeenPerTurn &&
         c.next_region <= c.regions.RegionOf(c.end - 1)) {
    const uint64_t region = c.next_region++;
    c.regions.ForEach(region, [&](uint32_t slot) {
      const LeaseEntry& lease = leases_[slot];
      if (lease.kind == LeaseKind::kNone || c.regions.RegionOf(lease.offset) != region) {
        return false;
      }
      if (lease.offset < c.end && lease.offset + lease.block_bytes > c.begin) {
        c.victims.push_back({slot, slots_.Generation(slot), lease.offset, lease.block_bytes});
      }
      return true;
    });
  }
  std::sort(c.victims.begin(), c.victims.end(), [](const Victim& a, const Victim& b) {
    return a.block_bytes < b.block_bytes;
  });
  return !c.victims.empty();
}

// Copies up to `budget_bytes` of the object, and lets it move when all is copied.
Moved Core::MoveSome(uint64_t& budget_bytes) {
  Compaction& c = compaction_;
  const Victim& victim = *c.victim;
  if (slots_.Generation(victim.slot) != victim.generation) {
    DropCopy();  // deleted or evicted meanwhile
    return Moved::kDone;
  }
  // Deleted and pinned, or leased by now.
  if (slots_.State(victim.slot) != SlotState::kSealed) return Moved::kBlocked;
  if (!c.copy) {
    if (!IsMovable(victim.slot)) return Moved::kBlocked;
    c.copy = allocator_.Allocate(victim.block_bytes);
    if (!c.copy) return Moved::kNoPlace;
  }
  const Slot& object = slots_[victim.slot];
  const uint64_t used_bytes = object.metadata_size > 0
                                  ? MetadataOffset(object.size) + object.metadata_size
                                  : object.size;
  const uint64_t bytes = std::min(budget_bytes, used_bytes - c.copied_bytes);
  if (bytes > 0) {
    host_->CopyBlock(victim.offset + c.copied_bytes, *c.copy + c.copied_bytes, bytes);
    c.copied_bytes += bytes;
    budget_bytes -= bytes;
    stats_.moved_bytes += bytes;
  }
  if (c.copied_bytes < used_bytes) return Moved::kSome;
  if (Relocate()) return Moved::kDone;
  return ++c.looks < kLooksAtPinned ? Moved::kWaits : Moved::kBlocked;
}

// False: somebody pins it.
bool Core::Relocate() {
  Compaction& c = compaction_;
  const Victim victim = *c.victim;
  SlotInfo& info = infos_[victim.slot];
  // SYNC S2 pin/evict: the mark is a full fence before the look.
  slots_.MarkEvicting(victim.slot);
  PENSTOCK_CRASH_POINT(kMoveMarked);
  if (IsInUse(victim.slot)) {
    slots_.PutBack(victim.slot);
    if (info.wanted) AskForRelease(victim.slot);  // the mark has wiped it out
    return false;
  }
  info.wanted = false;
  ReturnToQueue(victim.slot);
  slots_.Move(victim.slot, *c.copy);
  PENSTOCK_CRASH_POINT(kMoveStored);
  leases_[victim.slot].offset = *c.copy;
  PENSTOCK_CRASH_POINT(kMoveRecorded);
  slots_.PutBack(victim.slot);
  c.regions.Note(victim.slot, *c.copy);
  c.copy.reset();
  c.victim.reset();
  allocator_.Free(victim.offset, victim.block_bytes);
  ++stats_.moved_objects;
  return true;
}

void Core::DropCopy() {
  Compaction& c = compaction_;
  if (c.copy) allocator_.Free(*c.copy, c.victim->block_bytes);
  c.copy.reset();
  c.victim.reset();
}

void Core::ReleaseWindow() {
  DropCopy();
  allocator_.ReleaseWindow();
  room_changed_ = true;
}

// Whoever it was for was served otherwise, has cancelled, or is gone.
void Core::AbandonStaleCompaction() {
  Compaction& c = compaction_;
  if (c.phase == Phase::kIdle) return;
  if (!room_waiters_.empty()) {
    const RoomWaiter& first = FirstForRoom();
    if (first.row == c.row && first.session == c.session && first.request == c.request) return;
  }
  if (c.phase == Phase::kEmptying) {
    ReleaseWindow();
    ++stats_.given_up;
  }
  c.phase = Phase::kIdle;
}

void Core::TryAnotherWindow() {
  Compaction& c = compaction_;
  ReleaseWindow();
  ++stats_.given_up;
  if (++c.windows < kWindowsPerRequest) {
    StartSearch();
  } else {
    FailCompaction();
  }
}

// No window now. Eviction may go on, and the next change of room is a reason to look again.
void Core::FailCompaction() {
  Compaction& c = compaction_;
  c.phase = Phase::kIdle;
  if (c.window_bytes > c.block_bytes) {
    c.window_bytes = c.block_bytes;  // more than needed is not to be had
    c.phase = Phase::kSearching;
    StartSearch();
    return;
  }
  c.failed_bytes = c.block_bytes;
  c.failed_freed = stats_.freed;
  c.failed_blocks = c.seen_blocks;
  c.retry_round = c.room_round + 2;  // the next one evicts
  room_changed_ = true;
  for (const uint32_t slot : c.pinned) {
    if (slots_.State(slot) == SlotState::kSealed) AskForRelease(slot);
  }
}

// SYNC S3: the last release of this object changes room.
void Core::AskForRelease(uint32_t slot) {
  if (!Want(slot)) return;
  ReturnToQueue(slot);
  compaction_.failed_bytes = 0;  // it went just now
  room_changed_ = true;
}

std::vector<Allocator::Extent> Core::TakeFreeExtents(uint64_t keep_bytes,
                                                     uint64_t alignment) {
  if (!limits_.memory_comes_back || !room_waiters_.empty()) return {};
  // Each may split one in two.
  const size_t most = std::min(kMostExtentsAtOnce, leases_.SpareExtents());
  std::vector<Allocator::Extent> taken =
      allocator_.TakeFreeExtents(alignment, keep_bytes, most);
  for (const Allocator::Extent& extent : taken) {
    leases_.RemoveExtent(extent.offset, extent.bytes);
  }
  return taken;
}

uint64_t Core::MemoryWanted() const {
  if (!WaitsForHost() || !somebody_waits_for_room()) return 0;
  return std::min(FirstForRoom().block_bytes, returned_bytes());
}

void Core::SetHostIsShort(bool is_short) {
  if (host_is_short_ == is_short) return;
  host_is_short_ = is_short;
  room_changed_ = true;
}

}  // namespace penstock
