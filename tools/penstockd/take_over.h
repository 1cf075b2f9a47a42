// Taking over the store of a penstockd that runs: `penstockd --take-over`.
//
// The new process asks the running daemon, which makes it its keeper in place of the old one
// (KeeperWatch::HandOver) and then leaves; what follows is a daemon that starts again, as after
// a death. So a process killed at any point of it leaves one keeper and one store.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_TAKE_OVER_H_
#define PENSTOCK_TOOLS_PENSTOCKD_TAKE_OVER_H_

#include <string>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"
#include "store/wire/control_message.h"
#include "tools/penstockd/keeper.h"
#include "tools/penstockd/options.h"

namespace penstock {

// What this program writes and reads.
StoreLayouts OwnLayouts();

struct Inheritance {
  KeptDescriptors kept;
  UniqueFd daemon_pidfd;
};

// On return this process is the keeper of the store in `dir`, and the daemon is about to leave.
// Errors: NotFound when nothing runs there, what the daemon answers, Aborted when it died
// meanwhile (its own keeper starts it again), PermissionDenied when it is another user's.
// `options`: the new daemon's. Flags that the old one had and this one has not are logged.
absl::StatusOr<Inheritance> TakeOverStore(const DaemonOptions& options);
// Absolute and without links, as far as it exists; empty stays empty. Two names of one directory
// become the same.
std::string CanonicalDirectory(const std::string& dir);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_TAKE_OVER_H_
