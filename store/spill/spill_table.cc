// The words of the spill table.
#include "store/spill/spill_table.h"

#include <fmt/format.h>

#include "store/base/check.h"

namespace penstock {

SpillTable::SpillTable(std::byte* memory)
    : header_(reinterpret_cast<SpillTableHeader*>(memory)),
      entries_(reinterpret_cast<SpillEntry*>(memory + sizeof(SpillTableHeader))) {}

SpillTable SpillTable::Make(std::byte* memory, uint32_t capacity, uint64_t incarnation) {
  PENSTOCK_CHECK(reinterpret_cast<uintptr_t>(memory) % 64 == 0);
  PENSTOCK_CHECK(capacity > 0 && capacity <= uint32_t{1} << 31) << capacity;
  SpillTable table(memory);
  table.header_->version = kSpillTableVersion;
  table.header_->capacity = capacity;
  table.header_->incarnation = incarnation;
  table.header_->next_file = 1;
  std::atomic_ref(table.header_->magic).store(kSpillTableMagic, std::memory_order_release);
  return table;
}

absl::StatusOr<SpillTable> SpillTable::Attach(std::byte* memory, uint64_t bytes) {
  PENSTOCK_CHECK(reinterpret_cast<uintptr_t>(memory) % 64 == 0);
  if (bytes < sizeof(SpillTableHeader)) {
    return absl::FailedPreconditionError(fmt::format(
        "a spill table has at least {} bytes, this segment has {}: start with a new store",
        sizeof(SpillTableHeader), bytes));
  }
  SpillTable table(memory);
  const SpillTableHeader& header = *table.header_;
  if (header.magic != kSpillTableMagic || header.version != kSpillTableVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "the segment holds magic {:#x} and version {}, a spill table of this release {:#x} "
        "and {}: start with a new store, or with the release that made this one",
        header.magic, header.version, kSpillTableMagic, kSpillTableVersion));
  }
  if (header.capacity == 0 || BytesFor(header.capacity) > bytes) {
    return absl::FailedPreconditionError(fmt::format(
        "a spill table of {} entries has {} bytes, this segment has {}: start with a new store",
        header.capacity, BytesFor(header.capacity), bytes));
  }
  if (table.used() > header.capacity) {
    return absl::FailedPreconditionError(fmt::format(
        "a spill table of {} entries says that {} are used: start with a new store",
        header.capacity, table.used()));
  }
  return table;
}

SpillEntry& SpillTable::At(SpillHandle handle) const {
  PENSTOCK_CHECK(handle < header_->capacity) << "spill handle " << handle;
  return entries_[handle];
}

bool SpillTable::IsLive(SpillHandle handle) const {
  return At(handle).state.load(std::memory_order_acquire) == SpillEntryState::kLive;
}

SpillPlace SpillTable::Place(SpillHandle handle) const {
  return PlaceOf(At(handle).location.load(std::memory_order_acquire));
}

SpillFacts SpillTable::Facts(SpillHandle handle) const {
  const SpillEntry& entry = At(handle);
  return {{entry.id, entry.size, entry.metadata_size, entry.type_tag, entry.flags,
           entry.maker_session, entry.maker_pid, entry.origin},
          entry.stored_bytes, entry.checksum};
}

void SpillTable::Publish(SpillHandle handle, const SpillFacts& facts, SpillPlace place) {
  SpillEntry& entry = At(handle);
  PENSTOCK_CHECK(entry.state.load(std::memory_order_relaxed) == SpillEntryState::kFree);
  const SpilledObject& object = facts.object;
  entry.location.store(LocationWord(place), std::memory_order_relaxed);
  entry.id = object.id;
  entry.size = object.size;
  entry.stored_bytes = facts.stored_bytes;
  entry.checksum = facts.checksum;
  entry.maker_session = object.maker_session;
  entry.maker_pid = object.maker_pid;
  entry.origin = object.origin;
  entry.metadata_size = object.metadata_size;
  entry.type_tag = object.type_tag;
  entry.flags = object.flags;
  if (handle >= used()) header_->used.store(handle + 1, std::memory_order_release);
  entry.state.store(SpillEntryState::kLive, std::memory_order_release);
}

void SpillTable::Move(SpillHandle handle, SpillPlace to) {
  At(handle).location.store(LocationWord(to), std::memory_order_release);
}

void SpillTable::End(SpillHandle handle) {
  PENSTOCK_CHECK(IsLive(handle)) << "spill handle " << handle << " was dropped before";
  At(handle).state.store(SpillEntryState::kEnded, std::memory_order_release);
}

void SpillTable::Free(SpillHandle handle) {
  At(handle).state.store(SpillEntryState::kFree, std::memory_order_release);
}

void SpillTable::Visit(
    const std::function<void(SpillHandle, const SpillFacts&)>& visit) const {
  for (SpillHandle handle = 0; handle < used(); ++handle) {
    if (IsLive(handle)) visit(handle, Facts(handle));
  }
}

}  // namespace penstock
