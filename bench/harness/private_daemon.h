// PrivateDaemon: a penstockd of the benchmark's own, in a directory of its own.
#ifndef PENSTOCK_BENCH_HARNESS_PRIVATE_DAEMON_H_
#define PENSTOCK_BENCH_HARNESS_PRIVATE_DAEMON_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <penstock/client.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace penstock::bench {

struct PrivateDaemonOptions {
  uint64_t memory_bytes = 0;
  uint32_t objects = 0;        // 0: the daemon's default
  std::string spill_dir = {};  // empty: nothing goes to disk
  uint32_t max_sessions = 0;   // 0: the daemon's default
};

class PrivateDaemon {
 public:
  // Starts the penstockd beside this program and waits until its memory is populated and
  // its huge pages are made. It ends with this object, and with this process.
  static absl::StatusOr<std::unique_ptr<PrivateDaemon>> Start(
      const PrivateDaemonOptions& options);
  ~PrivateDaemon();
  PrivateDaemon(const PrivateDaemon&) = delete;
  PrivateDaemon& operator=(const PrivateDaemon&) = delete;

  const std::string& dir() const { return dir_; }
  pid_t pid() const { return daemon_; }  // of the process that serves, not of its keeper
  absl::StatusOr<Client> Connect() const { return Client::Connect({.dir = dir_}); }
  absl::StatusOr<DaemonStatus> Status() const { return QueryStatus(dir_); }
  // Ends the daemon by SIGKILL; returns when the next one answers.
  absl::Status KillDaemon();
  // Another penstockd takes the store over; returns when its daemon answers.
  absl::Status TakeOver();
  // Keeps every thread of the daemon on one cpu.
  absl::Status PinTo(int cpu) const;
  // At least 95% of the arena, of the index, lie in huge pages.
  bool is_huge() const { return is_huge_; }
  bool index_is_huge() const { return index_is_huge_; }

 private:
  PrivateDaemon() = default;
  absl::Status Spawn(const PrivateDaemonOptions& options);
  absl::Status AwaitReady();
  absl::Status AwaitNextDaemon();
  // Aborted when the daemon's process has ended.
  absl::Status Alive();

  std::string dir_;
  pid_t keeper_ = 0;
  pid_t daemon_ = 0;
  bool is_huge_ = false;
  bool index_is_huge_ = false;
};

// Runs this very program again with other arguments, waits for it and returns what it
// wrote to standard output. Errors: Aborted with its exit status.
absl::StatusOr<std::string> RunSelf(const std::vector<std::string>& arguments);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_PRIVATE_DAEMON_H_
