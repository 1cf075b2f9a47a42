// Watch: whether each call ends within its deadline and a second, whatever it was given. What
// is wrong is kept with the call, what it was given, and the seed that draws it again.
//
// A host that is busy with others is not the call's fault: as long as the caller or the daemon
// was ready to run and no processor ran it, or a thread that sleeps woke too late, the call may
// be late.
//
// Thread safety: Seat is one thread's; everything else is any thread's.
#ifndef PENSTOCK_TESTS_INTEGRATION_DRAWS_WATCH_H_
#define PENSTOCK_TESTS_INTEGRATION_DRAWS_WATCH_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace penstock::draws {

class Watch {
 public:
  // A place for one thread's call.
  class Seat {
   private:
    friend class Watch;
    std::mutex mutex_;
    std::string call_;                 // empty: none is under way
    absl::Duration deadline_;
    int64_t began_ns_ = 0;
    int64_t until_ns_ = 0;             // the latest end, without the stalls
    int64_t stalled_ns_ = 0;           // during this call
    int64_t waited_ns_ = -1;           // of thread_ for a processor, ever; -1: not read yet
    pid_t thread_ = 0;
  };

  explicit Watch(uint64_t seed);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // For the calling thread until another one begins a call there. Lives as long as the watch.
  Seat* MakeSeat();
  // The daemon that answers from now on.
  void SetDaemon(pid_t pid) { daemon_.store(pid); }
  void Begin(Seat* seat, std::string call, absl::Duration deadline);
  // How long after its deadline it ended; negative for one that ended before.
  absl::Duration End(Seat* seat);
  // From now on, should this thread's call be the process's last, its words are printed.
  static void TellOfCrashes();
  // From now on a call of this seat that has an endless deadline has what it waits for.
  void Ended(Seat* seat);

  // What this call, or the one before it, did wrong.
  void Fault(const std::string& call, const std::string& why);
  uint64_t faults() const { return fault_count_.load(); }
  std::string FirstFaults() const;

 private:
  void Run();
  void LookAt(Seat& seat, int64_t tick_ns, int64_t stalled_ns, int64_t daemon_waited_ns);

  const uint64_t seed_;
  std::atomic<bool> stops_{false};
  std::atomic<pid_t> daemon_{0};
  std::atomic<uint64_t> fault_count_{0};
  mutable std::mutex mutex_;
  std::list<Seat> seats_;
  std::vector<std::string> faults_;  // the first ones
  std::thread thread_;
};

}  // namespace penstock::draws

#endif  // PENSTOCK_TESTS_INTEGRATION_DRAWS_WATCH_H_
