// The spin lock: exclusive, and no waiter burns its core for a holder that takes long.
#include "store/base/spin_lock.h"

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(SpinLock, OneAtATime) {
  SpinLock lock;
  int count = 0;
  const auto add = [&] {
    for (int i = 0; i < 20'000; ++i) {
      const std::lock_guard guard(lock);
      ++count;
    }
  };
  std::thread other(add);
  add();
  other.join();
  EXPECT_EQ(count, 40'000);
}

// The times the thread gave up its core by its own will: a sleep does, a yield does not.
long SleepsOf(pid_t thread) {
  std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/status");
  std::string word;
  long sleeps = -1;
  while (status >> word) {
    if (word == "voluntary_ctxt_switches:") status >> sleeps;
  }
  return sleeps;
}

// The holder lets go when it has seen the waiter sleep, however long its yields take where
// others want the cores.
TEST(SpinLock, AWaiterSleepsWhereTheHolderTakesLong) {
  SpinLock lock;
  std::atomic<pid_t> waiting{0};
  lock.lock();
  std::thread waiter([&] {
    waiting = gettid();
    const std::lock_guard guard(lock);
  });
  while (waiting == 0) std::this_thread::yield();
  const long before = SleepsOf(waiting);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  // More than the few that the start of a thread may take.
  while (SleepsOf(waiting) < before + 100 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const long after = SleepsOf(waiting);
  lock.unlock();
  waiter.join();
  EXPECT_GE(before, 0);
  EXPECT_GE(after, before + 100);
}

}  // namespace
}  // namespace penstock
