// The monotonic clock, in nanoseconds.
#ifndef PENSTOCK_RUNTIME_PROCESS_CLOCK_H_
#define PENSTOCK_RUNTIME_PROCESS_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace penstock::internal {

inline int64_t SteadyNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

}  // namespace penstock::internal

#endif  // PENSTOCK_RUNTIME_PROCESS_CLOCK_H_
