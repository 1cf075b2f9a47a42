// SYNC S1 parking: how a consumer sleeps without losing a wake-up.
//
//   producer                              consumer
//   publish (exchange, seq_cst)           parked = 1 (exchange, seq_cst)
//   read parked (seq_cst)                 look at every ring again
//   ring the eventfd if it is set         sleep on the eventfd if all are empty
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

using ParkedFlag = std::atomic<uint32_t>;

// Consumer. After SetParked it looks at every ring once more before it sleeps.
inline void SetParked(ParkedFlag& flag) { flag.exchange(1, std::memory_order_seq_cst); }
inline void ClearParked(ParkedFlag& flag) { flag.store(0, std::memory_order_relaxed); }

// Producer, after RingProducer::Publish.
inline bool IsParked(const ParkedFlag& flag) {
  return flag.load(std::memory_order_seq_cst) != 0;
}

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
