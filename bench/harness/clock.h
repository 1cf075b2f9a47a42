// The clock of all measurements: CLOCK_MONOTONIC, the same in every process.
#ifndef PENSTOCK_BENCH_HARNESS_CLOCK_H_
#define PENSTOCK_BENCH_HARNESS_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace penstock::bench {

inline int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

inline double SecondsSince(int64_t start_ns) {
  return static_cast<double>(NowNs() - start_ns) * 1e-9;
}

inline void SleepNs(int64_t ns) {
  const timespec span{ns / 1'000'000'000, ns % 1'000'000'000};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &span, nullptr);
}

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_CLOCK_H_
