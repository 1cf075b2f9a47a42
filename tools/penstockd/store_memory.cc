// Making and mapping the segments of a store.
#include "tools/penstockd/store_memory.h"

#include <fmt/format.h>

#include "store/base/errors.h"
#include "store/base/units.h"
#include "tools/penstockd/host_memory.h"

namespace penstock {

absl::StatusOr<StoreMemory> StoreMemory::Make(const DaemonOptions& options,
                                              uint64_t incarnation) {
  StoreMemory memory;
  const bool reserve_suffices = FreeHugetlbBytes() >= options.memory_bytes;
  if (options.huge_pages == HugePages::kHugetlb && !reserve_suffices) {
    return absl::ResourceExhaustedError(fmt::format(
        "--huge-pages hugetlb needs {} of reserved pages, {} are free: sysctl "
        "vm.nr_hugepages={}, or use --huge-pages auto", FormatBytes(options.memory_bytes),
        FormatBytes(FreeHugetlbBytes()), options.memory_bytes / kHugePageBytes));
  }
  memory.arena_is_hugetlb =
      options.huge_pages == HugePages::kHugetlb ||
      (options.huge_pages == HugePages::kAuto && reserve_suffices);
  PENSTOCK_ASSIGN_OR_RETURN(
      memory.arena_file,
      MemoryFile::Create("arena", options.memory_bytes,
                         memory.arena_is_hugetlb ? PageSource::kHugetlb : PageSource::kSmall));
  const IndexGeometry geometry = IndexGeometry::For(options.objects);
  PENSTOCK_ASSIGN_OR_RETURN(memory.index_file,
                            MemoryFile::Create("index", geometry.total_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(
      memory.lease_file,
      MemoryFile::Create("leases", RoundUp(uint64_t{options.objects} * sizeof(LeaseEntry),
                                           kHugePageBytes)));
  PENSTOCK_ASSIGN_OR_RETURN(memory.arena_read_only, memory.arena_file.ReopenReadOnly());
  PENSTOCK_ASSIGN_OR_RETURN(memory.index_read_only, memory.index_file.ReopenReadOnly());
  PENSTOCK_ASSIGN_OR_RETURN(
      memory.arena, Mapping::Map(memory.arena_file.fd(), options.memory_bytes,
                                 Access::kReadWrite, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(
      memory.index_mapping, Mapping::Map(memory.index_file.fd(), geometry.total_bytes,
                                         Access::kReadWrite, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(
      memory.leases, Mapping::Map(memory.lease_file.fd(), memory.lease_file.bytes(),
                                  Access::kReadWrite, OnFork::kDrop));
  memory.index = IndexSegment::Format(memory.index_mapping.data(), geometry,
                                      options.memory_bytes, incarnation);
  memory.index.header().epoch.store(1, std::memory_order_relaxed);  // 0 is "never used"
  return memory;
}

}  // namespace penstock
