// MemoryFile: a sealed memfd, the only kind of shared memory Penstock uses.
//
// A memfd is not bound by a container's 64 MiB /dev/shm, and the kernel frees it when
// the last process that holds it is gone. It is sealed against shrinking, growing and
// further seals before anybody else sees it: one ftruncate by a client would otherwise
// kill every process that has it mapped by SIGBUS.
#ifndef PENSTOCK_STORE_SHM_MEMORY_FILE_H_
#define PENSTOCK_STORE_SHM_MEMORY_FILE_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"

namespace penstock {

enum class PageSource { kSmall, kHugetlb };

class MemoryFile {
 public:
  MemoryFile() = default;

  // Creates and seals a file of `bytes` bytes, mode 0600. Nothing is allocated yet.
  // With kHugetlb the pages are taken from the operator's reserve and `bytes` must be a
  // multiple of 2 MiB. Errors: ResourceExhausted, with what to reserve.
  static absl::StatusOr<MemoryFile> Create(std::string_view name, uint64_t bytes,
                                           PageSource pages = PageSource::kSmall);

  // Takes over a descriptor that came from another process, and checks that it is a
  // memfd with the three seals and at least `expected_bytes` long. The mapping code may
  // then rely on no access below that length ending in SIGBUS.
  static absl::StatusOr<MemoryFile> Adopt(UniqueFd fd, uint64_t expected_bytes);

  // A second descriptor that cannot be mapped writable (penstock::ReopenReadOnly).
  absl::StatusOr<UniqueFd> ReopenReadOnly() const;

  int fd() const { return fd_.get(); }
  UniqueFd TakeFd() { return std::move(fd_); }
  uint64_t bytes() const { return bytes_; }

 private:
  MemoryFile(UniqueFd fd, uint64_t bytes) : fd_(std::move(fd)), bytes_(bytes) {}

  UniqueFd fd_;
  uint64_t bytes_ = 0;
};

// memfd_create, close-on-exec and never executable. Invalid: errno says why.
UniqueFd CreateMemfd(const char* name, unsigned flags);

// A second descriptor of a memory file, that cannot be mapped writable. Does not wait for a
// lease (F_SETLEASE) that somebody has on the file: Unavailable then.
absl::StatusOr<UniqueFd> ReopenReadOnly(int fd);

// Where in [begin, end) a memory file has memory, for who may read nothing else: reading a hole
// allocates it. Whole pages; somebody may punch a hole there at any time all the same.
struct FilledRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};
std::vector<FilledRange> FilledRanges(int fd, uint64_t begin, uint64_t end);

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_MEMORY_FILE_H_
