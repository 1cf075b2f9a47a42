// The clients of `restart`: processes that put, get, compare, delete and sync without a pause,
// and tell how long each call took.
#ifndef PENSTOCK_BENCH_BUSY_CLIENTS_H_
#define PENSTOCK_BENCH_BUSY_CLIENTS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace penstock::bench {

class BusyClients {
 public:
  // Forks them: call it while this program has no thread. They wait for Begin.
  static absl::StatusOr<BusyClients> Fork(int count);
  BusyClients(BusyClients&& other) noexcept;
  BusyClients& operator=(BusyClients&&) = delete;
  // Ends every one by its pid.
  ~BusyClients();

  int count() const { return static_cast<int>(pids_.size() + ended_); }
  // They connect to the store in `dir` and start to work; returns when all have.
  absl::Status Begin(const std::string& dir);

  // Waits until every client has asked the daemon something after `since_ns` and was
  // answered. When that was, of the last one. DeadlineExceeded after 30 s.
  absl::StatusOr<int64_t> AllAnsweredSince(int64_t since_ns) const;
  // Each compares the objects that it still has, and ends.
  void Finish();
  // Longest call of any client since the last call of this, in nanoseconds.
  int64_t TakeLongestCall();
  uint64_t calls() const;
  // Calls that failed and objects that were not as written; the first is told.
  uint64_t failures() const;
  std::string first_failure() const;

 private:
  struct Board;
  BusyClients() = default;

  Board* board_ = nullptr;
  std::vector<pid_t> pids_;
  size_t ended_ = 0;
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_BUSY_CLIENTS_H_
