// SpillContext: what the parts of the spill thread share: table, files, chunks, the queue
// to the disk, and what the daemon is to be told. Thread safety: the spill thread alone.
#ifndef PENSTOCK_STORE_SPILL_SPILL_CONTEXT_H_
#define PENSTOCK_STORE_SPILL_SPILL_CONTEXT_H_

#include <cstdint>
#include <span>
#include <vector>

#include "store/spill/chunk_pool.h"
#include "store/spill/entry_book.h"
#include "store/spill/file_layout.h"
#include "store/spill/spill_files.h"
#include "store/spill/spill_table.h"
#include "store/spill/spill_types.h"

namespace penstock {

struct SpillContext {
  SpillContext(SpillTable spill_table, SpillFiles spill_files, DiskQueue& disk)
      : table(spill_table), book(spill_table.capacity()), files(std::move(spill_files)),
        queue(disk) {}

  SpillTable table;
  EntryBook book;
  SpillFiles files;
  ChunkPool chunks;
  DiskQueue& queue;
  SpillStats stats;
  std::vector<SpillDone> done;

  uint64_t incarnation() const { return table.incarnation(); }

  // Whether the entry still names that place, and was not dropped.
  bool IsAt(SpillHandle handle, SpillPlace place) const {
    return table.IsLive(handle) && table.Place(handle) == place;
  }

  // The record is whole on disk: its entry becomes live.
  void Publish(SpillHandle handle, const SpillFacts& facts, const Placement& at) {
    table.Publish(handle, facts, at.place);
    book.Insert(at.file->entries, handle);
    files.AddLive(*at.file, RecordBytes(facts.stored_bytes));
    ++stats.live_objects;
  }

  // A whole copy is on disk: the object moves. `from` stays in use by the caller.
  void Move(SpillHandle handle, SpillFile& from, const Placement& to) {
    const uint64_t record_bytes = RecordBytes(table.Facts(handle).stored_bytes);
    table.Move(handle, to.place);
    book.Remove(from.entries, handle);
    book.Insert(to.file->entries, handle);
    files.AddLive(*to.file, record_bytes);
    files.RemoveLive(&from, record_bytes);
    stats.compacted_bytes += record_bytes;
  }

  // Takes a dropped entry off its file.
  void Free(SpillHandle handle) {
    const uint64_t record_bytes = RecordBytes(table.Facts(handle).stored_bytes);
    SpillFile* file = files.Use(table.Place(handle).file);
    if (book.IsDamaged(handle)) file->damaged_bytes -= record_bytes;
    book.Remove(file->entries, handle);
    book.GiveBack(handle);
    table.Free(handle);
    --stats.live_objects;
    files.RemoveLive(file, record_bytes);
    files.Unuse(file);
  }

  void Tell(const SpillDone& answer) {
    if (answer.fault != SpillFault::kNone) ++stats.faults[static_cast<size_t>(answer.fault)];
    done.push_back(answer);
  }
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_CONTEXT_H_
