// The shared memory of one store: arena, index and lease table, made and mapped.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_STORE_MEMORY_H_
#define PENSTOCK_TOOLS_PENSTOCKD_STORE_MEMORY_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "store/shm/index_segment.h"
#include "store/shm/lease_segment.h"
#include "store/shm/mapping.h"
#include "store/shm/memory_file.h"
#include "tools/penstockd/kept_store.h"
#include "tools/penstockd/options.h"

namespace penstock {

// Whether the arena is to lie in pages of 2 MiB that an operator reserved.
bool FitsIntoReserve(const DaemonOptions& options);

struct StoreMemory {
  MemoryFile arena_file;
  MemoryFile index_file;
  MemoryFile lease_file;
  UniqueFd arena_read_only;
  UniqueFd index_read_only;
  Mapping arena;
  Mapping index_mapping;
  Mapping leases;
  IndexSegment index;
  LeaseSegment lease_table;
  bool arena_is_hugetlb = false;

  static absl::StatusOr<StoreMemory> Make(const DaemonOptions& options,
                                          uint64_t incarnation);
  // Maps what the keeper kept. Errors: FailedPrecondition names the layout versions when
  // another release made it.
  static absl::StatusOr<StoreMemory> Attach(KeptStore& kept);

 private:
  absl::Status Map();
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_STORE_MEMORY_H_
