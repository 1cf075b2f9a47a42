// A put by a process that never touched the store before: a fresh one for each sample.
#ifndef PENSTOCK_BENCH_FIRST_TOUCH_H_
#define PENSTOCK_BENCH_FIRST_TOUCH_H_

#include <cstdint>
#include <string>

#include <penstock/client.h>

#include "bench/harness/paired_runner.h"
#include "bench/harness/private_daemon.h"

namespace penstock::bench {

// The hidden subcommand that the fresh process runs.
inline constexpr char kFirstTouchCommand[] = "first-touch-process";
struct FirstTouchOptions {
  std::string dir;
  uint64_t bytes = 0;
  uint64_t seed = 0;
};
// Connects, fills a source, puts it once; prints the nanoseconds of the put and the id.
// Returns the exit status.
int RunFirstTouchProcess(const FirstTouchOptions& options);

// put_100MB_first_touch_gbps. `client` compares and deletes what was put.
Series FirstTouch(const PrivateDaemon& daemon, Client& client, uint64_t bytes,
                  Verification& verification);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_FIRST_TOUCH_H_
