// Keeper: the small process that outlives the daemon. It holds the listening socket, the
// directory's lock and the store itself (KeptStore), lets the operator's tools look at it
// (KeeperWindow), starts the daemon, and starts it again when it dies.
//
// Three ways in: `penstockd` starts as keeper and forks the daemon; a daemon whose keeper
// died executes a new keeper and hands it the descriptors; `penstockd --take-over` gets them
// from the daemon that runs (take_over.h), and starts its own when that one has left.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_KEEPER_H_
#define PENSTOCK_TOOLS_PENSTOCKD_KEEPER_H_

#include <string>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"
#include "tools/penstockd/kept_store.h"
#include "tools/penstockd/options.h"

namespace penstock {

// What both processes hold. `store` is the keeper's; a daemon that is forked after another
// has died finds it filled.
struct KeptDescriptors {
  UniqueFd lock;
  UniqueFd listener;
  UniqueFd window;  // where the operator's tools come (KeeperWindow)
  // The daemon writes a byte into `ended_write` before it ends in order; the keeper reads
  // it to tell that end from a death. (A wait status would reach a parent only.)
  UniqueFd ended_read;
  UniqueFd ended_write;
  UniqueFd channel;  // this process's end of the KeeperChannel
  KeptStore store;
};

// Locks the directory, removes a stale socket, listens.
absl::StatusOr<KeptDescriptors> TakeDirectory(const DaemonOptions& options);

// Starts a daemon and keeps one running until it ends in order or SIGTERM arrives. Returns
// the exit code. Its own child, the daemon, runs inside this call and does not return.
int RunKeeper(const DaemonOptions& options, KeptDescriptors kept, char** argv);

// The same for a daemon that lives already: this process was executed by it.
int RunSuccessorKeeper(const DaemonOptions& options, char** argv);

// The same for what was taken over from another keeper, with its daemon.
int RunHeirKeeper(const DaemonOptions& options, KeptDescriptors kept, UniqueFd daemon_pidfd,
                  char** argv);

// Daemon: executes a new keeper for itself. `argv` is the daemon's own, `channel` the new
// keeper's end. The result is the new keeper's pidfd.
absl::StatusOr<UniqueFd> StartSuccessorKeeper(const KeptDescriptors& kept, int channel,
                                              char** argv);

// Whether this process was executed by StartSuccessorKeeper.
bool IsSuccessorKeeper();

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_KEEPER_H_
