// SpillMover: compaction. Empties a file that is mostly dead: its live records are copied
// to the current file, each verified on the way, and the file goes.
//
// An object moves by the one store of its place; it may be read or dropped at any moment of
// that. A damaged record stays where it is, and its file with it, until its object is
// dropped. One file at a time. Thread safety: the spill thread alone.
#ifndef PENSTOCK_STORE_SPILL_SPILL_MOVER_H_
#define PENSTOCK_STORE_SPILL_SPILL_MOVER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "store/spill/record.h"
#include "store/spill/spill_context.h"
#include "store/spill/spill_writer.h"

namespace penstock {

class SpillMover final : public ChunkOwner, public MoveListener {
 public:
  SpillMover(SpillContext& context, SpillWriter& writer)
      : context_(context), writer_(writer) {}

  // `pressure`: a write waits for room.
  void Advance(bool pressure);
  void Cancel();
  bool active() const { return file_ != nullptr; }
  // Whether compaction runs, or would under pressure.
  bool CanMakeRoom() {
    return active() || context_.files.PickForCompaction(/*pressure=*/true) != nullptr;
  }

  void Finished(Chunk& chunk) override;
  void Moved(SpillFault fault) override;

 private:
  struct Item {
    SpillHandle handle;
    SpillPlace place;
  };
  struct LargeMove {
    SpillFacts facts;
    Placement to;
    uint64_t piece_count;
    uint64_t index;
    Checksum checksum;
  };

  void Begin(SpillFile& file);
  // Reads the next records. False: there is nothing to read, or no chunk.
  bool ReadNext();
  bool ReadGroup();
  bool ReadLarge();
  void ReadPiece(Chunk& chunk);
  bool PackGroup();  // false: it waits for a chunk
  void FinishedLarge(Chunk& chunk);
  enum class LargeEnd { kWhole, kDamaged, kNoRoom, kGivenUp };
  void EndLarge(LargeEnd end);
  void MarkDamaged(const Item& item);
  bool IsRecordWhole(const Item& item, const std::byte* record, uint64_t bytes) const;
  void End();

  SpillContext& context_;
  SpillWriter& writer_;

  SpillFile* file_ = nullptr;  // in use while it is emptied
  std::vector<Item> items_;    // in order of their places
  size_t next_ = 0;
  // The group of packed records that one read brings: items_[next_, group_end_).
  size_t group_end_ = 0;
  size_t alone_until_ = 0;     // a read of many failed: one by one up to here
  Chunk* group_ = nullptr;     // arrived, being packed
  bool reading_ = false;       // a group
  bool stopped_ = false;       // nothing further of this file
  std::optional<LargeMove> large_;
  uint64_t packed_ = 0;        // records in writes that have not ended
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_MOVER_H_
