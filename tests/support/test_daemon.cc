// Starting and ending daemons and children for tests.
#include "tests/support/test_daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"
#include "store/base/store_directory.h"
#include "store/base/unique_fd.h"

namespace penstock::testing {
namespace {

[[noreturn]] void Fail(const std::string& what) {
  fprintf(stderr, "test support: %s\n", what.c_str());
  abort();
}

pid_t Spawn(const std::vector<std::string>& arguments, const std::string& output_path) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  const int fd = open(output_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(fd, STDOUT_FILENO);
  dup2(fd, STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

int ExitCode(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TempDir::TempDir() {
  const char* base = getenv("TMPDIR");
  std::string pattern = std::string(base != nullptr ? base : "/tmp") + "/penstock-test-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) Fail("mkdtemp " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

TestDaemon::TestDaemon(std::vector<std::string> args)
    : log_path_(dir_.path() + "/log"),
      arguments_{ProgramPath("penstockd"), "--dir", dir_.path()} {
  const char* const pages = getenv("PENSTOCK_TEST_HUGE_PAGES");
  if (pages != nullptr && std::find(args.begin(), args.end(), "--huge-pages") == args.end()) {
    arguments_.insert(arguments_.end(), {"--huge-pages", pages});
  }
  arguments_.insert(arguments_.end(), args.begin(), args.end());
  Restart();
}

TestDaemon::~TestDaemon() { Stop(); }

void TestDaemon::Restart() {
  keeper_pid_ = Spawn(arguments_, log_path_);
  if (keeper_pid_ < 0) Fail("fork");
  if (!Eventually([this] { return QueryStatus(dir()).ok(); })) {
    Fail("penstockd does not answer: " + Output());
  }
}

int TestDaemon::Stop() {
  int exit_code = -1;
  if (keeper_pid_ > 0) {
    kill(keeper_pid_, SIGTERM);
    int wait_status = 0;
    const bool ended = Eventually(
        [&] { return waitpid(keeper_pid_, &wait_status, WNOHANG) == keeper_pid_; },
        absl::Seconds(20));
    if (!ended) {
      kill(keeper_pid_, SIGKILL);
      waitpid(keeper_pid_, &wait_status, 0);
    }
    keeper_pid_ = -1;
    exit_code = ExitCode(wait_status);
  }
  // A test may have killed the keeper; its successor is the daemon's child.
  if (QueryStatus(dir()).ok()) {
    if (const pid_t successor = LockHolder(); successor > 0) kill(successor, SIGTERM);
    Eventually([this] { return !QueryStatus(dir()).ok(); }, absl::Seconds(20));
  }
  return exit_code;
}

pid_t TestDaemon::LockHolder() const {
  std::ifstream lock(LockPath(dir()));
  pid_t holder = 0;
  lock >> holder;
  return holder;
}

void TestDaemon::KillKeeper() {
  kill(keeper_pid_, SIGKILL);
  WaitForKeeper();
}

void TestDaemon::KillBoth() {
  const pid_t daemon = daemon_pid();
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, daemon, 0)));
  kill(keeper_pid_, SIGSTOP);  // or it would start another daemon
  kill(daemon, SIGKILL);
  KillKeeper();
  // It holds the directory's lock until its last thread is gone.
  pollfd item{pidfd.get(), POLLIN, 0};
  if (poll(&item, 1, 20'000) != 1) Fail("the daemon outlives SIGKILL");
}

int TestDaemon::WaitForKeeper() {
  const int exit_code = WaitForChild(keeper_pid_);
  keeper_pid_ = -1;
  return exit_code;
}

pid_t TestDaemon::StartHeir() {
  std::vector<std::string> arguments = arguments_;
  for (const char* const fixed : {"--memory", "--objects"}) {
    const auto at = std::find(arguments.begin(), arguments.end(), fixed);
    if (at != arguments.end()) arguments.erase(at, at + 2);
  }
  arguments.push_back("--take-over");
  const pid_t heir = Spawn(arguments, log_path_);
  if (heir < 0) Fail("fork");
  return heir;
}

void TestDaemon::SettleKeepers(pid_t heir) {
  const auto is_settled = [this] {
    const pid_t holder = LockHolder();
    return QueryStatus(dir()).ok() && holder > 0 && kill(holder, 0) == 0;
  };
  const auto has_ended = [](pid_t pid) {
    return pid <= 0 || waitpid(pid, nullptr, WNOHANG) == pid;
  };
  bool heir_ended = false;
  const bool settled = Eventually([&] {
    if (has_ended(keeper_pid_)) keeper_pid_ = -1;
    heir_ended = heir_ended || has_ended(heir);
    return (keeper_pid_ < 0 || heir_ended) && is_settled();
  });
  if (!settled) Fail("two keepers, or none: " + Output());
  if (!heir_ended) keeper_pid_ = heir;
}

pid_t TestDaemon::daemon_pid() const {
  return static_cast<pid_t>(Status().Counter("daemon_pid"));
}

Client TestDaemon::Connect() const {
  auto client = Client::Connect({.dir = dir()});
  if (!client.ok()) Fail("connect: " + client.status().ToString() + "\n" + Output());
  return *std::move(client);
}

DaemonStatus TestDaemon::Status() const {
  auto status = QueryStatus(dir());
  if (!status.ok()) Fail("status: " + status.status().ToString() + "\n" + Output());
  return *std::move(status);
}

void TestDaemon::WaitPopulated() const {
  if (!Eventually([this] { return Status().Counter("population_done") == 1; },
                  absl::Seconds(60))) {
    Fail("the arena is not populated within a minute");
  }
}

std::string TestDaemon::Output() const { return ReadFile(log_path_); }

std::string ProgramPath(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

bool Eventually(const std::function<bool()>& condition, absl::Duration timeout) {
  const absl::Time until = absl::Now() + timeout;
  while (!condition()) {
    if (absl::Now() > until) return condition();
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

ProgramOutcome RunProgram(const std::vector<std::string>& arguments, absl::Duration timeout) {
  const TempDir dir;
  const std::string log = dir.path() + "/output";
  const pid_t pid = Spawn(arguments, log);
  int wait_status = 0;
  if (!Eventually([&] { return waitpid(pid, &wait_status, WNOHANG) == pid; }, timeout)) {
    kill(pid, SIGKILL);
    waitpid(pid, &wait_status, 0);
  }
  return {ExitCode(wait_status), ReadFile(log)};
}

pid_t StartChild(const std::function<int()>& body) {
  fflush(nullptr);
  const pid_t pid = fork();
  if (pid < 0) Fail("fork");
  if (pid == 0) {
    const int code = body();
    fflush(nullptr);
    _exit(code);
  }
  return pid;
}

int WaitForChild(pid_t pid) {
  int wait_status = 0;
  waitpid(pid, &wait_status, 0);
  return ExitCode(wait_status);
}

int RunInChild(const std::function<int()>& body) { return WaitForChild(StartChild(body)); }

}  // namespace penstock::testing
