// SYNC S1 parking: how a consumer sleeps without losing a wake-up.
//
//   producer                              consumer
//   publish (exchange, seq_cst)           parked = n (exchange, seq_cst)
//   read parked (seq_cst)                 look at every ring again
//   ring the eventfd if it is not 0       sleep on the eventfd if all are empty
//
// n numbers the sleeps, so that a producer rings once for each: a consumer takes tens of
// microseconds to wake, and every ring meanwhile would cost a system call for nothing. A
// consumer that was rung for sleep n sets n + 1 and looks again before it sleeps again.
//
// Of the two looks at least one sees the other side's store, because each store and the
// load after it are sequentially consistent. Without either fence both may miss:
// tests/model/s1_parking.pml shows it.
#ifndef PENSTOCK_STORE_SHM_PARKING_H_
#define PENSTOCK_STORE_SHM_PARKING_H_

#include <atomic>
#include <cstdint>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"

namespace penstock {

using ParkedFlag = std::atomic<uint64_t>;  // 0: awake; else the number of the sleep

// The consumer's side. After Park it looks at every ring once more before it sleeps.
// Thread safety: one thread at a time.
class Parker {
 public:
  Parker() = default;
  // Goes on after another consumer of the same flag: `sleeps` is no number that it used.
  explicit Parker(uint64_t sleeps) : sleeps_(sleeps) {}

  void Park(ParkedFlag& flag) {
    flag.exchange(++sleeps_, std::memory_order_seq_cst);
  }
  static void Unpark(ParkedFlag& flag) { flag.store(0, std::memory_order_relaxed); }

 private:
  uint64_t sleeps_ = 0;  // 64 bits: no number comes twice
};

// A producer's side: what it rang for last. Thread safety: any threads of the process.
class RingMemory {
 public:
  // After RingProducer::Publish: calls `ring` if the consumer sleeps and was not rung for yet.
  // True if it did.
  template <typename Ring>
  bool RingOnce(const ParkedFlag& flag, Ring&& ring) {
    const uint64_t sleep = flag.load(std::memory_order_seq_cst);
    if (sleep == 0 || sleep == rung_.load(std::memory_order_relaxed)) return false;
    ring();
    // Not before the bell: a thread that reads this leaves the ringing to us, and we may be
    // stopped in between for as long as the system likes. Two threads may both ring for one
    // sleep: harmless.
    rung_.store(sleep, std::memory_order_relaxed);
    return true;
  }

 private:
  std::atomic<uint64_t> rung_{0};
};

// A doorbell: an eventfd that whoever may wake its owner was handed.
absl::StatusOr<UniqueFd> MakeDoorbell();
// Adds one to it. Cost: a system call, about 1 us. Never blocks: the descriptor is
// non-blocking, and a counter that is full is already loud enough.
void RingDoorbell(int doorbell_fd);
// Sets it back to silent.
void DrainDoorbell(int doorbell_fd);
// Sleeps until it rings or `timeout_ns` has passed (negative: for ever), and silences it.
// False on a timeout.
bool SleepOnDoorbell(int doorbell_fd, int64_t timeout_ns);

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_PARKING_H_
