// The time of the last tick: a few nanoseconds, which every turn of the daemon can afford.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_COARSE_CLOCK_H_
#define PENSTOCK_TOOLS_PENSTOCKD_COARSE_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace penstock {

// Never goes back; up to 4 ms late.
inline int64_t CoarseNowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_COARSE_CLOCK_H_
