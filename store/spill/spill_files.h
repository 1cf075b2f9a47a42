// SpillFiles: the files of one store: where the next record goes, what is live in each, and
// when a file ends.
//
// A file is current (takes records), then closed. It is deleted as soon as nothing in it is
// live and nobody uses it. Thread safety: the spill thread alone. Cost: Place and Open may
// make system calls that wait for the disk.
#ifndef PENSTOCK_STORE_SPILL_SPILL_FILES_H_
#define PENSTOCK_STORE_SPILL_SPILL_FILES_H_

#include <cstdint>
#include <map>
#include <memory>

#include "store/spill/entry_book.h"
#include "store/spill/spill_directory.h"
#include "store/spill/spill_table.h"
#include "store/spill/spill_types.h"

namespace penstock {

struct SpillFile {
  uint32_t number = 0;
  OpenedFile opened;            // closed again when too many are open and nobody uses it
  uint64_t head_bytes = 0;      // where the next record would start
  uint64_t reserved_bytes = 0;  // disk space taken ahead of the head
  uint64_t looked_at_bytes = 0;  // its head when its name was last looked for
  uint64_t live_bytes = 0;
  uint64_t damaged_bytes = 0;   // of these; they do not move
  uint32_t users = 0;           // operations that read or write it
  bool closed = false;
  bool had_live = false;
  bool stuck = false;           // could not be emptied; again when something has changed
  EntryList entries;

  uint64_t dead_bytes() const { return head_bytes - kSpillBlockBytes - live_bytes; }
  bool direct() const { return opened.direct; }
};

// Where a record goes; the file's user count was raised for the caller.
struct Placement {
  SpillFile* file = nullptr;
  SpillPlace place;
  SpillFault fault = SpillFault::kNone;
  int error_number = 0;
};

// What an errno of a write, or of a read, means for the object.
SpillFault WriteFaultOf(int error);
SpillFault ReadFaultOf(int error);

class SpillFiles {
 public:
  SpillFiles(SpillDirectory directory, const SpillOptions& options, SpillTable table);

  // Takes up the files of an earlier daemon and deletes all others.
  void Recover(EntryBook& book, SpillStats& stats);

  // Room for a record. `exceed_limit`: for a record that leaves another file.
  Placement Place(uint64_t record_bytes, bool exceed_limit);
  // Whether a record that was refused so could have a place if no dead record took any.
  bool MayFit(SpillFault fault, uint64_t record_bytes) const;
  // No further records. Also after a failed write, whose place is not used again. `file` may
  // be gone afterwards, unless it is in use.
  void Close(SpillFile& file);

  // Raises the user count of a file that has live entries.
  SpillFile* Use(uint32_t number);
  // Its descriptor; an errno when the file is gone.
  int Open(SpillFile& file);
  // Ends a use; `file` may be gone afterwards.
  void Unuse(SpillFile* file);

  void AddLive(SpillFile& file, uint64_t record_bytes);
  // `file` may be gone afterwards.
  void RemoveLive(SpillFile* file, uint64_t record_bytes);
  void MarkDamaged(SpillFile& file, uint64_t record_bytes);

  // The file that most deserves to be emptied, or none. With `pressure` (a write waits for
  // room) a quarter of dead bytes is enough.
  SpillFile* PickForCompaction(bool pressure);

  // Deletes every file, whatever is live in it.
  void RemoveAll();

  uint64_t total_bytes() const { return total_bytes_; }
  uint64_t live_bytes() const { return live_bytes_; }
  size_t count() const { return files_.size(); }
  bool direct() const { return direct_; }
  const SpillDirectory& directory() const { return directory_; }

 private:
  int CreateCurrent(uint64_t first_record_bytes);
  int Reserve(SpillFile& file, uint64_t end_bytes);
  void CloseIfDeleted(SpillFile& file);
  void CloseIdleDescriptors();
  void Settle(SpillFile* file);

  SpillDirectory directory_;
  SpillOptions options_;
  SpillTable table_;
  std::map<uint32_t, std::unique_ptr<SpillFile>> files_;
  SpillFile* current_ = nullptr;
  uint64_t total_bytes_ = 0;  // heads of all files
  uint64_t live_bytes_ = 0;
  size_t open_count_ = 0;
  bool direct_ = true;
  bool compaction_due_ = true;  // something changed since no file deserved it
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_FILES_H_
