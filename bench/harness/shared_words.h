// Words that several processes of a benchmark look at: the only raw atomics of the bench.
//
// Each word has a cache line of its own and one writer at a time. The futex calls are here
// because a futex sleeps on such a word.
#ifndef PENSTOCK_BENCH_HARNESS_SHARED_WORDS_H_
#define PENSTOCK_BENCH_HARNESS_SHARED_WORDS_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace penstock::bench {

class alignas(64) SharedWord {
 public:
  // What was written before a Publish is seen after the Load that returns its value.
  void Publish(uint32_t value) { word_.store(value, std::memory_order_release); }
  uint32_t Load() const { return word_.load(std::memory_order_acquire); }
  uint32_t Increment() { return word_.fetch_add(1, std::memory_order_acq_rel) + 1; }

  void SpinUntil(uint32_t value) const {
    while (Load() != value) {
    }
  }
  // Sleeps while the word holds another value.
  void SleepUntil(uint32_t value) {
    for (uint32_t seen = Load(); seen != value; seen = Load()) {
      syscall(SYS_futex, Address(), FUTEX_WAIT, seen, nullptr, nullptr, 0);
    }
  }
  void PublishAndWake(uint32_t value) {
    Publish(value);
    syscall(SYS_futex, Address(), FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }

 private:
  uint32_t* Address() { return reinterpret_cast<uint32_t*>(&word_); }

  std::atomic<uint32_t> word_{0};
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
  static_assert(std::atomic<uint32_t>::is_always_lock_free);
};
static_assert(sizeof(SharedWord) == 64);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_SHARED_WORDS_H_
