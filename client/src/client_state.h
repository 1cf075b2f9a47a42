// ClientState: what the copies of a Client share: the session in use.
#ifndef PENSTOCK_CLIENT_SRC_CLIENT_STATE_H_
#define PENSTOCK_CLIENT_SRC_CLIENT_STATE_H_

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "client/src/session.h"
#include "client/src/thread_marks.h"

namespace penstock::internal {

// Thread safety: every call from any thread. No thread follows current_ without a mark (Visit, or
// the short way of a get): another thread may open the next session and let this one go.
class ClientState {
 public:
  ClientState(ClientOptions options, std::unique_ptr<Session> session);
  // A session of which views or builders are still about lives on until those are gone.
  ~ClientState();

  // For a thread that is marked as in some session: that in use, alive or not. Null for a thread
  // that is not registered, and in a child of a fork before its first call.
  Session* CurrentForMarked() const {
    return t_mark.fork_generation == fork_generation_.load(std::memory_order_acquire)
               ? current_.load(std::memory_order_acquire) : nullptr;
  }

  // A session died with seals or deletes that no Sync had waited for: the next one says so.
  std::atomic<bool> lost_work{false};
  // Number of the one subscription of this client, 0: it has none. One that has ended with its
  // daemon does not end the next one.
  std::atomic<uint64_t> subscription{0};

 private:
  friend class Visit;
  absl::Status Reopen();

  // That of current_. When a child opens its own session, this follows it.
  std::atomic<uint32_t> fork_generation_;
  std::atomic<Session*> current_;  // owned
  const ClientOptions options_;
};

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_CLIENT_STATE_H_
