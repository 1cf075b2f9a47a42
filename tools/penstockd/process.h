// Small helpers around processes and signals, for keeper and daemon.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_PROCESS_H_
#define PENSTOCK_TOOLS_PENSTOCKD_PROCESS_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"

namespace penstock {

// Blocks SIGTERM, SIGINT and SIGHUP and makes a descriptor that is readable when one
// arrives; ignores SIGPIPE. A SIGHUP that is ignored (nohup) stays ignored.
absl::StatusOr<UniqueFd> CatchEndSignals();
absl::StatusOr<UniqueFd> OpenPidfd(pid_t pid);
// Refuses a limit under which no client could be served, before one is let in to find out.
absl::Status CheckDescriptorLimit();
// A session needs eight descriptors: takes what the host allows.
void RaiseDescriptorLimit();
// The process behind a pidfd; 0 when it is gone.
pid_t PidOf(int pidfd);
void SendSignal(int pidfd, int signal);
// True when the process is gone within `timeout_ms` (negative: waits for ever).
bool WaitForEnd(int pidfd, int timeout_ms);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_PROCESS_H_
