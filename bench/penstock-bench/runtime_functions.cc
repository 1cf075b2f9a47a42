// The functions, and their registration.
#include "bench/penstock-bench/runtime_functions.h"

#include <unistd.h>

namespace penstock::bench {

uint64_t NextOf(uint64_t value) { return value + 1; }
int PidOfWorker() { return getpid(); }
Echo* MakeEcho() { return new Echo(); }
int Echo::Pid() const { return getpid(); }

PENSTOCK_REMOTE(NextOf, PidOfWorker, MakeEcho, &Echo::Pid, &Echo::Next, &Echo::NextOfRef);

}  // namespace penstock::bench
