// pidfds and signals.
#include "tools/penstockd/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>

#include <fmt/format.h>

#include "store/base/host_limits.h"

namespace penstock {
namespace {

// Itself it has some 25, and each session takes seven more.
constexpr rlim_t kLeastDescriptors = 64;
constexpr rlim_t kDescriptorsAtOnce = 16'384;  // 1,024 sessions and some

}  // namespace

absl::StatusOr<UniqueFd> CatchEndSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  // nohup asked for this one to be ignored, and caught it would end the store. The other two stay:
  // shells ignore SIGINT for what they start in the background, which is nobody's wish.
  struct sigaction hangup;
  if (sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler == SIG_IGN) {
    sigdelset(&set, SIGHUP);
  }
  sigprocmask(SIG_BLOCK, &set, nullptr);
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return CallStatus(errno, "signalfd");
  return fd;
}

absl::StatusOr<UniqueFd> OpenPidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.valid()) return CallStatus(errno, "pidfd_open");
  return fd;
}

absl::Status CheckDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max >= kLeastDescriptors) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      fmt::format("{} descriptors are the least for a daemon and a few clients. {}",
                  kLeastDescriptors, LimitBehind(EMFILE)));
}

void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  // The table grows now: in a process of many threads Linux waits for all cores each time it
  // doubles, which takes milliseconds.
  const UniqueFd any(epoll_create1(EPOLL_CLOEXEC));
  const auto highest = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, kDescriptorsAtOnce)) - 1;
  const UniqueFd high(fcntl(any.get(), F_DUPFD_CLOEXEC, highest));
}

pid_t PidOf(int pidfd) {
  std::ifstream file(fmt::format("/proc/self/fdinfo/{}", pidfd));
  for (std::string line; std::getline(file, line);) {
    pid_t pid = 0;
    if (sscanf(line.c_str(), "Pid: %d", &pid) == 1) return std::max(pid, 0);  // gone: -1
  }
  return 0;
}

void SendSignal(int pidfd, int signal_number) {
  syscall(SYS_pidfd_send_signal, pidfd, signal_number, nullptr, 0);
}

bool WaitForEnd(int pidfd, int timeout_ms) {
  pollfd item{pidfd, POLLIN, 0};
  int ready;
  do {
    ready = poll(&item, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace penstock
