// Huge pages for shared memory without privilege: populate, then collapse.
//
// Why: a process that first touches 100 MB through 4 KiB pages spends more time in
// faults than in the copy itself (DESIGN.md, section 5).
#ifndef PENSTOCK_STORE_SHM_HUGE_PAGES_H_
#define PENSTOCK_STORE_SHM_HUGE_PAGES_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace penstock {

// Allocates the pages of bytes [offset, offset + bytes) of a memory file, zeroed, so that
// missing memory is an error here and not a SIGBUS in a client later.
// Errors: ResourceExhausted. Cost: about 0.1 ms a MiB; call it in steps.
absl::Status PopulatePages(int fd, uint64_t offset, uint64_t bytes);

// The opposite: the bytes are a hole, the host has their pages. Whoever touches them makes new
// ones, zeroed. Errors: what fallocate says. Cost: microseconds a huge page.
absl::Status ReturnPages(int fd, uint64_t offset, uint64_t bytes);

// Collapses the 2 MiB-aligned range at `address` into huge pages (MADV_COLLAPSE, Linux
// 6.1). Needs populated pages and no privilege. Errors: Unimplemented on an older
// kernel; Unavailable where it may succeed later; ResourceExhausted without a free huge
// page. Cost: about 1 ms for each 2 MiB.
absl::Status CollapsePages(std::byte* address, uint64_t bytes);

// Bytes of the mapping at `address` that this process has mapped by huge pages (reads
// /proc/self/smaps: diagnostic code only).
absl::StatusOr<uint64_t> HugeMappedBytes(const std::byte* address);

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_HUGE_PAGES_H_
