// TurnLoad: what a scenario of `turns` does to a store, in a process of its own.
//
// It is made, prepared (not measured), run beside the bystander, and ended. Each load is in a
// file of its own, turn_load_*.cc, and keeps counts of what it reached.
#ifndef PENSTOCK_BENCH_TURN_LOAD_H_
#define PENSTOCK_BENCH_TURN_LOAD_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/harness/private_daemon.h"
#include "bench/penstock-bench/load_board.h"

namespace penstock::bench {

struct LoadOptions {
  std::string dir;        // of the store
  bool quick = false;     // reduced counts
  uint32_t sessions = 0;  // where a load has many
  int64_t least_ns = 0;   // a run goes on for so long
};

class TurnLoad {
 public:
  explicit TurnLoad(LoadOptions options) : options_(std::move(options)) {}
  virtual ~TurnLoad() = default;
  TurnLoad(const TurnLoad&) = delete;
  TurnLoad& operator=(const TurnLoad&) = delete;

  virtual absl::Status Prepare() = 0;
  // One round or more.
  virtual absl::Status Run() = 0;
  // What it reached, after Run.
  virtual absl::Status Tell(LoadBoard& board) = 0;

 protected:
  const LoadOptions& options() const { return options_; }
  absl::StatusOr<Client> Connect() const { return Client::Connect({.dir = options_.dir}); }
  absl::StatusOr<uint64_t> Counter(std::string_view name) const;
  // Waits until the counter is what `is_reached` says; an error after `patience`. What it is.
  template <typename Condition>
  absl::StatusOr<uint64_t> Await(std::string_view name, Condition is_reached,
                                 absl::Duration patience = absl::Seconds(60)) const;

 private:
  const LoadOptions options_;
};

// Measures calls with deadlines, and beside them how long this host lets a thread of this process
// sleep. Thread safety: any thread adds.
class LateWatch {
 public:
  // The sleeper begins.
  LateWatch();
  ~LateWatch();

  // A call that began at `began_ns` with this deadline has just come back. How late, in ms.
  double Add(int64_t began_ns, absl::Duration deadline, bool has_passed);
  // Ends the sleeper.
  LateCalls Finish();

 private:
  void SleepOn(const std::stop_token& stop);

  std::mutex mutex_;  // guards what follows
  std::vector<double> late_ms_;
  uint64_t passed_ = 0;
  int64_t longest_pause_ns_ = 0;
  std::jthread sleeper_;
};

// Objects of 40 bytes, made in batches.
absl::StatusOr<std::vector<ObjectId>> MakeStock(Client& client, uint64_t objects,
                                                const CreateOptions& options = {},
                                                uint64_t bytes = 40);

// The scenarios, by letter.
struct Scenario {
  char letter;
  const char* name;
  const char* description;
  std::unique_ptr<TurnLoad> (*make)(LoadOptions options);
  // Of the store. `spill_dir`: one that may be used.
  PrivateDaemonOptions (*daemon)(bool quick, uint32_t sessions, const std::string& spill_dir);
};
std::vector<Scenario> Scenarios();

std::unique_ptr<TurnLoad> MakePinnedLoad(LoadOptions options);
std::unique_ptr<TurnLoad> MakeRestoreLoad(LoadOptions options);
std::unique_ptr<TurnLoad> MakeDeathLoad(LoadOptions options);
std::unique_ptr<TurnLoad> MakeGetManyLoad(LoadOptions options);
std::unique_ptr<TurnLoad> MakeCreateManyLoad(LoadOptions options);
std::unique_ptr<TurnLoad> MakeWaiterLoad(LoadOptions options);
PrivateDaemonOptions PinnedDaemon(bool quick, uint32_t sessions, const std::string& spill_dir);
PrivateDaemonOptions RestoreDaemon(bool quick, uint32_t sessions, const std::string& spill_dir);
PrivateDaemonOptions DeathDaemon(bool quick, uint32_t sessions, const std::string& spill_dir);
PrivateDaemonOptions GetManyDaemon(bool quick, uint32_t sessions, const std::string& spill_dir);
PrivateDaemonOptions CreateManyDaemon(bool quick, uint32_t sessions,
                                      const std::string& spill_dir);
PrivateDaemonOptions WaiterDaemon(bool quick, uint32_t sessions, const std::string& spill_dir);

// Says on standard error how far a load is, at most every two seconds.
class Progress {
 public:
  explicit Progress(const char* name);
  void Tell(std::string_view what, uint64_t done, uint64_t of);

 private:
  const char* name_;
  int64_t told_ns_;
};

template <typename Condition>
absl::StatusOr<uint64_t> TurnLoad::Await(std::string_view name, Condition is_reached,
                                         absl::Duration patience) const {
  const absl::Time until = absl::Now() + patience;
  for (;;) {
    absl::StatusOr<uint64_t> value = Counter(name);
    if (!value.ok() || is_reached(*value)) return value;
    if (absl::Now() > until) {
      return absl::DeadlineExceededError(std::string(name) + " stays at " +
                                         std::to_string(*value));
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
}

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_TURN_LOAD_H_
