// BareStore: the steps of a get and a release that nothing can do without, and no library
// around them. The floor of `penstock-bench get`.
//
// Memory as the store has it (store/shm: slots, buckets, pins; payloads one line further on
// each time), on the same kind of pages, in one process: hash, bucket word, slot, locked
// increment of the pin, state and id, first word of the payload, locked decrement, state.
// Left out: whether the session lives, is of this process and not revoked; ids that do not
// lie where they are looked for first; handles; errors.
#ifndef PENSTOCK_BENCH_BARE_STORE_H_
#define PENSTOCK_BENCH_BARE_STORE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <penstock/object_id.h>

#include "absl/status/statusor.h"
#include "bench/harness/copy_area.h"
#include "store/shm/index_segment.h"
#include "store/shm/session_layout.h"

namespace penstock::bench {

class BareStore {
 public:
  // Objects of kSmallBytes under `ids`, to be got in an order of `seed`.
  static absl::StatusOr<std::unique_ptr<BareStore>> Create(std::span<const ObjectId> ids,
                                                           uint64_t seed);

  // `count` gets and releases, the first word of each read and compared. False when one was
  // not right.
  bool Run(uint64_t count);
  // The same with the memory of the next ones on its way, as GetMany does it.
  bool RunAhead(uint64_t count);

 private:
  BareStore() = default;
  uint32_t Find(const ObjectId& id) const;
  bool GetAndRelease(uint32_t slot, const ObjectId& id);

  CopyArea index_area_, pin_area_, arena_area_;
  IndexSegment index_;
  Pin* pins_ = nullptr;
  const std::byte* arena_ = nullptr;
  std::vector<ObjectId> order_;
  size_t next_ = 0;
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_BARE_STORE_H_
