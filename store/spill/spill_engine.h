// SpillEngine: the work of the spill thread, put together: it takes commands, starts what
// can be started, and takes in what the disk has finished.
//
// Thread safety: the spill thread alone. Never waits except for the calls of SpillFiles.
#ifndef PENSTOCK_STORE_SPILL_SPILL_ENGINE_H_
#define PENSTOCK_STORE_SPILL_SPILL_ENGINE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "store/spill/spill_context.h"
#include "store/spill/spill_mover.h"
#include "store/spill/spill_reader.h"
#include "store/spill/spill_writer.h"

namespace penstock {

struct SpillCommand {
  enum class Kind : uint8_t { kWrite, kRead, kDrop };
  Kind kind = Kind::kDrop;
  uint64_t ticket = 0;
  SpillHandle handle = kNoSpillHandle;
  SpilledObject object;
  std::span<const std::byte> bytes;
  std::span<std::byte> into;
};

class SpillEngine {
 public:
  SpillEngine(SpillTable table, SpillFiles files, DiskQueue& queue);

  // Takes up what an earlier daemon left; before anything else.
  void Recover();
  void Accept(const SpillCommand& command);
  void Advance();
  void Finished(DiskRequest& request);
  // Nothing further is started. Idle once the disk has given everything back.
  void Cancel();
  bool idle() const { return context_.chunks.all_free(); }

  std::vector<SpillDone>& done() { return context_.done; }
  SpillStats Stats() const;
  // Every file goes; the store has ended. Idle, and nothing is called afterwards.
  void RemoveFiles() { context_.files.RemoveAll(); }

 private:
  SpillContext context_;
  SpillWriter writer_;
  SpillReader reader_;
  SpillMover mover_;
  bool cancelled_ = false;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_ENGINE_H_
