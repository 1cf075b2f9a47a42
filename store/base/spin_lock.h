// SpinLock: a lock for critical sections of tens of nanoseconds inside one process.
//
// Why not std::mutex: lock and unlock together cost one locked instruction instead of
// two, which a create or a seal feels. Waiters spin for a moment, then yield, so a
// holder that lost its core gets it back, then sleep: a holder may be stopped, or wait.
//
// Thread safety: it is the lock. Never placed in shared memory (invariant 1).
#ifndef PENSTOCK_STORE_BASE_SPIN_LOCK_H_
#define PENSTOCK_STORE_BASE_SPIN_LOCK_H_

#include <sched.h>
#include <time.h>

#include <atomic>
#include <cstdint>

namespace penstock {

inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

class SpinLock {
 public:
  void lock() {
    int spins = 0;
    // Acquire: what the last holder wrote is visible. Pairs with unlock.
    while (held_.exchange(true, std::memory_order_acquire)) {
      while (held_.load(std::memory_order_relaxed)) {
        if (++spins < kSpins) {
          CpuRelax();
        } else if (spins < kSpins + kYields) {
          sched_yield();
        } else {
          --spins;
          nanosleep(&kNap, nullptr);
        }
      }
    }
  }
  bool try_lock() { return !held_.exchange(true, std::memory_order_acquire); }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  static constexpr int kSpins = 64;
  static constexpr int kYields = 1000;
  static constexpr timespec kNap{0, 50'000};

  std::atomic<bool> held_{false};
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_SPIN_LOCK_H_
