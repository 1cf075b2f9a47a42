// Mapping a store's segments and reading them while their writer writes.
#include "tools/penstock/store_view.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "store/base/errors.h"
#include "store/shm/memory_file.h"
#include "store/shm/slot_table.h"

namespace penstock {
namespace {

constexpr int kMostLooks = 4;

absl::StatusOr<Mapping> MapForReading(UniqueFd fd) {
  PENSTOCK_ASSIGN_OR_RETURN(const MemoryFile file, MemoryFile::Adopt(std::move(fd), 1));
  return Mapping::Map(file.fd(), file.bytes(), Access::kReadOnly, OnFork::kInherit);
}

std::optional<BlockState> BlockStateOf(uint64_t word) {
  switch (StateOf(word)) {
    case SlotState::kLeased: return BlockState::kLeased;
    case SlotState::kSealed: return BlockState::kSealed;
    case SlotState::kEvicting: return BlockState::kEvicting;
    case SlotState::kDeleted: return BlockState::kDeleted;
    case SlotState::kFree: break;
  }
  return std::nullopt;
}

}  // namespace

const char* NameOf(BlockState state) {
  switch (state) {
    case BlockState::kLeased: return "leased";
    case BlockState::kSealed: return "sealed";
    case BlockState::kEvicting: return "evicting";
    case BlockState::kDeleted: return "deleted";
    case BlockState::kOnDisk: return "on disk";
  }
  return "unknown";
}

absl::StatusOr<StoreView> StoreView::Open(const std::string& dir, int patience_ms) {
  StoreView view;
  uint64_t after = 0;
  for (bool is_first = true;; is_first = false) {
    PENSTOCK_ASSIGN_OR_RETURN(WindowPage page, AskKeeper(dir, after, patience_ms));
    if (is_first) {
      view.keeper_ = page.facts;
      view.is_elsewhere_ = page.is_elsewhere;
      if (page.facts.has_store == 0) return view;
      PENSTOCK_RETURN_IF_ERROR(view.Attach(page));
    }
    for (const WindowPage::Session& session : page.sessions) {
      const auto place = static_cast<uint32_t>(view.sessions_.size());
      SessionLook& look = view.sessions_.emplace_back(
          LookAt(session, view.slots(), place, view.pins_));
      if (page.is_elsewhere) look.process = ProcessState::kUnknown;
      after = std::max(after, session.facts.number);
    }
    if (page.facts.has_more == 0 || page.sessions.empty()) break;
  }
  std::ranges::sort(view.pins_, {}, [](const PinLook& pin) {
    return std::tuple(pin.slot, pin.session);
  });
  return view;
}

absl::Status StoreView::Attach(const WindowPage& page) {
  const auto copy = [](const UniqueFd& fd) {
    return UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  };
  PENSTOCK_ASSIGN_OR_RETURN(index_mapping_, MapForReading(copy(page.index)));
  PENSTOCK_ASSIGN_OR_RETURN(index_, IndexSegment::Attach(index_mapping_.data(),
                                                         index_mapping_.bytes()));
  PENSTOCK_ASSIGN_OR_RETURN(lease_mapping_, MapForReading(copy(page.leases)));
  PENSTOCK_ASSIGN_OR_RETURN(leases_, LeaseSegment::Attach(lease_mapping_.data(),
                                                          lease_mapping_.bytes()));
  if (leases_.header().capacity != index_.capacity()) {
    return absl::InvalidArgumentError("the index and the lease table are not of one store");
  }
  PENSTOCK_ASSIGN_OR_RETURN(spill_mapping_, MapForReading(copy(page.spill_table)));
  PENSTOCK_ASSIGN_OR_RETURN(spill_table_, SpillTable::Attach(spill_mapping_.data(),
                                                             spill_mapping_.bytes()));
  ReadSpillTable();
  return absl::OkStatus();
}

void StoreView::ReadSpillTable() {
  for (SpillHandle next = 0; next < spill_table_.used(); ++next) {
    if (!spill_table_.IsLive(next)) continue;
    const SpillFacts facts = spill_table_.Facts(next);
    FenceBeforeSecondLook();
    if (!spill_table_.IsLive(next)) continue;
    spilled_.push_back(next);
    spilled_ids_.insert(facts.object.id);
    spilled_bytes_ += facts.stored_bytes;
  }
}

std::vector<ExtentEntry> StoreView::Extents() const {
  const auto known = leases_.extents();
  std::vector<ExtentEntry> extents;
  for (const ExtentEntry& entry : known.first(std::min<size_t>(known.size(), kMostExtents))) {
    const ExtentEntry extent = entry;
    if (extent.bytes == 0 || extent.offset > arena_bytes()) continue;
    extents.push_back({extent.offset, std::min(extent.bytes, arena_bytes() - extent.offset)});
  }
  std::ranges::sort(extents, {}, &ExtentEntry::offset);
  // A block may lie across two that touch.
  std::vector<ExtentEntry> merged;
  for (const ExtentEntry& extent : extents) {
    if (!merged.empty() && extent.offset <= merged.back().offset + merged.back().bytes) {
      ExtentEntry& last = merged.back();
      last.bytes = std::max(last.bytes, extent.offset + extent.bytes - last.offset);
    } else {
      merged.push_back(extent);
    }
  }
  return merged;
}

// False: the slot has no block.
bool StoreView::ReadSlot(uint32_t slot, BlockLook& block, uint64_t& generation) const {
  const Slot& object = index_.slot(slot);
  for (int look = 0; look < kMostLooks; ++look) {
    const uint64_t word = object.state.load(std::memory_order_acquire);
    generation = GenerationOf(word);
    const std::optional<BlockState> state = BlockStateOf(word);
    if (!state) return false;
    const LeaseEntry lease = leases_[slot];
    block = BlockLook{};
    block.state = *state;
    const bool is_lease = *state == BlockState::kLeased;
    if (is_lease) {
      block.id = lease.reserved_id;
    } else {
      block.id = object.id;
      block.size = object.size;
      block.metadata_size = object.metadata_size;
      block.type_tag = object.type_tag;
      block.flags = object.flags;
    }
    block.offset = lease.offset;
    block.block_bytes = lease.block_bytes;
    block.session = lease.session;
    block.maker_pid = lease.maker_pid;
    FenceBeforeSecondLook();
    const bool fits = lease.kind == (is_lease ? LeaseKind::kLease : LeaseKind::kObject) &&
                      lease.block_bytes <= arena_bytes() &&
                      lease.offset <= arena_bytes() - lease.block_bytes;
    if (fits && object.state.load(std::memory_order_relaxed) == word) return true;
    if (!fits) block.block_bytes = 0;
  }
  block.is_torn = true;
  return true;
}

StoreView::Totals StoreView::Visit(const std::function<void(const BlockLook&)>& visit) const {
  Totals totals;
  BlockLook block;
  absl::flat_hash_set<ObjectId> in_memory;
  auto pin = pins_.begin();
  for (uint32_t slot = 0; slot < slots(); ++slot) {
    uint64_t generation = 0;
    const bool has_block = ReadSlot(slot, block, generation);
    totals.generations += generation;
    while (pin != pins_.end() && pin->slot < slot) ++pin;
    if (!has_block) continue;
    const auto first = pin;
    while (pin != pins_.end() && pin->slot == slot) ++pin;
    block.pins = {first, pin};
    if (!spilled_ids_.empty() && block.state != BlockState::kLeased &&
        spilled_ids_.contains(block.id)) {
      block.is_on_disk = true;
      in_memory.insert(block.id);
    }
    if (block.is_torn) ++totals.torn;
    visit(block);
  }
  for (const SpillHandle handle : spilled_) {
    const SpillFacts facts = spill_table_.Facts(handle);
    if (in_memory.contains(facts.object.id)) continue;
    block = BlockLook{};
    block.state = BlockState::kOnDisk;
    block.is_on_disk = true;
    block.id = facts.object.id;
    block.size = facts.object.size;
    block.metadata_size = facts.object.metadata_size;
    block.type_tag = facts.object.type_tag;
    block.flags = facts.object.flags;
    block.session = facts.object.maker_session;
    block.maker_pid = facts.object.maker_pid;
    visit(block);
  }
  return totals;
}

}  // namespace penstock
