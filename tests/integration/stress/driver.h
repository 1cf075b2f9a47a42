// The driver: keeps the client processes running, kills some, watches, and judges at the end.
#ifndef PENSTOCK_TESTS_INTEGRATION_STRESS_DRIVER_H_
#define PENSTOCK_TESTS_INTEGRATION_STRESS_DRIVER_H_

#include <sys/types.h>

#include <vector>

#include <penstock/client.h>

#include "tests/integration/stress/actor.h"
#include "tests/integration/stress/shared_log.h"

namespace penstock::stress {

class Driver {
 public:
  Driver(StressPlan plan, SharedLog* log);
  // The processes at work for the planned time, every third of them killed again and again
  // and started anew; then their end. False when one hung.
  bool RunProcesses();
  uint64_t kills() const { return kills_; }

 private:
  struct Worker {
    pid_t pid = -1;
    bool killable = false;
    int64_t kill_at_ms = 0;
  };
  void Start(uint32_t index, int64_t now_ms);
  bool Reap();
  bool WaitForAll();
  void Report(double seconds);
  bool Progresses(int64_t now_ms);
  bool Enough(int64_t elapsed_ms) const;

  const StressPlan plan_;
  SharedLog* const log_;
  Dice dice_;
  std::vector<Worker> workers_;
  std::vector<pid_t> killed_;
  uint64_t kills_ = 0;
  uint64_t starts_ = 0;
  uint64_t last_ops_ = 0;
  int64_t last_progress_ms_ = 0;
};

// What must, may and must not be in the store now that all processes are gone, against what
// is. Deletes it, and waits until the daemon holds nothing. False after printing why.
bool JudgeStore(const StressPlan& plan, SharedLog* log);

}  // namespace penstock::stress

#endif  // PENSTOCK_TESTS_INTEGRATION_STRESS_DRIVER_H_
