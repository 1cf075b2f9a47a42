// What the workers of `task` and `actor` run. Registered in every copy of this program.
#ifndef PENSTOCK_BENCH_RUNTIME_FUNCTIONS_H_
#define PENSTOCK_BENCH_RUNTIME_FUNCTIONS_H_

#include <cstdint>

#include <penstock/runtime.h>

#include "absl/status/status.h"

namespace penstock::bench {

// A task or a member function that does next to nothing; its result tells its argument.
uint64_t NextOf(uint64_t value);

int PidOfWorker();

class Echo {
 public:
  int Pid() const;
  uint64_t Next(uint64_t value) { return value + 1; }
  uint64_t NextOfRef(std::vector<ObjectRef<uint64_t>> values) { return *values[0].Get() + 1; }
};
Echo* MakeEcho();

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_RUNTIME_FUNCTIONS_H_
