// StoreView: a running store as its shared memory shows it, read-only and without a word to the
// daemon, which may be stopped, looping or dead.
//
// The keeper hands out the descriptors (window.h). What is read while the daemon works is a
// snapshot in motion: of each slot it is whole (the slot's state is the same before and after),
// or marked as torn; of two slots it need not be of one moment.
#ifndef PENSTOCK_TOOLS_PENSTOCK_STORE_VIEW_H_
#define PENSTOCK_TOOLS_PENSTOCK_STORE_VIEW_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <penstock/object_id.h>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "store/shm/index_segment.h"
#include "store/shm/lease_segment.h"
#include "store/shm/mapping.h"
#include "store/spill/spill_table.h"
#include "tools/penstock/session_look.h"
#include "tools/penstock/window.h"

namespace penstock {

enum class BlockState : uint8_t { kLeased, kSealed, kEvicting, kDeleted, kOnDisk };
const char* NameOf(BlockState state);

// One block of memory with what lies in it, or an object that is on disk only.
struct BlockLook {
  BlockState state = BlockState::kLeased;
  bool is_torn = false;     // it changed at each look, or the daemon died in the middle
  bool is_on_disk = false;  // too, or only
  ObjectId id;              // of a lease: the one it is reserved for, or nil
  uint64_t size = 0;        // of the payload; of a lease 0
  uint32_t metadata_size = 0;
  uint32_t type_tag = 0;
  uint32_t flags = 0;       // SealFlags
  uint64_t offset = 0;      // of the block
  uint64_t block_bytes = 0;  // 0 on disk
  uint64_t session = 0;     // that made it, or holds the lease
  int32_t maker_pid = 0;
  std::span<const PinLook> pins;
};

class StoreView {
 public:
  // Asks the keeper of `dir` and reads every session. It gets so long for each answer. Errors as
  // AskKeeper's, and FailedPrecondition for the layouts of another release.
  static absl::StatusOr<StoreView> Open(const std::string& dir, int patience_ms = 2000);

  const WindowAnswer& keeper() const { return keeper_; }
  bool is_elsewhere() const { return is_elsewhere_; }  // as WindowPage
  ProcessState daemon_state() const {
    return is_elsewhere_ && keeper_.daemon_pid != 0 ? ProcessState::kUnknown
                                                    : StateOfProcess(keeper_.daemon_pid);
  }
  // False while the first daemon has not made it; then there is nothing below.
  bool has_store() const { return index_mapping_.valid(); }

  uint32_t slots() const { return index_.capacity(); }
  uint64_t arena_bytes() const { return index_.header().arena_bytes; }
  uint32_t restarts() const {
    return index_.header().restarts.load(std::memory_order_relaxed);
  }
  // Populated and in use, in the order of their offsets, none touching the next.
  std::vector<ExtentEntry> Extents() const;
  const std::vector<SessionLook>& sessions() const { return sessions_; }

  struct Totals {
    uint64_t generations = 0;  // how many blocks were given back since the store began
    uint64_t torn = 0;
  };
  // Every block in the order of the slots, then what is on disk only.
  Totals Visit(const std::function<void(const BlockLook&)>& visit) const;
  // Bytes of the records on disk and how many there are.
  struct OnDisk {
    uint64_t objects = 0;
    uint64_t bytes = 0;
  };
  OnDisk on_disk() const { return {spilled_ids_.size(), spilled_bytes_}; }

 private:
  absl::Status Attach(const WindowPage& page);
  void ReadSpillTable();
  bool ReadSlot(uint32_t slot, BlockLook& block, uint64_t& generation) const;

  WindowAnswer keeper_{};
  bool is_elsewhere_ = false;
  Mapping index_mapping_;
  Mapping lease_mapping_;
  Mapping spill_mapping_;
  IndexSegment index_;
  LeaseSegment leases_;
  SpillTable spill_table_;
  std::vector<SessionLook> sessions_;
  std::vector<PinLook> pins_;  // by slot, then by session
  std::vector<SpillHandle> spilled_;
  absl::flat_hash_set<ObjectId> spilled_ids_;
  uint64_t spilled_bytes_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCK_STORE_VIEW_H_
