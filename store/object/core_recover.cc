// Core: taking over the store of a daemon that died.
//
// What survives is the slot table, the lease table and every session's segments. The death
// fell between any two stores, so each slot is first brought to one of its states: what was
// being freed is freed (nobody pinned it, or it would not have been), what was being evicted
// or published is put back. Then come the lists, the allocator and the hash table; and last
// the rings, from the heads that were published: a record that the last daemon had handled
// already changes nothing, because its lease or generation is gone.
#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "store/base/check.h"
#include "store/base/crash_point.h"
#include "store/object/core.h"

namespace penstock {
namespace {

// No number of a sleep comes twice (SYNC S1), of no daemon.
constexpr int kSleepsPerDaemonShift = 40;
// Before every use that is known: an object of which nobody remembers the last.
constexpr uint64_t kLongAgo = uint64_t{1} << 30;

}  // namespace

RecoveryReport Core::Recover(std::span<const KeptSession> kept,
                             std::vector<SessionRow>& rows,
                             std::span<const uint32_t> copies) {
  RecoveryReport report;
  BeginAfterAnother();
  for (const KeptSession& session : kept) rows.push_back(KeepSession(session));
  uint32_t used_slots = 0;
  for (uint32_t slot = 0; slot < index_.capacity(); ++slot) {
    if (slots_.Word(slot) == 0 && leases_[slot].kind == LeaseKind::kNone) continue;
    SettleSlot(slot, report);
    used_slots = slot + 1;
  }
  PENSTOCK_CRASH_POINT(kRecoverSettled);
  fresh_slot_ = used_slots;
  RecoverAllocator(report);
  RecoverHash(report);
  for (uint32_t slot = used_slots; slot-- > 0;) {
    switch (slots_.State(slot)) {
      case SlotState::kFree: free_slots_.push_back(slot); break;
      case SlotState::kLeased: ListLease(slot); ++report.leases; break;
      default: ListObject(slot); ++report.objects;
    }
  }
  AdoptCopies(copies);
  PENSTOCK_CRASH_POINT(kRecoverListed);
  // Every row is known by now: what the rings ask for may be freed.
  for (const SessionRow row : rows) Drain(row);
  RetryDoomed();
  room_changed_ = true;
  PENSTOCK_CRASH_POINT(kRecoverDrained);
  return report;
}

// SYNC S4 hold: stored before any row is read. A client that was answered by the last daemon
// pins, then reads this: it sees that its hold is gone, or we see its pin.
uint32_t Core::BeginAfterAnother() {
  IndexHeader& header = index_.header();
  const uint32_t restarts = header.restarts.load(std::memory_order_relaxed) + 1;
  header.restarts.exchange(restarts, std::memory_order_seq_cst);
  parker_ = Parker(uint64_t{restarts} << kSleepsPerDaemonShift);
  Unpark();
  return restarts;
}

SessionRow Core::KeepSession(const KeptSession& kept) {
  const SessionRow row = NewRow(kept.segments, kept.number, kept.pid, kept.role);
  CoreSession& session = *sessions_[row];
  session.kept = true;
  session.segments.daemon->backlogged.store(0, std::memory_order_relaxed);
  if (session.segments.daemon->revoked.load(std::memory_order_relaxed) != 0) {
    session.broken = true;
    session.broken_why = "it broke the protocol before the daemon was started again";
    return row;
  }
  session.submissions.Resume();
  const std::optional<uint32_t> untaken = session.submissions.Available();
  if (!untaken || !session.completions.Resume()) {
    Break(row, "the positions of its rings are impossible");
    return row;
  }
  session.replay_until = session.submissions.head() + *untaken;
  return row;
}

// Brings a slot and its entry to one of their states, as if the store that the death cut off
// had been made, or had not been begun.
void Core::SettleSlot(uint32_t slot, RecoveryReport& report) {
  LeaseEntry& lease = leases_[slot];
  const bool has_block = lease.kind != LeaseKind::kNone && lease.session != 0;
  switch (slots_.State(slot)) {
    case SlotState::kFree:
      // Granted to nobody yet: the entry is written first.
      lease.session = 0;
      lease.kind = LeaseKind::kNone;
      return;
    case SlotState::kLeased:
      if (!has_block) break;
      lease.kind = LeaseKind::kLease;  // a seal comes again from its ring
      if (!IsPlausible(slot)) {
        ++report.dropped;
        return Discard(slot);
      }
      if (HasHeardOf(lease)) return;
      ++report.leases_returned;
      return Discard(slot);
    case SlotState::kEvicting:
    case SlotState::kSealed:
    case SlotState::kDeleted:
      if (!has_block) break;
      lease.kind = LeaseKind::kObject;
      lease.offset = slots_[slot].offset;  // an object that was moved: the slot is the truth
      if (!IsPlausible(slot)) {
        ++report.dropped;
        return Discard(slot);
      }
      if (slots_.State(slot) == SlotState::kEvicting) slots_.PutBack(slot);
      if (slots_.State(slot) == SlotState::kSealed) slots_.ForgetWanted(slot);
      return;
    default:
      ++report.dropped;
      return Discard(slot);
  }
  ++report.frees_finished;
  Discard(slot);
}

// A lease is its client's once the grant was published.
bool Core::HasHeardOf(const LeaseEntry& lease) const {
  const auto row = rows_by_number_.find(lease.session);
  if (row == rows_by_number_.end()) return false;
  const CoreSession& session = *sessions_[row->second];
  return lease.told_at < session.completions.tail() || session.broken;
}

bool Core::IsPlausible(uint32_t slot) const {
  const LeaseEntry& lease = leases_[slot];
  const uint64_t arena_bytes = index_.header().arena_bytes;
  if (lease.offset % 64 != 0 || lease.block_bytes == 0 || lease.block_bytes > arena_bytes ||
      BlockBytes(lease.block_bytes) != lease.block_bytes ||
      lease.offset > arena_bytes - lease.block_bytes) {
    return false;
  }
  if (lease.kind != LeaseKind::kObject) return true;
  const Slot& object = slots_[slot];
  return !object.id.IsNil() && object.size <= lease.block_bytes &&
         MetadataOffset(object.size) + object.metadata_size <= lease.block_bytes;
}

// Frees a slot that is in no list yet.
void Core::Discard(uint32_t slot) {
  leases_[slot].session = 0;
  leases_[slot].kind = LeaseKind::kNone;
  slots_.Free(slot);
}

// Blocks lie across extents that touch; extents overlap where LeaseSegment::RemoveExtent was
// cut off.
std::vector<ExtentEntry> Core::MergedExtents() const {
  std::vector<ExtentEntry> sorted(leases_.extents().begin(), leases_.extents().end());
  std::erase_if(sorted, [](const ExtentEntry& extent) { return extent.bytes == 0; });
  std::sort(sorted.begin(), sorted.end(),
            [](const ExtentEntry& a, const ExtentEntry& b) { return a.offset < b.offset; });
  std::vector<ExtentEntry> merged;
  for (const ExtentEntry& extent : sorted) {
    if (!merged.empty() && extent.offset <= merged.back().offset + merged.back().bytes) {
      const uint64_t end = extent.offset + extent.bytes;
      merged.back().bytes = std::max(merged.back().bytes, end - merged.back().offset);
    } else {
      merged.push_back(extent);
    }
  }
  return merged;
}

void Core::RecoverAllocator(RecoveryReport& report) {
  std::vector<uint32_t> used;
  for (uint32_t slot = 0; slot < fresh_slot_; ++slot) {
    if (leases_[slot].kind != LeaseKind::kNone) used.push_back(slot);
  }
  std::sort(used.begin(), used.end(), [this](uint32_t a, uint32_t b) {
    return leases_[a].offset < leases_[b].offset;
  });
  const std::vector<ExtentEntry> extents = MergedExtents();
  std::vector<Allocator::Block> blocks;
  size_t next = 0;
  for (const ExtentEntry& extent : extents) {
    blocks.clear();
    uint64_t at = extent.offset;
    const uint64_t end = extent.offset + extent.bytes;
    for (; next < used.size() && leases_[used[next]].offset < end; ++next) {
      const LeaseEntry& lease = leases_[used[next]];
      if (lease.offset < at || lease.offset + lease.block_bytes > end) {
        ++report.dropped;  // over another's block, or past what is populated
        Discard(used[next]);
        continue;
      }
      blocks.push_back({lease.offset, lease.block_bytes});
      at = lease.offset + lease.block_bytes;
    }
    allocator_.AddUsedExtent(extent.offset, extent.bytes, blocks);
  }
  for (; next < used.size(); ++next) {
    ++report.dropped;
    Discard(used[next]);
  }
}

// Words of what is not sealed any more go, and sealed objects that have none get one.
void Core::RecoverHash(RecoveryReport& report) {
  hash_.EraseUnless([this](uint32_t slot, uint32_t tag) {
    return slots_.State(slot) == SlotState::kSealed &&
           static_cast<uint32_t>(slots_[slot].id.Hash() >> 32) == tag;
  });
  for (uint32_t slot = 0; slot < fresh_slot_; ++slot) {
    if (slots_.State(slot) != SlotState::kSealed) continue;
    const uint64_t hash = slots_[slot].id.Hash();
    if (const auto twin = Find(slots_[slot].id); twin && *twin != slot) {
      ++report.dropped;
      hash_.Erase(hash, slot);
      allocator_.Free(leases_[slot].offset, leases_[slot].block_bytes);
      Discard(slot);
      continue;
    }
    if (!hash_.Contains(hash, slot)) List(slot);
  }
}

uint32_t Core::MakerOf(const LeaseEntry& lease) {
  if (const auto row = rows_by_number_.find(lease.session); row != rows_by_number_.end()) {
    return sessions_[row->second]->maker;
  }
  const auto [found, is_new] = departed_makers_.try_emplace(lease.session, 0);
  if (is_new) {
    found->second = NewMaker(lease.maker_pid, false);
    makers_[found->second].session = lease.session;
  }
  return found->second;
}

void Core::ListLease(uint32_t slot) {
  const LeaseEntry& lease = leases_[slot];
  CoreSession& session = *sessions_[rows_by_number_.at(lease.session)];
  session.leases.PushFront(infos_, slot);
  session.leased_bytes += lease.block_bytes;
  stats_.leased_bytes += lease.block_bytes;
  ++stats_.leases;
  if (lease.reserved_id.IsNil()) return;
  infos_[slot].reserved = true;
  reserved_[lease.reserved_id] = slot;
}

void Core::ListObject(uint32_t slot) {
  const LeaseEntry& lease = leases_[slot];
  SlotInfo& info = infos_[slot];
  info.maker = MakerOf(lease);
  CountObject(slot);
  if (slots_.State(slot) == SlotState::kDeleted) {
    doomed_.insert(slot);
    return;
  }
  const uint32_t flags = slots_[slot].flags;
  if ((flags & kSealEvictable) != 0) {
    info.epoch = Epoch() - kLongAgo;
    info.epoch = LastUse(slot);
    evictable_.Push(PriorityOf(flags), info.epoch, slot, slots_.Generation(slot));
    stats_.evictable_bytes += lease.block_bytes;
  }
  if ((flags & kSealSessionBound) == 0) return;
  const auto row = rows_by_number_.find(lease.session);
  if (row != rows_by_number_.end()) {
    sessions_[row->second]->bound_objects.PushFront(infos_, slot);
  } else {
    Delete(slot, AnswerCode::kDeleted);  // its session's end was cut off
  }
}

}  // namespace penstock
