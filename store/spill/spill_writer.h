// SpillWriter: objects to disk. Small ones are packed, many records to a write; large ones
// go in pieces, several in flight, from where they lie if the disk can take them from there.
//
// Whatever fails, fails for the objects of that write alone: their file is closed, their
// place is never used, and the next write begins a new file. Thread safety: the spill
// thread alone. Cost: a checksum, and a copy unless the memory is aligned for the disk.
#ifndef PENSTOCK_STORE_SPILL_SPILL_WRITER_H_
#define PENSTOCK_STORE_SPILL_SPILL_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <span>

#include "store/spill/spill_context.h"

namespace penstock {

struct WriteRequest {
  uint64_t ticket = 0;
  SpilledObject object;
  std::span<const std::byte> bytes;
};

// Who packs records that move from another file.
class MoveListener {
 public:
  // Its write has ended; the object moved, if there was no fault and it was still wanted.
  virtual void Moved(SpillFault fault) = 0;

 protected:
  ~MoveListener() = default;
};

struct MovedRecord {
  SpillHandle handle = kNoSpillHandle;
  SpillPlace from;
  SpillFile* from_file = nullptr;  // in use by the listener until Moved
  SpillFacts facts;
  const std::byte* data = nullptr;
};

class SpillWriter {
 public:
  explicit SpillWriter(SpillContext& context);
  ~SpillWriter();

  void Ask(const WriteRequest& request) { asked_.push_back(request); }
  // Starts what can be started. A write that finds no room waits while `can_make_room` says
  // that compaction may make some; wants_room() then says so.
  void Advance(const std::function<bool()>& can_make_room);
  bool wants_room() const { return wants_room_; }

  // Whether PackMoved may be called.
  bool CanPack() const { return context_.chunks.free() > 0; }
  // A fault: there is no place for it, and the listener hears nothing.
  SpillFault PackMoved(const MovedRecord& record, MoveListener& listener);
  // Sends what was packed and not sent.
  void Flush();

  // Nothing further is started; what was asked for ends as kCancelled.
  void Cancel();
  uint64_t waiting() const { return waiting_count_ + asked_.size(); }

 private:
  class Batch;
  class LargeWrite;

  // False: it waits, for a chunk or for room.
  bool Start(const WriteRequest& request, const std::function<bool()>& can_make_room);
  void Fail(const WriteRequest& request, SpillFault fault, int error_number);
  Batch& BatchFor(const Placement& placement, uint64_t record_bytes);

  SpillContext& context_;
  std::deque<WriteRequest> asked_;
  std::list<std::unique_ptr<Batch>> batches_;     // sent, and the open one
  std::list<std::unique_ptr<LargeWrite>> larges_;
  Batch* open_batch_ = nullptr;
  LargeWrite* issuing_ = nullptr;  // has pieces that were not submitted
  uint64_t waiting_count_ = 0;     // started and not done
  bool wants_room_ = false;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_WRITER_H_
