// Reopening sessions, and the rest home of those whose client is gone.
#include "client/src/client_state.h"

#include <unistd.h>

#include <algorithm>
#include <mutex>

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

// Sessions that views or builders of a departed client still use.
std::vector<std::unique_ptr<Session>>& Orphans() {
  static auto* const orphans = new std::vector<std::unique_ptr<Session>>();
  return *orphans;
}

// With the lock held.
void SweepOrphans() {
  std::erase_if(Orphans(), [](const std::unique_ptr<Session>& session) {
    return session->FromThisProcess() && !session->HasHandles();
  });
}

}  // namespace

ClientState::ClientState(ClientOptions options, std::unique_ptr<Session> session)
    : options_(std::move(options)), current_(session.get()) {
  const ReopeningLock lock;
  sessions_.push_back(std::move(session));
  SweepOrphans();
}

ClientState::~ClientState() {
  const ReopeningLock lock;
  for (std::unique_ptr<Session>& session : sessions_) {
    // A parent's session is left alone in a child: its handles may still be looked at.
    const bool finished = session->FromThisProcess() && !session->HasHandles();
    if (!finished) Orphans().push_back(std::move(session));
  }
  sessions_.clear();
  SweepOrphans();
}

absl::StatusOr<Session*> ClientState::Reopen() {
  const ReopeningLock lock;
  Session* const current = current_.load(std::memory_order_acquire);
  if (current->Usable()) return current;  // another thread was faster
  absl::StatusOr<std::unique_ptr<Session>> opened = Session::Open(options_);
  if (!opened.ok()) return opened.status();
  if (current->FromThisProcess() && current->HasUnsynced()) {
    lost_work.store(true, std::memory_order_relaxed);
  }
  Session* const session = opened->get();
  sessions_.push_back(*std::move(opened));
  current_.store(session, std::memory_order_release);
  subscribed.store(false, std::memory_order_relaxed);
  return session;
}

}  // namespace penstock::internal
