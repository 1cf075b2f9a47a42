// Adding up a store.
#include "tools/penstock/store_summary.h"

#include <algorithm>
#include <bit>

#include "absl/container/flat_hash_map.h"

namespace penstock {
namespace {

struct Range {
  uint64_t begin;
  uint64_t end;
};

// What lies between the blocks. Blocks of a snapshot in motion may overlap.
void AddFree(const StoreView& view, std::vector<Range> used, StoreSums& sums) {
  std::ranges::sort(used, {}, &Range::begin);
  auto block = used.begin();
  uint64_t at = 0;
  const auto add = [&](uint64_t end) {
    if (end <= at) return;
    ++sums.free_ranges;
    sums.free_bytes += end - at;
    sums.largest_free_bytes = std::max(sums.largest_free_bytes, end - at);
  };
  for (const ExtentEntry& extent : view.Extents()) {
    const uint64_t end = extent.offset + extent.bytes;
    ++sums.extents;
    sums.populated_bytes += extent.bytes;
    at = std::max(at, extent.offset);
    for (; block != used.end() && block->begin < end; ++block) {
      add(std::min(block->begin, end));
      at = std::max(at, block->end);
    }
    add(end);
    at = std::max(at, end);
  }
}

Tally& TallyOf(BlockState state, StoreSums& sums) {
  switch (state) {
    case BlockState::kLeased: return sums.leased;
    case BlockState::kEvicting: return sums.evicting;
    case BlockState::kDeleted: return sums.deleted;
    default: return sums.sealed;
  }
}

}  // namespace

StoreSums SumUp(const StoreView& view) {
  StoreSums sums;
  if (!view.has_store()) return sums;
  sums.arena_bytes = view.arena_bytes();
  sums.on_disk = view.on_disk();
  sums.clients.resize(view.sessions().size());
  absl::flat_hash_map<uint64_t, uint32_t> places;
  for (uint32_t i = 0; i < view.sessions().size(); ++i) places[view.sessions()[i].number] = i;
  std::vector<Range> used;
  const StoreView::Totals totals = view.Visit([&](const BlockLook& block) {
    if (block.state == BlockState::kOnDisk) return;
    const uint64_t bytes = block.block_bytes;
    const bool is_lease = block.state == BlockState::kLeased;
    TallyOf(block.state, sums).Add(bytes);
    if (bytes > 0) used.push_back({block.offset, block.offset + bytes});
    SizeSums& size = sums.by_size[std::bit_ceil(bytes)];
    (is_lease ? size.leases : size.objects).Add(bytes);
    if (!is_lease) size.wanted_bytes += block.size + block.metadata_size;
    if (block.is_on_disk) sums.on_disk_too.Add(bytes);
    if (!block.pins.empty()) sums.pinned.Add(bytes);
    if (block.state == BlockState::kSealed && (block.flags & kSealEvictable) != 0) {
      sums.evictable.Add(bytes);
    }
    if (const auto place = places.find(block.session); place != places.end()) {
      ClientSums& client = sums.clients[place->second];
      (is_lease ? client.leases : client.objects).Add(bytes);
    } else if (!is_lease) {
      sums.of_ended_sessions.Add(bytes);
    }
    for (const PinLook& pin : block.pins) {
      sums.clients[pin.session].pinned.Add(bytes);
      sums.clients[pin.session].pins += pin.count;
    }
  });
  sums.torn = totals.torn;
  sums.generations = totals.generations;
  AddFree(view, std::move(used), sums);
  return sums;
}

}  // namespace penstock
