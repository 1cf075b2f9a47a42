// BlockRegions: which slots have a block that begins in each region of the arena. Compaction asks
// for them in the order of addresses; nobody else needs that order. A region is 128 KiB to 2 MiB
// long: small enough that its blocks are looked at in one turn, and few enough for large arenas.
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
#include <cstdlib>
#include <memory>
#include <vector>

#include "store/base/check.h"
#include "store/base/units.h"

namespace penstock {

class BlockRegions {
 public:
  static constexpr uint64_t kLeastRegionBytes = 128 * kKiB;
  static constexpr uint64_t kMostRegionBytes = 2 * kMiB;

  bool active() const { return !regions_.empty(); }
  uint64_t size() const { return regions_.size(); }
  uint64_t region_bytes() const { return region_bytes_; }
  uint64_t RegionOf(uint64_t offset) const { return offset / region_bytes_; }
  // Cost: the table by slots is touched as it is used, and no sooner.
  void Activate(uint64_t arena_bytes, uint32_t slots) {
    while (region_bytes_ < kMostRegionBytes && arena_bytes / region_bytes_ > kManyRegions) {
      region_bytes_ *= 2;
    }
    regions_.resize(RegionOf(arena_bytes + region_bytes_ - 1));
    listed_.reset(static_cast<uint32_t*>(calloc(slots, sizeof(uint32_t))));
    PENSTOCK_CHECK(listed_ != nullptr) << "no memory for " << slots << " slots";
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

  struct Free {
    void operator()(uint32_t* memory) const { free(memory); }
  };
  static constexpr uint64_t kManyRegions = 32768;

  uint64_t region_bytes_ = kLeastRegionBytes;
  std::vector<Region> regions_;
  std::unique_ptr<uint32_t[], Free> listed_;  // by slot: region + 1, or 0
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_BLOCK_REGIONS_H_
