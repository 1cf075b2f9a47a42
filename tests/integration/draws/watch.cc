// The clock of the draws.
#include "tests/integration/draws/watch.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "tests/integration/helpers.h"

namespace penstock::draws {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr absl::Duration kTick = absl::Milliseconds(10);
// The second that the issue gives; under a sanitizer everything is 5 to 20 times slower.
constexpr absl::Duration kGrace = absl::Seconds(testing::kSanitized ? 10 : 1);
// A call that is so late will not end any more, and no test could go on without it.
constexpr absl::Duration kHangs = absl::Seconds(30);
constexpr size_t kMostKept = 20;

// How long this thread (of any process) was ready to run while no processor ran it; 0 where the
// kernel does not say.
int64_t WaitedNs(pid_t thread) {
  std::ifstream file(fmt::format("/proc/{}/schedstat", thread));
  int64_t ran_ns = 0;
  int64_t waited_ns = 0;
  return file >> ran_ns >> waited_ns ? waited_ns : 0;
}

// What this thread is about, for a handler that may neither allocate nor lock.
thread_local char t_call[600];

void OnCrash(int signal_number) {
  [[maybe_unused]] ssize_t ignored = write(STDERR_FILENO, t_call, strnlen(t_call, sizeof(t_call)));
  ignored = write(STDERR_FILENO, ": the process ends here\n", 24);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

// The clock that nobody sets.
int64_t NowNs() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

void Watch::TellOfCrashes() {
  for (const int number : {SIGBUS, SIGFPE, SIGABRT}) signal(number, OnCrash);
  // Sanitizers have a handler there, which says more.
  if (!testing::kSanitized) signal(SIGSEGV, OnCrash);
}

Watch::Watch(uint64_t seed) : seed_(seed), thread_([this] { Run(); }) {}

Watch::~Watch() {
  stops_.store(true);
  thread_.join();
}

Watch::Seat* Watch::MakeSeat() {
  const std::lock_guard lock(mutex_);
  return &seats_.emplace_back();
}

void Watch::Begin(Seat* seat, std::string call, absl::Duration deadline) {
  call.copy(t_call, sizeof(t_call) - 1);
  t_call[std::min(call.size(), sizeof(t_call) - 1)] = '\0';
  const std::lock_guard lock(seat->mutex_);
  seat->call_ = std::move(call);
  seat->deadline_ = deadline;
  seat->began_ns_ = NowNs();
  seat->stalled_ns_ = 0;
  if (const pid_t thread = gettid(); seat->thread_ != thread) {
    seat->thread_ = thread;
    seat->waited_ns_ = -1;
  }
  const absl::Duration most = std::max(deadline, absl::ZeroDuration()) + kGrace;
  seat->until_ns_ = most > absl::Hours(1) ? kNever
                                          : seat->began_ns_ + absl::ToInt64Nanoseconds(most);
}

absl::Duration Watch::End(Seat* seat) {
  const int64_t now_ns = NowNs();
  std::string call;
  std::string why;
  absl::Duration late = -absl::InfiniteDuration();
  {
    const std::lock_guard lock(seat->mutex_);
    call = std::exchange(seat->call_, {});
    if (seat->until_ns_ != kNever) {
      late = absl::Nanoseconds(now_ns - seat->stalled_ns_ - seat->until_ns_) + kGrace;
    }
    if (late > kGrace) {
      why = fmt::format("took {}, with a deadline of {}, on a host that was late by {}",
                        absl::FormatDuration(absl::Nanoseconds(now_ns - seat->began_ns_)),
                        absl::FormatDuration(seat->deadline_),
                        absl::FormatDuration(absl::Nanoseconds(seat->stalled_ns_)));
    }
  }
  if (!why.empty()) Fault(call, why);
  return late;
}

void Watch::Ended(Seat* seat) {
  const std::lock_guard lock(seat->mutex_);
  if (seat->call_.empty()) return;
  const int64_t until_ns = NowNs() + absl::ToInt64Nanoseconds(kGrace);
  if (until_ns >= seat->until_ns_) return;
  seat->until_ns_ = until_ns;
  seat->stalled_ns_ = 0;
}

void Watch::Fault(const std::string& call, const std::string& why) {
  fault_count_.fetch_add(1);
  const std::lock_guard lock(mutex_);
  if (faults_.size() < kMostKept) faults_.push_back(fmt::format("{}: {}", call, why));
}

std::string Watch::FirstFaults() const {
  const std::lock_guard lock(mutex_);
  std::string text = fmt::format("PENSTOCK_TEST_SEED={} draws them again:\n", seed_);
  for (const std::string& fault : faults_) text += "  " + fault + "\n";
  return text;
}

void Watch::Run() {
  pid_t daemon = 0;
  int64_t daemon_waited_ns = 0;
  int64_t last_ns = NowNs();
  while (!stops_.load()) {
    absl::SleepFor(kTick);
    const int64_t tick_ns = NowNs() - std::exchange(last_ns, NowNs());
    const int64_t stalled_ns = tick_ns - absl::ToInt64Nanoseconds(kTick);
    if (daemon != daemon_.load()) daemon_waited_ns = WaitedNs(daemon = daemon_.load());
    const int64_t now_waited_ns = WaitedNs(daemon);
    const std::lock_guard lock(mutex_);
    for (Seat& seat : seats_) {
      LookAt(seat, tick_ns, stalled_ns, now_waited_ns - daemon_waited_ns);
    }
    daemon_waited_ns = now_waited_ns;
  }
}

void Watch::LookAt(Seat& seat, int64_t tick_ns, int64_t stalled_ns, int64_t daemon_waited_ns) {
  const std::lock_guard lock(seat.mutex_);
  if (seat.thread_ == 0) return;
  const int64_t now_waited_ns = WaitedNs(seat.thread_);
  const int64_t waited_ns = seat.waited_ns_ < 0 ? 0 : now_waited_ns - seat.waited_ns_;
  seat.waited_ns_ = now_waited_ns;
  if (seat.call_.empty()) return;
  // They overlap, and in no time can more than that time be lost.
  seat.stalled_ns_ += std::clamp<int64_t>(std::max(stalled_ns, waited_ns + daemon_waited_ns), 0,
                                          tick_ns);
  if (seat.until_ns_ == kNever ||
      NowNs() - seat.stalled_ns_ - seat.until_ns_ < absl::ToInt64Nanoseconds(kHangs)) {
    return;
  }
  fmt::print(stderr, "PENSTOCK_TEST_SEED={}: {} does not end: begun {} ago, deadline {}\n", seed_,
             seat.call_, absl::FormatDuration(absl::Nanoseconds(NowNs() - seat.began_ns_)),
             absl::FormatDuration(seat.deadline_));
  for (const std::string& fault : faults_) fmt::print(stderr, "  before: {}\n", fault);
  std::abort();
}

}  // namespace penstock::draws
