// A flag that a signal sets.
#include "bench/harness/interrupt.h"

#include <signal.h>

namespace penstock::bench {
namespace {

volatile sig_atomic_t interrupted = 0;

void OnSignal(int) { interrupted = 1; }

}  // namespace

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
}

absl::Status NotInterrupted() {
  if (interrupted == 0) return absl::OkStatus();
  return absl::CancelledError("interrupted; nothing is left behind");
}

}  // namespace penstock::bench
