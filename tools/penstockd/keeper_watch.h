// The daemon's side of its keeper: when it dies the daemon starts another, and when a new
// penstockd takes over, that one becomes the keeper.
//
// Thread safety: the server's thread.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_KEEPER_WATCH_H_
#define PENSTOCK_TOOLS_PENSTOCKD_KEEPER_WATCH_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"
#include "tools/penstockd/keeper.h"
#include "tools/penstockd/server.h"

namespace penstock {

class KeeperWatch {
 public:
  KeeperWatch(Server* server, const KeptDescriptors* kept, UniqueFd pidfd, char** argv)
      : server_(server), kept_(kept), pidfd_(std::move(pidfd)), argv_(argv) {}

  absl::Status Begin();

 private:
  absl::Status Watch();
  bool OnDeath();
  absl::StatusOr<UniqueFd> StartKeeper();
  absl::Status HandOver(UniqueFd socket, UniqueFd heir);
  absl::Status Entrust(UniqueFd socket, KeeperChannel& old, bool& has_asked);

  Server* const server_;
  const KeptDescriptors* const kept_;
  UniqueFd pidfd_;
  char** const argv_;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_KEEPER_WATCH_H_
