// penstock doctor: what can only be found out by trying it.
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "store/base/host_limits.h"
#include "store/base/unique_fd.h"
#include "store/base/units.h"
#include "store/shm/huge_pages.h"
#include "store/shm/memory_file.h"
#include "tools/penstock/doctor.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5; Debian 12's headers are of 6.1
#endif

namespace penstock {
namespace {

int TryMemoryFile() {
  if (LargestFileBytes() < 4 * kKiB) return EFBIG;
  return MemoryFile::Create("penstock-doctor", 4 * kKiB).ok() ? 0 : (errno != 0 ? errno : EPERM);
}

// As the daemon does it: 4 KiB pages populated, then collapsed where they are mapped.
int TryCollapse() {
  constexpr uint64_t kBytes = 2 * kHugePageBytes;
  if (LargestFileBytes() < kBytes) return EFBIG;
  errno = 0;
  const auto file = MemoryFile::Create("penstock-doctor", kBytes);
  if (!file.ok()) return errno != 0 ? errno : ENOMEM;
  if (!PopulatePages(file->fd(), 0, kHugePageBytes).ok()) return ENOMEM;
  // Twice as much address space, to find a place that is aligned.
  void* const space =
      mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED) return errno;
  void* const aligned =
      reinterpret_cast<void*>(RoundUp(reinterpret_cast<uintptr_t>(space), kHugePageBytes));
  int error = 0;
  if (mmap(aligned, kHugePageBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file->fd(),
           0) == MAP_FAILED) {
    error = errno;
  } else if (!CollapsePages(static_cast<std::byte*>(aligned), kHugePageBytes).ok()) {
    error = errno != 0 ? errno : EAGAIN;
  }
  munmap(space, kBytes);
  return error;
}

int TryPidfd() {
  const UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  return fd.valid() ? 0 : errno;
}

int TryPeerPidfd() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  const UniqueFd first(ends[0]);
  const UniqueFd second(ends[1]);
  int pidfd = -1;
  socklen_t size = sizeof(pidfd);
  if (getsockopt(first.get(), SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) != 0) return errno;
  const UniqueFd received(pidfd);
  return 0;
}

int TryIoUring() {
  io_uring_params params;
  std::memset(&params, 0, sizeof(params));
  const UniqueFd ring(static_cast<int>(syscall(SYS_io_uring_setup, 4, &params)));
  return ring.valid() ? 0 : errno;
}

uint32_t UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<uint32_t>(std::max(CPU_COUNT(&set), 1));
}

}  // namespace

HostTrials TryHost() {
  HostTrials trials;
  utsname name{};
  if (uname(&name) == 0) trials.kernel_release = name.release;
  errno = 0;
  trials.memfd_errno = TryMemoryFile();
  trials.collapse_errno = TryCollapse();
  trials.pidfd_errno = TryPidfd();
  trials.peer_pidfd_errno = TryPeerPidfd();
  trials.io_uring_errno = TryIoUring();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    trials.files_soft = limit.rlim_cur;
    trials.files_hard = limit.rlim_max;
  }
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) trials.memlock = limit.rlim_cur;
  trials.file_bytes = LargestFileBytes();
  trials.cpus = UsableCpus();
  return trials;
}

}  // namespace penstock
