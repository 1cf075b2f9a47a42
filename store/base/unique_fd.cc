// Descriptors of the standard streams.
#include "store/base/unique_fd.h"

#include <fcntl.h>

namespace penstock {

int AboveStandardStreams(int fd) {
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (moved < 0) return fd;  // no descriptor is left: the caller's next call says so
  close(fd);
  return moved;
}

void FillStandardStreams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest that is free. Reading the one, or writing the others, fails as if it were closed.
    [[maybe_unused]] const int opened =
        open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace penstock
