// The longest step of a loop that does nothing, on the clock that turns are measured with.
//
// What the host takes from a guest's processor counts as the thread's own time, and so do
// interrupts: below this no turn can be known to be.
#ifndef PENSTOCK_BENCH_PENSTOCK_BENCH_BARE_LOOP_H_
#define PENSTOCK_BENCH_PENSTOCK_BENCH_BARE_LOOP_H_

#include <time.h>

#include <algorithm>
#include <cstdint>

#include "bench/harness/clock.h"

namespace penstock::bench {

// Takes so long, and the whole of a processor.
inline double LongestStepOfABareLoop_ms(int64_t duration_ns) {
  const auto processor_ns = [] {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  };
  const int64_t until_ns = NowNs() + duration_ns;
  int64_t longest_ns = 0;
  for (int64_t last_ns = processor_ns(); NowNs() < until_ns;) {
    const int64_t now_ns = processor_ns();
    longest_ns = std::max(longest_ns, now_ns - last_ns);
    last_ns = now_ns;
  }
  return static_cast<double>(longest_ns) * 1e-6;
}

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_PENSTOCK_BENCH_BARE_LOOP_H_
