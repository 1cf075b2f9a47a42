// Starting and ending penstockd, and fresh processes of the bench itself.
#include "bench/harness/private_daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "bench/harness/clock.h"
#include "bench/harness/pinning.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/unique_fd.h"

namespace penstock::bench {
namespace {

constexpr double kStartSeconds = 10;
constexpr double kReadySeconds = 180;
constexpr double kEndSeconds = 20;

std::string ThisProgram() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).string();
}

// A child that ends with this process, its standard output on `output`.
pid_t SpawnChild(const std::vector<std::string>& arguments, int output, int signal_at_our_end) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid != 0) return pid;
  // This process may have threads: only calls that are safe between fork and exec.
  prctl(PR_SET_PDEATHSIG, signal_at_our_end);
  if (getppid() != parent) _exit(1);
  dup2(output, STDOUT_FILENO);
  execv(argv[0], argv.data());
  _exit(127);
}

absl::StatusOr<std::string> DaemonProgram() {
  std::error_code error;
  const std::string self = ThisProgram();
  if (self.empty()) return ProcStatus(ENOENT, "finding penstockd beside this program");
  const std::string program = std::filesystem::path(self).parent_path() / "penstockd";
  if (std::filesystem::exists(program, error)) return program;
  return absl::NotFoundError("there is no penstockd beside this program: build or install it");
}

std::string EndingText(int state) {
  if (WIFSIGNALED(state)) return fmt::format("was ended by signal {}", WTERMSIG(state));
  return fmt::format("ended with status {}", WEXITSTATUS(state));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PrivateDaemon>> PrivateDaemon::Start(
    const PrivateDaemonOptions& options) {
  std::unique_ptr<PrivateDaemon> daemon(new PrivateDaemon);
  PENSTOCK_RETURN_IF_ERROR(daemon->Spawn(options));
  PENSTOCK_RETURN_IF_ERROR(daemon->AwaitReady());
  return daemon;
}

absl::Status PrivateDaemon::Spawn(const PrivateDaemonOptions& options) {
  const char* const named = getenv("TMPDIR");
  const bool is_named = named != nullptr && *named != 0;
  std::string pattern = std::string(is_named ? named : "/tmp") + "/penstock-bench-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) {
    const int error = errno;
    return PlaceStatus(error, fmt::format("making the directory {}", pattern),
                       is_named ? "TMPDIR" : "TMPDIR, which is not set");
  }
  dir_ = pattern;
  PENSTOCK_ASSIGN_OR_RETURN(const std::string program, DaemonProgram());
  std::vector<std::string> arguments = {program,       "--dir",     dir_,
                                        "--memory",    std::to_string(options.memory_bytes),
                                        "--log-level", "warn"};
  if (options.objects > 0) {
    arguments.insert(arguments.end(), {"--objects", std::to_string(options.objects)});
  }
  if (!options.spill_dir.empty()) {
    arguments.insert(arguments.end(), {"--spill-dir", options.spill_dir});
  }
  if (options.max_sessions > 0) {
    arguments.insert(arguments.end(), {"--max-sessions", std::to_string(options.max_sessions)});
  }
  // Standard output is the report's; what the daemon says goes to standard error.
  keeper_ = SpawnChild(arguments, STDERR_FILENO, SIGTERM);
  if (keeper_ < 0) return StartStatus(errno, "fork of penstockd");
  return absl::OkStatus();
}

absl::Status PrivateDaemon::Alive() {
  int state = 0;
  if (waitpid(keeper_, &state, WNOHANG) == 0) return absl::OkStatus();
  keeper_ = 0;
  return absl::AbortedError("penstockd " + EndingText(state) + "; it said why above");
}

absl::Status PrivateDaemon::AwaitReady() {
  const int64_t start_ns = NowNs();
  for (;;) {
    PENSTOCK_RETURN_IF_ERROR(Alive());
    const absl::StatusOr<DaemonStatus> status = Status();
    if (status.ok()) {
      daemon_ = static_cast<pid_t>(status->Counter("daemon_pid"));
      if (status->Counter("population_done") == 1) {
        const auto mostly = [&](std::string_view part, std::string_view whole) {
          return status->Counter(part) >= status->Counter(whole) / 100 * 95;
        };
        is_huge_ = mostly("huge_bytes", "arena_bytes");
        index_is_huge_ = mostly("index_huge_bytes", "index_bytes");
        return absl::OkStatus();
      }
    }
    if (SecondsSince(start_ns) > (status.ok() ? kReadySeconds : kStartSeconds)) {
      return status.ok() ? absl::DeadlineExceededError(
                               "penstockd did not populate its memory in time: is the host "
                               "short of memory?")
                         : status.status();
    }
    SleepNs(5'000'000);
  }
}

absl::Status PrivateDaemon::KillDaemon() {
  if (kill(daemon_, SIGKILL) != 0) return ErrnoStatus(errno, "kill of the daemon");
  return AwaitNextDaemon();
}

absl::Status PrivateDaemon::TakeOver() {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string program, DaemonProgram());
  const pid_t heir = SpawnChild({program, "--dir", dir_, "--take-over", "--log-level", "info"},
                                STDERR_FILENO, SIGTERM);
  if (heir < 0) return StartStatus(errno, "fork of penstockd");
  const pid_t before = std::exchange(keeper_, heir);
  PENSTOCK_RETURN_IF_ERROR(AwaitNextDaemon());
  waitpid(before, nullptr, 0);
  return absl::OkStatus();
}

absl::Status PrivateDaemon::AwaitNextDaemon() {
  const int64_t start_ns = NowNs();
  const pid_t before = daemon_;
  for (;;) {
    PENSTOCK_RETURN_IF_ERROR(Alive());
    const absl::StatusOr<DaemonStatus> status = Status();
    if (status.ok()) daemon_ = static_cast<pid_t>(status->Counter("daemon_pid"));
    if (daemon_ != before) return absl::OkStatus();
    if (SecondsSince(start_ns) > kReadySeconds) {
      return absl::DeadlineExceededError("no other daemon came");
    }
    SleepNs(500'000);
  }
}

absl::Status PrivateDaemon::PinTo(int cpu) const {
  std::error_code error;
  const std::string tasks = fmt::format("/proc/{}/task", daemon_);
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    PENSTOCK_RETURN_IF_ERROR(PinToCpu(cpu, std::stoi(task.path().filename().string())));
  }
  if (error) return absl::AbortedError("the daemon's threads cannot be listed: has it died?");
  return absl::OkStatus();
}

PrivateDaemon::~PrivateDaemon() {
  if (keeper_ > 0) {
    kill(keeper_, SIGTERM);
    const int64_t start_ns = NowNs();
    bool ended = false;
    while (!ended && SecondsSince(start_ns) < kEndSeconds) {
      ended = waitpid(keeper_, nullptr, WNOHANG) != 0;
      if (!ended) SleepNs(1'000'000);
    }
    if (!ended) {
      // Stopped first, or it would start another daemon.
      kill(keeper_, SIGSTOP);
      if (daemon_ > 0) kill(daemon_, SIGKILL);
      kill(keeper_, SIGKILL);
      waitpid(keeper_, nullptr, 0);
    }
  }
  std::error_code ignored;
  if (!dir_.empty()) std::filesystem::remove_all(dir_, ignored);
}

absl::StatusOr<std::string> RunSelf(const std::vector<std::string>& arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return CallStatus(errno, "pipe");
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  std::vector<std::string> command = {ThisProgram()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const pid_t pid = SpawnChild(command, theirs.get(), SIGKILL);
  if (pid < 0) return StartStatus(errno, "fork of a fresh process");
  theirs.reset();
  std::string output;
  char buffer[4096];
  for (;;) {
    const ssize_t got = read(ours.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    output.append(buffer, static_cast<size_t>(got));
  }
  int state = 0;
  waitpid(pid, &state, 0);
  if (!WIFEXITED(state) || WEXITSTATUS(state) != 0) {
    return absl::AbortedError("a fresh process of the benchmark " + EndingText(state));
  }
  return output;
}

}  // namespace penstock::bench
