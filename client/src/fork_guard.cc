// Counting forks with pthread_atfork.
#include "client/src/fork_guard.h"

#include <pthread.h>

#include "client/src/retired_sessions.h"
#include "client/src/thread_marks.h"

namespace penstock::internal {

std::atomic<uint32_t> g_fork_generation{1};

void WatchForks() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    g_fork_generation.fetch_add(1, std::memory_order_relaxed);
    ForgetOtherThreads();
    ForgetRetired();
  });
  static_cast<void>(registered);
}

}  // namespace penstock::internal
