// Deadlines on the monotonic clock, in nanoseconds.
#ifndef PENSTOCK_CLIENT_SRC_CLOCK_H_
#define PENSTOCK_CLIENT_SRC_CLOCK_H_

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace penstock::internal {

inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

inline int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

// The moment `duration` from now; negative durations count as 0.
inline int64_t DeadlineNs(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return kNever;
  const int64_t ns = std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration));
  const int64_t now = NowNs();
  return ns > kNever - now ? kNever : now + ns;
}

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_CLOCK_H_
