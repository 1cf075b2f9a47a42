// SpillBridge: the core's wishes about objects on disk, carried out by a SpillStore.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_SPILL_BRIDGE_H_
#define PENSTOCK_TOOLS_PENSTOCKD_SPILL_BRIDGE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <spdlog/common.h>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"
#include "store/object/core.h"
#include "store/shm/mapping.h"
#include "store/shm/memory_file.h"
#include "store/spill/spill_store.h"
#include "tools/penstockd/log_budget.h"
#include "tools/penstockd/options.h"

namespace penstock {

// The table of what is on disk; like the lease table a segment that outlives the daemon.
struct SpillTableMemory {
  MemoryFile file;
  Mapping mapping;
  SpillTable table;

  static absl::StatusOr<SpillTableMemory> Make(uint32_t slots, uint64_t incarnation);
  static absl::StatusOr<SpillTableMemory> Attach(UniqueFd fd);
};

// Why nothing can be written, the value of a limit that is reached, and what ends it.
std::string DescribeSpillTrouble(SpillTrouble trouble, const DaemonOptions& options);

// Thread safety: the daemon's thread.
class SpillBridge : public SpillHost {
 public:
  // Opens the directory, with what an earlier daemon of this store left there. `arena`
  // and `options` outlive the bridge.
  static absl::StatusOr<std::unique_ptr<SpillBridge>> Open(const DaemonOptions& options,
                                                           const SpillTable& table,
                                                           std::byte* arena);
  // Serves the core from now on. Before its Recover.
  void Attach(Core* core);
  // What is on disk, from an earlier daemon of this store.
  std::vector<uint32_t> Copies() const;

  // Readable when Deliver has something for the core: so much of it at a time.
  int notify_fd() const { return notify_.get(); }
  void Deliver();
  // The store has ended: nobody will ask for its objects again.
  void RemoveFiles();
  // Ends its writes and lets go of the directory, for another daemon. It is not used again.
  void LeaveFiles();
  SpillStats stats() const { return store_->Stats(); }

  // SpillHost
  void SpillWrite(uint64_t ticket, const SpilledFacts& facts, uint64_t offset) override;
  void SpillRead(uint64_t ticket, uint32_t copy, uint64_t stored_bytes,
                 uint64_t offset) override;
  void SpillDrop(uint32_t copy) override;
  SpilledFacts SpillFacts(uint32_t copy) const override;

 private:
  SpillBridge(const DaemonOptions& options, const SpillTable& table, std::byte* arena);
  void Log(spdlog::level::level_enum level, const std::string& line);
  void LogWrite(const SpillDone& done);
  void LogRead(const SpillDone& done, SpillTrouble trouble);

  const DaemonOptions& options_;

  SpillTable table_;
  std::byte* const arena_;
  UniqueFd notify_;
  std::unique_ptr<SpillStore> store_;
  Core* core_ = nullptr;
  std::string dir_;
  std::deque<SpillDone> done_;  // the core has not heard of them

  LogBudget lines_;
  absl::flat_hash_map<uint64_t, ObjectId> reads_;  // under way, by ticket
  absl::flat_hash_set<ObjectId> reported_;         // could not be read back, as the log says
  uint64_t failed_writes_ = 0;  // since the last that did not fail
  SpillFault logged_fault_ = SpillFault::kNone;
  int64_t logged_ns_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_SPILL_BRIDGE_H_
