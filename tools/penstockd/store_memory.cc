// Making and mapping the segments of a store.
#include "tools/penstockd/store_memory.h"

#include <fmt/format.h>

#include "store/base/errors.h"
#include "store/base/units.h"
#include "store/shm/host_memory.h"

namespace penstock {

bool FitsIntoReserve(const DaemonOptions& options) {
  const bool may_be = options.huge_pages == HugePages::kHugetlb ||
                      options.huge_pages == HugePages::kAuto;
  return may_be && FreeHugetlbBytes() >= options.memory_bytes;
}

absl::StatusOr<StoreMemory> StoreMemory::Make(const DaemonOptions& options,
                                              uint64_t incarnation) {
  StoreMemory memory;
  memory.arena_is_hugetlb = FitsIntoReserve(options);
  if (options.huge_pages == HugePages::kHugetlb && !memory.arena_is_hugetlb) {
    const auto [needed, has] = FormatBytesApart(options.memory_bytes, FreeHugetlbBytes());
    return absl::ResourceExhaustedError(fmt::format(
        "--huge-pages hugetlb needs {} of reserved pages, {} are free: sysctl "
        "vm.nr_hugepages={}, or use --huge-pages auto", needed, has,
        options.memory_bytes / kHugePageBytes));
  }
  PENSTOCK_ASSIGN_OR_RETURN(
      memory.arena_file,
      MemoryFile::Create("arena", options.memory_bytes,
                         memory.arena_is_hugetlb ? PageSource::kHugetlb : PageSource::kSmall));
  const IndexGeometry geometry = IndexGeometry::For(options.objects);
  PENSTOCK_ASSIGN_OR_RETURN(memory.index_file,
                            MemoryFile::Create("index", geometry.total_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(
      memory.lease_file,
      MemoryFile::Create("leases", LeaseGeometry::TotalBytes(options.objects)));
  PENSTOCK_ASSIGN_OR_RETURN(memory.arena_read_only, memory.arena_file.ReopenReadOnly());
  PENSTOCK_ASSIGN_OR_RETURN(memory.index_read_only, memory.index_file.ReopenReadOnly());
  PENSTOCK_RETURN_IF_ERROR(memory.Map());
  memory.index = IndexSegment::Format(memory.index_mapping.data(), geometry,
                                      options.memory_bytes, incarnation);
  memory.index.header().epoch.store(1, std::memory_order_relaxed);  // 0 is "never used"
  memory.lease_table = LeaseSegment::Format(memory.leases.data(), options.objects,
                                            options.memory_bytes, incarnation);
  memory.lease_table.header().arena_is_hugetlb = memory.arena_is_hugetlb ? 1 : 0;
  return memory;
}

absl::Status StoreMemory::Map() {
  PENSTOCK_ASSIGN_OR_RETURN(arena, Mapping::Map(arena_file.fd(), arena_file.bytes(),
                                                Access::kReadWrite, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(index_mapping, Mapping::Map(index_file.fd(), index_file.bytes(),
                                                        Access::kReadWrite, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(leases, Mapping::Map(lease_file.fd(), lease_file.bytes(),
                                                 Access::kReadWrite, OnFork::kDrop));
  return absl::OkStatus();
}

absl::StatusOr<StoreMemory> StoreMemory::Attach(KeptStore& kept) {
  StoreMemory memory;
  memory.arena_read_only = std::move(kept.arena_read_only);
  memory.index_read_only = std::move(kept.index_read_only);
  PENSTOCK_ASSIGN_OR_RETURN(memory.arena_file, MemoryFile::Adopt(std::move(kept.arena), 1));
  PENSTOCK_ASSIGN_OR_RETURN(memory.index_file,
                            MemoryFile::Adopt(std::move(kept.index), sizeof(IndexHeader)));
  PENSTOCK_ASSIGN_OR_RETURN(memory.lease_file,
                            MemoryFile::Adopt(std::move(kept.leases), sizeof(LeaseHeader)));
  PENSTOCK_RETURN_IF_ERROR(memory.Map());
  PENSTOCK_ASSIGN_OR_RETURN(memory.index, IndexSegment::Attach(memory.index_mapping.data(),
                                                               memory.index_file.bytes()));
  PENSTOCK_ASSIGN_OR_RETURN(
      memory.lease_table,
      LeaseSegment::Attach(memory.leases.data(), memory.lease_file.bytes()));
  const LeaseHeader& table = memory.lease_table.header();
  const IndexHeader& header = memory.index.header();
  if (table.capacity != header.capacity || table.incarnation != header.incarnation ||
      table.arena_bytes != memory.arena_file.bytes() ||
      header.arena_bytes != memory.arena_file.bytes()) {
    return absl::InvalidArgumentError(fmt::format(
        "index, lease table and arena kept are not of one store: {} and {} slots, {} bytes",
        header.capacity, table.capacity, memory.arena_file.bytes()));
  }
  memory.arena_is_hugetlb = table.arena_is_hugetlb != 0;
  return memory;
}

}  // namespace penstock
