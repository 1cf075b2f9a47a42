// Reopening sessions.
#include "client/src/client_state.h"

#include <unistd.h>

#include <utility>

#include "client/src/retired_sessions.h"
#include "store/base/errors.h"

namespace penstock::internal {
namespace {

// Held while a session is opened. A child whose parent held it at the fork would wait for
// ever, so it counts as free when an earlier generation took it.
std::atomic<uint64_t> g_reopening{0};

class ReopeningLock {
 public:
  ReopeningLock() {
    const uint64_t mine = ForkGeneration();
    for (;;) {
      uint64_t holder = g_reopening.load(std::memory_order_relaxed);
      if (holder != mine &&
          g_reopening.compare_exchange_weak(holder, mine, std::memory_order_acquire)) {
        return;
      }
      usleep(100);
    }
  }
  ~ReopeningLock() { g_reopening.store(0, std::memory_order_release); }
};

}  // namespace

ClientState::ClientState(ClientOptions options, std::unique_ptr<Session> session)
    : fork_generation_(session->fork_generation), current_(session.release()),
      options_(std::move(options)) {}

ClientState::~ClientState() {
  Retire(std::unique_ptr<Session>(current_.load(std::memory_order_relaxed)));
}

absl::Status ClientState::Reopen() {
  std::unique_ptr<Session> last;
  {
    const ReopeningLock lock;
    Session* const current = current_.load(std::memory_order_acquire);
    if (current->Usable()) return absl::OkStatus();  // another thread was faster
    absl::StatusOr<std::unique_ptr<Session>> connected = Session::Open(options_);
    if (absl::IsNotFound(connected.status())) {  // which calls say of objects
      return absl::UnavailableError(connected.status().message());
    }
    PENSTOCK_ASSIGN_OR_RETURN(std::unique_ptr<Session> opened, std::move(connected));
    if (current->FromThisProcess() && current->HasUnsynced()) {
      lost_work.store(true, std::memory_order_relaxed);
    }
    last.reset(current);
    const uint32_t generation = opened->fork_generation;
    subscription.store(0);  // before anybody can subscribe in the new one
    current_.store(opened.release(), std::memory_order_release);
    fork_generation_.store(generation, std::memory_order_release);
  }
  Retire(std::move(last));
  return absl::OkStatus();
}

}  // namespace penstock::internal
