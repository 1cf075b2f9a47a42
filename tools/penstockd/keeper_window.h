// KeeperWindow: the keeper's second socket, where the operator's tools get the store to look
// at, also when the daemon hangs or is dead (store/wire/window_message.h).
//
// Nobody behind it can hold the keeper up: nothing here waits, what has connected and says
// nothing makes room for the next, and each connection gets one packet and is closed. Its file
// has mode 0600, so only the store's user and root reach it at all: closing a connection frees
// what was sent over it, which may take as long as the sender likes.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_KEEPER_WINDOW_H_
#define PENSTOCK_TOOLS_PENSTOCKD_KEEPER_WINDOW_H_

#include <poll.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"
#include "tools/penstockd/kept_store.h"

namespace penstock {

// Listens in the store's directory, whose lock the caller holds and where no stale socket is left.
absl::StatusOr<UniqueFd> OpenWindow(const std::string& dir);

// Thread safety: one thread.
class KeeperWindow {
 public:
  // `listener` of OpenWindow stays the caller's.
  explicit KeeperWindow(int listener);

  // Another one from now on.
  void ListenWith(int listener) { listener_ = listener; }
  // What may have news for Serve.
  void AddTo(std::vector<pollfd>& items) const;
  // Answers whoever has asked. `daemon_pidfd`: negative when there is no daemon.
  void Serve(const KeptStore& store, int daemon_pidfd, uint32_t deaths);
  // Serves for so long, where there is nothing else to do.
  void ServeFor(int duration_ms, const KeptStore& store, uint32_t deaths);
  // In a forked child: the connections are the parent's.
  void Leave() {
    waiting_.clear();
    spare_.reset();
  }

 private:
  void Accept();
  void TurnAwayOne();
  void Answer(int socket, uint64_t after_session, const KeptStore& store, int daemon_pidfd,
              uint32_t deaths) const;

  int listener_;
  UniqueFd spare_;  // given up to accept, and so end, one that comes when no descriptor is free
  std::deque<UniqueFd> waiting_;  // connected, and not asked yet; the longest first
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_KEEPER_WINDOW_H_
