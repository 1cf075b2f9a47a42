// SpillStore: objects of a store on disk: written, read back, dropped.
//
// The daemon's thread asks; one thread of this module does the rest: checksums, copies,
// placing, compaction, and driving io_uring (or a few threads with pread and pwrite). An
// answer comes by TakeDone, announced by an eventfd.
//
// Invariants
//   1. Wrong bytes are never handed out: a read whose length, header or checksum differ
//      from the table's entry ends with a fault. tests/unit/spill/damage_test.cc
//   2. A fault concerns exactly the objects of the reads and writes that failed; later ones
//      work when their cause is gone. tests/unit/spill/faults_test.cc
//   3. Killed anywhere, table and files are such that every live entry reads back right.
//      tests/unit/spill/kill_test.cc
//   4. Files hold no more dead bytes than live ones, the current file aside.
//      tests/unit/spill/compaction_test.cc
//
// Thread safety: one thread calls (the daemon's). Cost: a lock and at most one write to an
// eventfd; no call waits for the disk, except Open and Close.
#ifndef PENSTOCK_STORE_SPILL_SPILL_STORE_H_
#define PENSTOCK_STORE_SPILL_SPILL_STORE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "store/spill/disk_queue.h"
#include "store/spill/spill_engine.h"
#include "store/spill/spill_table.h"
#include "store/spill/spill_types.h"

namespace penstock {

class SpillStore {
 public:
  // Takes the directory, and up what an earlier store of the same table left in it; other
  // spill files of this user's there are deleted, of whatever store: two stores never share
  // a directory. The table's memory outlives this object. `notify_fd`: an eventfd of the
  // caller's, rung when TakeDone has something; outlives this object as well.
  // Errors: InvalidArgument for a bad option, by its name; PermissionDenied and
  // AlreadyExists as SpillDirectory::Open says; FailedPrecondition when the table is
  // another store's; what refuses io_uring with SpillIo::kUring.
  static absl::StatusOr<std::unique_ptr<SpillStore>> Open(const SpillOptions& options,
                                                          SpillTable table, int notify_fd);
  // The same with a queue to the disk of the caller's (tests put faults into one).
  static absl::StatusOr<std::unique_ptr<SpillStore>> OpenWith(
      const SpillOptions& options, SpillTable table, int notify_fd,
      std::unique_ptr<DiskQueue> queue);

  // Closes, keeping the files.
  ~SpillStore();
  SpillStore(const SpillStore&) = delete;
  SpillStore& operator=(const SpillStore&) = delete;

  // `bytes`: the payload, then, from any offset on, the metadata; kept as they are. They
  // stand still until the ticket's SpillDone, which brings the handle. Aligned to 512 bytes
  // (any multiple of what the disk needs), more than 128 KiB are written without a copy.
  void Write(uint64_t ticket, const SpilledObject& object, std::span<const std::byte> bytes);

  // `into` has exactly as many bytes as were written, and is the module's until the
  // ticket's SpillDone. After a fault its content means nothing. The object stays on disk.
  void Read(uint64_t ticket, SpillHandle handle, std::span<std::byte> into);

  // The object is gone, or back in memory. Its entry has ended when this returns, so a
  // daemon that restarts does not see it again. Reads that were asked for before go on and
  // end right. The handle may come back with a later Write.
  void Drop(SpillHandle handle);

  // What has ended since the last call.
  std::vector<SpillDone> TakeDone();

  // As of the last answer, at most a turn of the spill thread ago.
  SpillStats Stats() const;

  // Every live entry, with the bytes that a Read of it needs. After a restart: what is on
  // disk. Cost: walks the table.
  void Visit(const std::function<void(SpillHandle, const SpilledObject&,
                                      uint64_t stored_bytes)>& visit) const;

  // Starts nothing further, waits for what is in flight; everything that was asked for is
  // then answered, what was not done as kCancelled, and TakeDone has it. Nothing but
  // TakeDone, Stats and the destructor may follow. kRemove: the store has ended for good.
  enum class FilesAtEnd { kKeep, kRemove };
  void Close(FilesAtEnd files);

 private:
  SpillStore(SpillTable table, int notify_fd, std::unique_ptr<DiskQueue> queue,
             SpillFiles files);

  void Push(const SpillCommand& command);
  void Run();
  // False: the thread ends.
  bool Publish(bool cancelled);

  SpillTable table_;
  const int notify_fd_;
  const std::unique_ptr<DiskQueue> queue_;
  SpillEngine engine_;  // the spill thread's, from its start to its end

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<SpillCommand> commands_;
  std::vector<SpillDone> done_;
  SpillStats stats_;
  bool is_asleep_ = false;  // in queue_->Wait, or about to be
  bool is_ending_ = false;

  std::thread thread_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_STORE_H_
