// fallocate, MADV_COLLAPSE and a look into smaps.
#include "store/shm/huge_pages.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include "store/base/host_limits.h"
#include "store/base/units.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace penstock {

absl::Status PopulatePages(int fd, uint64_t offset, uint64_t bytes) {
  int result;
  do {
    result = fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return absl::OkStatus();
  return CallStatus(errno, fmt::format("{} at offset {} could not be had (fallocate)",
                                       FormatBytes(bytes), FormatBytes(offset)),
                    "The host or its memory cgroup has no more: start the daemon with a smaller "
                    "--memory, or raise the limit");
}

absl::Status ReturnPages(int fd, uint64_t offset, uint64_t bytes) {
  int result;
  do {
    result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       static_cast<off_t>(offset), static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return absl::OkStatus();
  return CallStatus(errno, fmt::format("giving {} at offset {} back to the host",
                                        FormatBytes(bytes), FormatBytes(offset)));
}

absl::Status CollapsePages(std::byte* address, uint64_t bytes) {
  if (madvise(address, bytes, MADV_COLLAPSE) == 0) return absl::OkStatus();
  switch (errno) {
    case EINVAL:
      return absl::UnimplementedError(
          "this kernel has no MADV_COLLAPSE for shared memory (Linux 6.1 and later do)");
    case ENOMEM:
      return absl::ResourceExhaustedError("no free huge page");
    default:
      return absl::UnavailableError(
          fmt::format("the range cannot be collapsed just now (errno {})", errno));
  }
}

absl::StatusOr<uint64_t> HugeMappedBytes(const std::byte* address) {
  std::ifstream smaps("/proc/self/smaps");
  if (!smaps) return absl::NotFoundError("/proc/self/smaps cannot be read");
  const std::string start =
      fmt::format("{:08x}-", reinterpret_cast<uint64_t>(address));
  std::string line;
  bool inside = false;
  uint64_t kib_found = 0;
  while (std::getline(smaps, line)) {
    if (!inside) {
      inside = line.starts_with(start);
      continue;
    }
    for (const char* name : {"ShmemPmdMapped:", "Shared_Hugetlb:"}) {
      unsigned long long kib = 0;
      if (line.starts_with(name) &&
          sscanf(line.c_str() + std::string_view(name).size(), "%llu", &kib) == 1) {
        kib_found += kib;
      }
    }
    if (line.starts_with("VmFlags:")) return kib_found * kKiB;
  }
  return absl::NotFoundError("the mapping is not listed in /proc/self/smaps");
}

}  // namespace penstock
