// SocketWatch: the daemon's eye on the store's two sockets. Whoever tidies up a directory (a
// cleaner of /tmp, an operator's rm) takes them from a store that lives; the daemon makes them
// anew, so that clients find it again.
//
// Thread safety: the server's thread.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_SOCKET_WATCH_H_
#define PENSTOCK_TOOLS_PENSTOCKD_SOCKET_WATCH_H_

#include <string>

#include "absl/status/status.h"
#include "store/base/unique_fd.h"
#include "tools/penstockd/keeper.h"
#include "tools/penstockd/server.h"

namespace penstock {

class SocketWatch {
 public:
  // Changes the listener and the window of `kept`.
  SocketWatch(const std::string& dir, Server* server, KeptDescriptors* kept)
      : dir_(dir), server_(server), kept_(kept) {}

  // Looks once, for what went while there was no daemon, and then after every removal in the
  // directory. A host that has no inotify left for this user gets a line in the log and no watch.
  absl::Status Begin();

 private:
  void OnRemoval();
  void Look();
  absl::Status MakeAnew(bool listener_is_missing, bool window_is_missing);

  const std::string dir_;
  Server* const server_;
  KeptDescriptors* const kept_;
  UniqueFd removals_;  // inotify
  UniqueFd timer_;
  bool loss_is_told_ = false;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_SOCKET_WATCH_H_
