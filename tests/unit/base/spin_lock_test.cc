// The spin lock: exclusive, and no waiter burns its core for a holder that takes long.
#include "store/base/spin_lock.h"

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <mutex>
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

// A yield is an involuntary switch; a sleep is one by one's own will.
TEST(SpinLock, AWaiterSleepsWhereTheHolderTakesLong) {
  SpinLock lock;
  std::atomic<bool> has_slept{false};
  lock.lock();
  std::thread waiter([&] {
    const std::lock_guard guard(lock);
    rusage use{};
    getrusage(RUSAGE_THREAD, &use);
    has_slept = use.ru_nvcsw > 0;
  });
  // As long as a daemon that is stopped.
  std::this_thread::sleep_for(std::chrono::seconds(1));
  lock.unlock();
  waiter.join();
  EXPECT_TRUE(has_slept);
}

}  // namespace
}  // namespace penstock
