// BlockRegions: which slots have a block that begins in each 2 MiB of the arena. Compaction
// asks for them in the order of addresses; nobody else needs that order.
//
// The price falls on compaction and not on creates and deletes: nothing is kept until it is
// first needed, a slot that gets a block in the region it is listed in costs one comparison,
// and an entry that is out of date stays until somebody looks.
//
// Invariants
//   1. Once active, a slot with a block is listed in the region where its block begins, if
//      Note was called for it.
//   2. A region's list is at most about twice as long as the slots listed in it.
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_OBJECT_BLOCK_REGIONS_H_
#define PENSTOCK_STORE_OBJECT_BLOCK_REGIONS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "store/base/units.h"

namespace penstock {

class BlockRegions {
 public:
  static constexpr uint64_t kRegionBytes = 2 * kMiB;
  static uint64_t RegionOf(uint64_t offset) { return offset / kRegionBytes; }

  bool active() const { return !regions_.empty(); }
  uint64_t size() const { return regions_.size(); }
  void Activate(uint64_t arena_bytes, uint32_t slots) {
    regions_.resize(RegionOf(arena_bytes + kRegionBytes - 1));
    listed_.resize(slots);
  }

  // The slot's block begins at `offset` from now on.
  void Note(uint32_t slot, uint64_t offset) {
    if (!active()) return;
    const uint64_t region = RegionOf(offset);
    if (listed_[slot] == region + 1) return;
    listed_[slot] = static_cast<uint32_t>(region + 1);
    Region& list = regions_[region];
    if (list.slots.size() >= list.limit) Prune(region);
    list.slots.push_back(slot);
  }

  // Calls visit(slot) for each slot listed in the region, once. It returns whether the slot
  // still has a block there; if not, it is listed no more.
  template <typename Visit>
  void ForEach(uint64_t region, Visit&& visit) {
    Prune(region);
    std::erase_if(regions_[region].slots, [&](uint32_t slot) {
      if (visit(slot)) return false;
      listed_[slot] = 0;
      return true;
    });
  }
  // Entries of the region, those out of date as well.
  size_t EntriesIn(uint64_t region) const { return regions_[region].slots.size(); }

 private:
  struct Region {
    std::vector<uint32_t> slots;
    size_t limit = 64;
  };

  void Prune(uint64_t region) {
    std::vector<uint32_t>& slots = regions_[region].slots;
    std::erase_if(slots, [&](uint32_t slot) { return listed_[slot] != region + 1; });
    // Listed here, then elsewhere, then here again.
    std::sort(slots.begin(), slots.end());
    slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
    regions_[region].limit = 2 * slots.size() + 64;
  }

  std::vector<Region> regions_;
  std::vector<uint32_t> listed_;  // by slot: region + 1, or 0
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_BLOCK_REGIONS_H_
