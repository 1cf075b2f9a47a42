// Doorbells are eventfds, or pipes where the two sides do not trust each other.
#include "store/shm/parking.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <cerrno>

#include "store/base/host_limits.h"

namespace penstock {

absl::StatusOr<UniqueFd> MakeDoorbell() {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return CallStatus(errno, "eventfd");
  return fd;
}

void RingDoorbell(int doorbell_fd) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = write(doorbell_fd, &one, sizeof(one));
}

void DrainDoorbell(int doorbell_fd) {
  // An eventfd gives its counter and is 0; a pipe gives what was put into it ring by ring.
  uint64_t rings[64];
  [[maybe_unused]] const ssize_t ignored = read(doorbell_fd, rings, sizeof(rings));
}

bool SleepOnDoorbell(int doorbell_fd, int64_t timeout_ns) {
  pollfd item{doorbell_fd, POLLIN, 0};
  timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  // A signal counts as a wake-up: the caller looks at its rings again anyway.
  const int ready = ppoll(&item, 1, timeout_ns < 0 ? nullptr : &timeout, nullptr);
  if (ready == 0) return false;
  DrainDoorbell(doorbell_fd);
  return true;
}

}  // namespace penstock
