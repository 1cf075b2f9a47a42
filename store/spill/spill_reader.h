// SpillReader: objects from disk, straight to where they belong when that memory is aligned
// for the disk. Nobody is told that a read went well before length, header and checksum
// were compared with the table's entry. Thread safety: the spill thread alone.
#ifndef PENSTOCK_STORE_SPILL_SPILL_READER_H_
#define PENSTOCK_STORE_SPILL_SPILL_READER_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>

#include "store/spill/spill_context.h"

namespace penstock {

class SpillReader {
 public:
  explicit SpillReader(SpillContext& context);
  ~SpillReader();

  // From here on its file stays, wherever the object moves and whether or not it is dropped.
  void Ask(uint64_t ticket, SpillHandle handle, std::span<std::byte> into);
  void Advance();
  void Cancel();
  uint64_t waiting() const { return reads_.size(); }

 private:
  class Read;

  SpillContext& context_;
  std::list<std::unique_ptr<Read>> reads_;  // in order; the first ones are in flight
  std::list<std::unique_ptr<Read>>::iterator next_ = reads_.end();  // to be issued
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_READER_H_
