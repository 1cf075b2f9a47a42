// The daemon's process: signals, keeper watch, server.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_DAEMON_H_
#define PENSTOCK_TOOLS_PENSTOCKD_DAEMON_H_

#include "store/base/unique_fd.h"
#include "tools/penstockd/keeper.h"
#include "tools/penstockd/options.h"

namespace penstock {

// Serves until SIGTERM or SIGINT. Returns the exit code.
int RunDaemon(const DaemonOptions& options, KeptDescriptors& kept, UniqueFd keeper_pidfd,
              char** argv);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_DAEMON_H_
