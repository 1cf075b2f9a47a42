// Blocking eventfds between the processes of a benchmark.
#ifndef PENSTOCK_BENCH_HARNESS_STAGE_BELLS_H_
#define PENSTOCK_BENCH_HARNESS_STAGE_BELLS_H_

#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "absl/status/status.h"
#include "store/base/errors.h"

namespace penstock::bench {

inline absl::Status RingBell(int bell) {
  const uint64_t one = 1;
  if (write(bell, &one, sizeof(one)) != static_cast<ssize_t>(sizeof(one))) {
    return ErrnoStatus(errno, "ringing an eventfd");
  }
  return absl::OkStatus();
}

inline absl::Status AwaitBell(int bell) {
  uint64_t rings = 0;
  while (read(bell, &rings, sizeof(rings)) != static_cast<ssize_t>(sizeof(rings))) {
    if (errno != EINTR) return ErrnoStatus(errno, "sleeping on an eventfd");
  }
  return absl::OkStatus();
}

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_STAGE_BELLS_H_
