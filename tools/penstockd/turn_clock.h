// TurnClock: how long the daemon's longest pass over its work took, in the processor's time and on
// the wall.
//
// One thread does everything, so a pass is as long as the others' questions wait. The wall tells
// what they felt, stopped by the system or not; the processor's time is the daemon's own doing.
// That one costs a system call, so it is read every 50 us of work at most: the figure may be so
// much too long, never too short.
//
// Thread safety: one thread.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_TURN_CLOCK_H_
#define PENSTOCK_TOOLS_PENSTOCKD_TURN_CLOCK_H_

#include <time.h>

#include <algorithm>
#include <cstdint>

namespace penstock {

class TurnClock {
 public:
  // A pass begins: what went before was a look that found nothing.
  void Begin() {
    const int64_t now_ns = Now(CLOCK_MONOTONIC);
    awake_ns_ += now_ns - began_ns_;
    began_ns_ = now_ns;
    if (awake_ns_ >= kBetweenReadings_ns) ReadProcessor();
  }
  // The same after a sleep, which took nothing of the processor: no system call.
  void BeginAwoken() { began_ns_ = Now(CLOCK_MONOTONIC); }
  // It ends, and the next one begins.
  void End() {
    const int64_t now_ns = Now(CLOCK_MONOTONIC);
    const int64_t wall_ns = now_ns - began_ns_;
    began_ns_ = now_ns;
    awake_ns_ += wall_ns;
    longest_wall_ns_ = std::max(longest_wall_ns_, wall_ns);
    const bool may_be_longest = wall_ns > longest_cpu_ns_;
    if (!may_be_longest && awake_ns_ < kBetweenReadings_ns) return;
    const int64_t used_ns = ReadProcessor();
    if (may_be_longest) longest_cpu_ns_ = std::max(longest_cpu_ns_, std::min(wall_ns, used_ns));
  }

  // When the pass began that is under way.
  int64_t began_ns() const { return began_ns_; }
  int64_t longest_cpu_ns() const { return longest_cpu_ns_; }
  int64_t longest_wall_ns() const { return longest_wall_ns_; }

 private:
  static constexpr int64_t kBetweenReadings_ns = 50'000;

  static int64_t Now(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }
  // What was used since the last reading.
  int64_t ReadProcessor() {
    const int64_t before_ns = processor_ns_;
    processor_ns_ = Now(CLOCK_THREAD_CPUTIME_ID);
    awake_ns_ = 0;
    return processor_ns_ - before_ns;
  }

  int64_t began_ns_ = 0;
  int64_t awake_ns_ = 0;  // on the wall, since the processor's time was read
  int64_t processor_ns_ = 0;
  int64_t longest_cpu_ns_ = 0;
  int64_t longest_wall_ns_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_TURN_CLOCK_H_
