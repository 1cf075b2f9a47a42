// Compaction: what the core remembers of the window that it is emptying. The steps are in
// core_compact.cc.
//
// Invariants
//   1. It is for the first in line; when that one is gone, so is the compaction.
//   2. The window lies in memory that the allocator hands out to nobody.
//   3. A copy's block belongs to no slot until Core::Relocate, and to one afterwards.
#ifndef PENSTOCK_STORE_OBJECT_COMPACTION_H_
#define PENSTOCK_STORE_OBJECT_COMPACTION_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "store/base/units.h"
#include "store/object/block_regions.h"
#include "store/object/session.h"
#include "store/object/window_search.h"

namespace penstock {

// Bounds of one turn, so that nobody waits long behind a compaction: about 0.1 ms of copying
// (streaming stores, 8 to 16 GB/s), or as long of looking.
inline constexpr uint64_t kCopiedBytesPerTurn = 1 * kMiB;
inline constexpr uint32_t kBlocksSeenPerTurn = 4096;
inline constexpr uint32_t kSlotsListedPerTurn = 8192;
// A search that has seen so many blocks and found a window takes it, and the next one begins
// where it stopped.
inline constexpr uint64_t kBlocksSeenPerSearch = 65536;
// Windows for one request that may fail, because of a pin that came or a block without place.
inline constexpr uint32_t kWindowsPerRequest = 8;
// Looks at an object that is pinned after it was copied: a get may be under way.
inline constexpr uint32_t kLooksAtPinned = 16;
// Pinned objects that a failed search asks to be told of.
inline constexpr size_t kWantedPerSearch = 256;
// A small block gets a window of more than its own size: the next ones fit as well.
inline constexpr uint64_t kSmallBlocksWindow = 1 * kMiB;

struct Victim {
  uint32_t slot = 0;
  uint64_t generation = 0;
  uint64_t offset = 0;
  uint64_t block_bytes = 0;
};

// What became of one step of a move.
enum class Moved { kSome, kWaits, kDone, kBlocked, kNoPlace };

struct Compaction {
  enum class Phase { kIdle, kListing, kSearching, kEmptying };
  Phase phase = Phase::kIdle;

  // The request it is for.
  SessionRow row = 0;
  uint64_t session = 0;
  uint32_t request = 0;
  uint64_t block_bytes = 0;
  uint64_t window_bytes = 0;
  uint32_t windows = 0;         // given up for it so far
  uint64_t movable_bytes = 0;   // larger blocks have no place to go

  // kListing: slots below have been listed by region. Kept up to date from then on.
  BlockRegions regions;
  uint32_t listed_slots = 0;
  bool listed = false;

  // kSearching.
  std::optional<WindowSearch> search;
  uint64_t first_region = 0;    // of the next search
  uint64_t seen_regions = 0;
  uint64_t seen_blocks = 0;
  uint64_t range_end = 0;       // of the memory being searched; 0: none yet
  std::vector<uint32_t> pinned;
  std::vector<Victim> blocks;   // scratch

  // kEmptying.
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t next_region = 0;
  std::vector<Victim> victims;
  std::optional<Victim> victim;      // being moved
  std::optional<uint64_t> copy;      // where to
  uint64_t copied_bytes = 0;
  uint32_t looks = 0;

  // After a failure: when to try again.
  uint64_t failed_bytes = 0;    // no window of this size or more; 0: none failed
  uint64_t failed_freed = 0;    // CoreStats::freed then
  uint64_t failed_blocks = 0;   // seen in vain
  uint64_t room_round = 0;      // counts changes of room
  uint64_t retry_round = 0;

  // The copy's block, which is neither free nor an object's.
  uint64_t copy_block_bytes() const { return copy ? victim->block_bytes : 0; }
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_COMPACTION_H_
