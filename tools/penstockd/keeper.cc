// The keeper's process.
#include "tools/penstockd/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "store/base/crash_point.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/store_directory.h"
#include "store/wire/packet_socket.h"
#include "tools/penstockd/daemon.h"
#include "tools/penstockd/directory.h"
#include "tools/penstockd/keeper_window.h"
#include "tools/penstockd/process.h"

namespace penstock {
namespace {

// Set for a successor: "daemon_pidfd,lock,listener,window,ended_read,ended_write,channel".
constexpr const char* kSuccessorVariable = "PENSTOCK_KEEPER_DESCRIPTORS";
constexpr int kMostQuickDeaths = 5;
constexpr int kMostDeathsUnserved = 5;  // in a row, before a successor has served
constexpr int64_t kQuickDeath_ms = 1000;
// One that served, and died of itself soon: started again, but not as fast as it can die.
constexpr int kMostPause_ms = 2000;
constexpr int kEndPatience_ms = 10000;

int64_t NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

bool EndedInOrder(const KeptDescriptors& kept) {
  char byte;
  return read(kept.ended_read.get(), &byte, 1) == 1;
}

void CleanUp(const DaemonOptions& options, const KeptDescriptors& kept) {
  RemoveSockets(options.dir, kept.lock.get());
  // A private cluster's directory was made for it alone.
  if (options.owner_pid != 0) RemoveDirectory(options.dir, kept.lock.get());
}

// Forks a daemon. In the child it never returns.
absl::StatusOr<UniqueFd> ForkDaemon(const DaemonOptions& options, KeptDescriptors& kept,
                                    KeeperWindow& window, char** argv) {
  PENSTOCK_ASSIGN_OR_RETURN(UniqueFd own_pidfd, OpenPidfd(getpid()));
  PENSTOCK_ASSIGN_OR_RETURN(ChannelEnds channel, MakeKeeperChannel());
  const bool follows_another = std::exchange(kept.store.left, false);
  kept.store.serving = false;
  const pid_t pid = fork();
  if (pid < 0) return StartStatus(errno, "fork of the daemon");
  if (pid == 0) {
    channel.keeper.reset();
    window.Leave();
    if (follows_another) TellSucceeded(kept.channel.get());
    kept.channel = std::move(channel.daemon);
    prctl(PR_SET_NAME, "penstock-daemon");
    // exit and not _exit: sanitizers and logs want their last word.
    exit(RunDaemon(options, kept, std::move(own_pidfd), argv));
  }
  kept.channel = std::move(channel.keeper);
  // True only until this daemon's first change.
  kept.store.slot_infos.reset();
  kept.store.core_state.reset();
  PENSTOCK_CRASH_POINT(kKeeperForked);
  return OpenPidfd(pid);
}

// False when the daemon's end of the channel is closed and all has been read.
bool TakeNews(KeptDescriptors& kept, KeeperWindow& window) {
  const bool is_open = TakeKeeperMessages(kept.channel.get(), kept.store);
  if (kept.store.window.valid()) {
    kept.listener = std::move(kept.store.listener);
    kept.window = std::move(kept.store.window);
    window.ListenWith(kept.window.get());
  }
  return is_open;
}

// Watches one daemon until it has ended. Nothing: it died. A number: exit with it.
std::optional<int> WatchDaemon(const DaemonOptions& options, KeptDescriptors& kept,
                               KeeperWindow& window, uint32_t deaths, int daemon_pidfd,
                               int signal_fd) {
  std::vector<pollfd> items{{daemon_pidfd, POLLIN, 0}, {signal_fd, POLLIN, 0},
                            {kept.channel.get(), POLLIN, 0}};
  const size_t own = items.size();
  do {
    items.resize(own);
    window.AddTo(items);
    if (poll(items.data(), items.size(), -1) < 0) continue;
    if (items[2].revents != 0 && !TakeNews(kept, window)) {
      items[2].fd = -1;  // its end is closed: it is about to end
    }
    window.Serve(kept.store, daemon_pidfd, deaths);
  } while (items[0].revents == 0 && items[1].revents == 0 && !kept.store.yielded &&
           !kept.store.left);
  TakeNews(kept, window);  // its last words
  if (kept.store.yielded) {
    spdlog::info("another keeper has taken the store over: ending");
    return 0;
  }
  if (items[1].revents != 0) {
    SendSignal(daemon_pidfd, SIGTERM);
    if (!WaitForEnd(daemon_pidfd, kEndPatience_ms)) {
      spdlog::error("the daemon did not end within {} s of SIGTERM: killing it",
                    kEndPatience_ms / 1000);
      SendSignal(daemon_pidfd, SIGKILL);
      WaitForEnd(daemon_pidfd, -1);
    }
    CleanUp(options, kept);
    return 0;
  }
  if (EndedInOrder(kept)) {
    CleanUp(options, kept);
    return 0;
  }
  return std::nullopt;
}

int Keep(const DaemonOptions& options, KeptDescriptors kept, UniqueFd daemon_pidfd,
         char** argv) {
  RaiseDescriptorLimit();
  const auto signals = CatchEndSignals();
  if (!signals.ok()) {
    spdlog::error("{}", std::string(signals.status().message()));
    return 1;
  }
  int quick_deaths = 0;
  int deaths_unserved = 0;
  uint32_t deaths = 0;
  KeeperWindow window(kept.window.get());
  for (;;) {
    const int64_t started_ms = NowMs();
    if (!daemon_pidfd.valid()) {
      auto forked = ForkDaemon(options, kept, window, argv);
      if (!forked.ok()) {
        spdlog::error("the daemon cannot be started: {}",
                      std::string(forked.status().message()));
        CleanUp(options, kept);
        return 1;
      }
      daemon_pidfd = *std::move(forked);
    }
    if (const auto code = WatchDaemon(options, kept, window, deaths, daemon_pidfd.get(),
                                      signals->get())) {
      return *code;
    }
    daemon_pidfd.reset();
    if (kept.store.left) {
      PENSTOCK_CRASH_POINT(kHeirSawLeft);
      spdlog::info("the daemon before has left: going on with its store and {} sessions",
                   kept.store.sessions.size());
      continue;
    }
    ++deaths;
    PENSTOCK_CRASH_POINT(kKeeperSawDeath);
    int wait_status = 0;
    const pid_t child = waitpid(-1, &wait_status, WNOHANG);
    const bool quick = NowMs() - started_ms < kQuickDeath_ms;
    if (child > 0 && WIFEXITED(wait_status) && !kept.store.serving) {
      // It said why itself, and would say it again.
      CleanUp(options, kept);
      return WEXITSTATUS(wait_status);
    }
    quick_deaths = quick ? quick_deaths + 1 : 0;
    deaths_unserved = kept.store.serving ? 0 : deaths_unserved + 1;
    if (deaths_unserved >= kMostDeathsUnserved) {
      spdlog::error("the daemon died {} times in a row before it served: giving up",
                    deaths_unserved);
      CleanUp(options, kept);
      return 1;
    }
    const int signal = child > 0 && WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    spdlog::warn("the daemon died{}: starting it again{}",
                 signal == SIGKILL ? " by signal 9 (a kill, or no memory was left: dmesg tells)"
                 : signal != 0     ? fmt::format(" by signal {}", signal)
                                   : "",
                 kept.store.has_store()
                     ? fmt::format(" with its store and {} sessions", kept.store.sessions.size())
                     : "");
    if (quick_deaths >= kMostQuickDeaths && signal != SIGKILL) {
      window.ServeFor(std::min(100 * quick_deaths, kMostPause_ms), kept.store, deaths);
    }
  }
}

}  // namespace

absl::StatusOr<KeptDescriptors> TakeDirectory(const DaemonOptions& options) {
  KeptDescriptors kept;
  PENSTOCK_ASSIGN_OR_RETURN(kept.lock, LockDirectory(options.dir));
  WriteLockHolder(kept.lock.get(), getpid());
  RemoveSockets(options.dir, kept.lock.get());  // stale: we hold the lock
  PENSTOCK_ASSIGN_OR_RETURN(kept.listener, ListenAt(SocketPath(options.dir)));
  auto window = OpenWindow(options.dir);
  if (!window.ok()) {
    RemoveSockets(options.dir, kept.lock.get());
    return window.status();
  }
  kept.window = *std::move(window);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return CallStatus(errno, "pipe");
  kept.ended_read = UniqueFd(ends[0]);
  kept.ended_write = UniqueFd(ends[1]);
  return kept;
}

int RunKeeper(const DaemonOptions& options, KeptDescriptors kept, char** argv) {
  return Keep(options, std::move(kept), UniqueFd(), argv);
}

int RunHeirKeeper(const DaemonOptions& options, KeptDescriptors kept, UniqueFd daemon_pidfd,
                  char** argv) {
  return Keep(options, std::move(kept), std::move(daemon_pidfd), argv);
}

bool IsSuccessorKeeper() { return getenv(kSuccessorVariable) != nullptr; }

int RunSuccessorKeeper(const DaemonOptions& options, char** argv) {
  int fds[7];
  const char* const text = getenv(kSuccessorVariable);
  if (sscanf(text, "%d,%d,%d,%d,%d,%d,%d", &fds[0], &fds[1], &fds[2], &fds[3], &fds[4],
             &fds[5], &fds[6]) != 7) {
    spdlog::error("{} is not what a daemon passes to its keeper", kSuccessorVariable);
    return 2;
  }
  unsetenv(kSuccessorVariable);
  for (const int fd : fds) fcntl(fd, F_SETFD, FD_CLOEXEC);
  UniqueFd daemon_pidfd(fds[0]);
  KeptDescriptors kept;
  kept.lock = UniqueFd(fds[1]);
  kept.listener = UniqueFd(fds[2]);
  kept.window = UniqueFd(fds[3]);
  kept.ended_read = UniqueFd(fds[4]);
  kept.ended_write = UniqueFd(fds[5]);
  kept.channel = UniqueFd(fds[6]);
  kept.store.serving = true;
  WriteLockHolder(kept.lock.get(), getpid());
  return Keep(options, std::move(kept), std::move(daemon_pidfd), argv);
}

absl::StatusOr<UniqueFd> StartSuccessorKeeper(const KeptDescriptors& kept, int channel,
                                              char** argv) {
  PENSTOCK_ASSIGN_OR_RETURN(const UniqueFd own_pidfd, OpenPidfd(getpid()));
  // Everything the child needs is made before the fork: this process has threads.
  const std::string variable =
      fmt::format("{}={},{},{},{},{},{},{}", kSuccessorVariable, own_pidfd.get(),
                  kept.lock.get(), kept.listener.get(), kept.window.get(),
                  kept.ended_read.get(), kept.ended_write.get(), channel);
  std::vector<char*> environment;
  for (char** item = environ; *item != nullptr; ++item) environment.push_back(*item);
  environment.push_back(const_cast<char*>(variable.c_str()));
  environment.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return StartStatus(errno, "fork of a keeper");
  if (pid == 0) {
    for (const int fd : {own_pidfd.get(), kept.lock.get(), kept.listener.get(),
                         kept.window.get(), kept.ended_read.get(), kept.ended_write.get(),
                         channel}) {
      fcntl(fd, F_SETFD, 0);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execve("/proc/self/exe", argv, environment.data());
    _exit(127);
  }
  return OpenPidfd(pid);
}

}  // namespace penstock
