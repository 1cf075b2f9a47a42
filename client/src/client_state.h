// ClientState: what the copies of a Client share: the session in use, and those before it.
#ifndef PENSTOCK_CLIENT_SRC_CLIENT_STATE_H_
#define PENSTOCK_CLIENT_SRC_CLIENT_STATE_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/src/session.h"

namespace penstock::internal {

// Thread safety: every call from any thread.
class ClientState {
 public:
  ClientState(ClientOptions options, std::unique_ptr<Session> session);
  // Sessions of which views or builders are still about live on until those are gone.
  ~ClientState();

  // The session to use now. After a fork, or when the daemon died, opens another one.
  absl::StatusOr<Session*> Current() {
    Session* const session = current_.load(std::memory_order_acquire);
    if (session->Usable()) [[likely]] return session;
    return Reopen();
  }
  // The same without opening another: null when it is not usable. The hot path's.
  Session* CurrentIfUsable() const {
    Session* const session = current_.load(std::memory_order_acquire);
    return session->Usable() ? session : nullptr;
  }

  // A session died with seals or deletes that no Sync had waited for: the next one says so.
  std::atomic<bool> lost_work{false};
  // The one subscription of this client.
  std::atomic<bool> subscribed{false};

 private:
  absl::StatusOr<Session*> Reopen();

  const ClientOptions options_;
  std::atomic<Session*> current_;
  std::vector<std::unique_ptr<Session>> sessions_;  // under the reopening lock
};

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_CLIENT_STATE_H_
