// Shared mappings aligned to 2 MiB.
#include "store/shm/mapping.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>
#include "store/base/host_limits.h"
#include "store/base/units.h"

namespace penstock {

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    Unmap();
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

Mapping::~Mapping() { Unmap(); }

void Mapping::Unmap() {
  if (data_ != nullptr) munmap(data_, bytes_);
  data_ = nullptr;
}

absl::StatusOr<Mapping> Mapping::Map(int fd, uint64_t bytes, Access access,
                                     OnFork on_fork) {
  // Reserve 2 MiB more than needed, place the file inside at an aligned address, give
  // the rest back.
  const uint64_t reserved = RoundUp(bytes, kHugePageBytes) + kHugePageBytes;
  void* reserve = mmap(nullptr, reserved, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserve == MAP_FAILED) {
    return AddressSpaceStatus(
        errno, fmt::format("reserving {} of address space", FormatBytes(bytes)));
  }
  const uint64_t start = reinterpret_cast<uint64_t>(reserve);
  const uint64_t aligned = RoundUp(start, kHugePageBytes);
  const int protection =
      access == Access::kReadOnly ? PROT_READ : PROT_READ | PROT_WRITE;
  void* mapped = mmap(reinterpret_cast<void*>(aligned), bytes, protection,
                      MAP_SHARED | MAP_FIXED, fd, 0);
  if (mapped == MAP_FAILED) {
    const int error = errno;
    munmap(reserve, reserved);
    return AddressSpaceStatus(error,
                              fmt::format("mapping {} of a memory file", FormatBytes(bytes)));
  }
  const uint64_t used_end = aligned + RoundUp(bytes, 4 * kKiB);
  if (aligned > start) munmap(reserve, aligned - start);
  if (start + reserved > used_end) {
    munmap(reinterpret_cast<void*>(used_end), start + reserved - used_end);
  }
  Mapping mapping;
  mapping.data_ = static_cast<std::byte*>(mapped);
  mapping.bytes_ = bytes;
  madvise(mapped, bytes, MADV_DONTDUMP);
  madvise(mapped, bytes, MADV_HUGEPAGE);  // Refused where the kernel lacks it: no loss.
  if (on_fork == OnFork::kDrop && madvise(mapped, bytes, MADV_DONTFORK) != 0) {
    return CallStatus(errno, "madvise(MADV_DONTFORK) on a memory file");
  }
  return mapping;
}

}  // namespace penstock
