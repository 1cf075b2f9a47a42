// The sums over a StoreView: what the tables of `penstock memory`, `clients` and `top` are
// made of.
#ifndef PENSTOCK_TOOLS_PENSTOCK_STORE_SUMMARY_H_
#define PENSTOCK_TOOLS_PENSTOCK_STORE_SUMMARY_H_

#include <cstdint>
#include <map>
#include <vector>

#include "tools/penstock/store_view.h"

namespace penstock {

struct Tally {
  uint64_t count = 0;
  uint64_t bytes = 0;  // of whole blocks

  void Add(uint64_t block_bytes) {
    ++count;
    bytes += block_bytes;
  }
};

struct ClientSums {
  Tally objects;  // that it made, and that are still in memory
  Tally leases;
  Tally pinned;
  uint64_t pins = 0;
};

struct SizeSums {
  Tally objects;
  Tally leases;
  uint64_t wanted_bytes = 0;  // of the objects' payloads and metadata
};

struct StoreSums {
  uint64_t arena_bytes = 0;
  uint64_t populated_bytes = 0;
  uint64_t extents = 0;
  uint64_t free_bytes = 0;     // populated and in no block
  uint64_t largest_free_bytes = 0;
  uint64_t free_ranges = 0;
  Tally sealed, evicting, deleted, leased;
  Tally pinned;                // by anybody
  Tally evictable;             // of the sealed: sealed as to be dropped when room is needed
  Tally on_disk_too;
  StoreView::OnDisk on_disk;
  uint64_t torn = 0;
  uint64_t generations = 0;
  std::map<uint64_t, SizeSums> by_size;  // by the block's bytes, rounded up to a power of two
  std::vector<ClientSums> clients;       // as StoreView::sessions()
  Tally of_ended_sessions;               // objects whose maker has gone

  Tally objects() const {
    return {sealed.count + evicting.count + deleted.count,
            sealed.bytes + evicting.bytes + deleted.bytes};
  }
};

// Cost: a pass over the slots, and a sort of the blocks.
StoreSums SumUp(const StoreView& view);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCK_STORE_SUMMARY_H_
