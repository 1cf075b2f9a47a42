// EmptyTurns: the daemon's core with sessions that say nothing, in this process: what one of its
// turns costs when there is nothing to do.
#ifndef PENSTOCK_BENCH_EMPTY_TURN_H_
#define PENSTOCK_BENCH_EMPTY_TURN_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace penstock::bench {

// Thread safety: one thread at a time.
class EmptyTurns {
 public:
  static absl::StatusOr<std::unique_ptr<EmptyTurns>> Make(uint32_t sessions);
  virtual ~EmptyTurns() = default;
  // Microseconds of one, on average over many.
  virtual double Take() = 0;
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_EMPTY_TURN_H_
