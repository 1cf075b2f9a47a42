// Which process this is, counted in forks: a session belongs to the process that opened
// it, and a child must not write its parent's row, ring or leases.
#ifndef PENSTOCK_CLIENT_SRC_FORK_GUARD_H_
#define PENSTOCK_CLIENT_SRC_FORK_GUARD_H_

#include <cstdint>

#include <penstock/internal/session_head.h>

namespace penstock::internal {

inline uint32_t ForkGeneration() { return CurrentForkGeneration(); }

// Starts counting; called before the first session is opened.
void WatchForks();

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_FORK_GUARD_H_
