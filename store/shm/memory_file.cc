// Creation, sealing and checking of memfds.
#include "store/shm/memory_file.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include <fmt/format.h>
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/units.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u  // Linux 6.3; Debian 12's headers are of 6.1
#endif

namespace penstock {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

UniqueFd CreateMemfd(const char* name, unsigned flags) {
  flags |= MFD_CLOEXEC;
  // A host with vm.memfd_noexec = 2 refuses files that could become executable.
  UniqueFd fd(memfd_create(name, flags | MFD_NOEXEC_SEAL));
  if (!fd.valid() && errno == EINVAL) fd = UniqueFd(memfd_create(name, flags));
  return fd;
}

absl::StatusOr<MemoryFile> MemoryFile::Create(std::string_view name, uint64_t bytes,
                                              PageSource pages) {
  const bool is_hugetlb = pages == PageSource::kHugetlb;
  const unsigned hugetlb_flags = is_hugetlb ? MFD_HUGETLB | MFD_HUGE_2MB : 0u;
  const std::string label = fmt::format("penstock-{}", name);
  UniqueFd fd(CreateMemfd(label.c_str(), MFD_ALLOW_SEALING | hugetlb_flags));
  if (!fd.valid()) {
    return CallStatus(errno, "memfd_create of " + label,
                      is_hugetlb ? "Reserve huge pages with sysctl vm.nr_hugepages" : "");
  }
  const std::string sizing =
      fmt::format("sizing and sealing {} to {}", label, FormatBytes(bytes));
  // Asked before the kernel is, which would send a signal that ends the process.
  if (bytes > LargestFileBytes()) return ErrnoStatus(EFBIG, sizing);
  if (fchmod(fd.get(), 0600) != 0 ||
      ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return CallStatus(errno, sizing);
  }
  return MemoryFile(std::move(fd), bytes);
}

absl::StatusOr<MemoryFile> MemoryFile::Adopt(UniqueFd fd, uint64_t expected_bytes) {
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return absl::InvalidArgumentError(
        "the descriptor received is no sealed memory file, as a Penstock daemon sends: "
        "something else answers on this socket");
  }
  struct stat facts;
  if (fstat(fd.get(), &facts) != 0) return ErrnoStatus(errno, "fstat of a memory file");
  if (static_cast<uint64_t>(facts.st_size) < expected_bytes) {
    return absl::InvalidArgumentError(
        fmt::format("the memory file received has {} bytes, its header promised {}: client "
                    "and daemon do not agree on the layout, use the same version of both",
                    facts.st_size, expected_bytes));
  }
  return MemoryFile(std::move(fd), static_cast<uint64_t>(facts.st_size));
}

absl::StatusOr<UniqueFd> MemoryFile::ReopenReadOnly() const {
  return penstock::ReopenReadOnly(fd_.get());
}

absl::StatusOr<UniqueFd> ReopenReadOnly(int fd) {
  const std::string path = fmt::format("/proc/self/fd/{}", fd);
  UniqueFd copy(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!copy.valid()) {
    return ProcStatus(errno, "reopening a memory file read-only through /proc/self/fd");
  }
  return copy;
}

std::vector<FilledRange> FilledRanges(int fd, uint64_t begin, uint64_t end) {
  std::vector<FilledRange> ranges;
  while (begin < end) {
    const off_t data = lseek(fd, static_cast<off_t>(begin), SEEK_DATA);
    if (data < 0 || static_cast<uint64_t>(data) >= end) break;  // ENXIO: none up to the end
    const off_t hole = lseek(fd, data, SEEK_HOLE);
    // Punched in between: the next look begins a page further.
    begin = std::min(end, std::max(static_cast<uint64_t>(std::max<off_t>(hole, 0)),
                                   static_cast<uint64_t>(data) + 4 * kKiB));
    ranges.push_back({static_cast<uint64_t>(data), begin});
  }
  return ranges;
}

}  // namespace penstock
