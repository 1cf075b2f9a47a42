// TestDaemon: a real penstockd in a directory of its own, ended by process id.
#ifndef PENSTOCK_TESTS_SUPPORT_TEST_DAEMON_H_
#define PENSTOCK_TESTS_SUPPORT_TEST_DAEMON_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include <penstock/client.h>

namespace penstock::testing {

// A fresh directory below $TMPDIR or /tmp, removed with all in it by the destructor.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class TestDaemon {
 public:
  // Starts `penstockd --dir <temporary> <args>` and waits until it answers a status
  // question. PENSTOCK_TEST_HUGE_PAGES in the environment is passed as --huge-pages,
  // unless `args` has one. Aborts the test program with the daemon's output on failure.
  explicit TestDaemon(std::vector<std::string> args = {"--memory", "64MiB"});
  ~TestDaemon();  // SIGTERM, then waits; SIGKILL after 10 s. Kills a surviving daemon too.
  TestDaemon(const TestDaemon&) = delete;
  TestDaemon& operator=(const TestDaemon&) = delete;

  const std::string& dir() const { return dir_.path(); }
  pid_t keeper_pid() const { return keeper_pid_; }
  // The daemon's own process now (it changes when the keeper starts another).
  pid_t daemon_pid() const;

  Client Connect() const;        // aborts the test program on failure
  DaemonStatus Status() const;   // likewise
  // Waits until the arena and its huge pages are done.
  void WaitPopulated() const;
  // Ends it in order and returns the keeper's exit code (-1: it was gone already).
  int Stop();
  // The keeper as its lock file tells: the first one, or a successor.
  pid_t LockHolder() const;
  // SIGKILL for the keeper alone; the daemon starts a successor.
  void KillKeeper();
  // SIGKILL for keeper and daemon together: neither can start the other again.
  void KillBoth();
  // Waits for the keeper to end by itself: its exit code.
  int WaitForKeeper();
  // Starts another penstockd with --take-over; its pid. SettleKeepers afterwards.
  pid_t StartHeir();
  // After a take-over that worked or failed: reaps what ended of the keeper and `heir`, and
  // goes on with the one that is left. Nothing: a successor that the daemon started keeps it.
  void SettleKeepers(pid_t heir);
  // Starts penstockd again in the same directory, after KillBoth or WaitForKeeper.
  void Restart();
  std::string Output() const;    // what it printed so far

 private:
  TempDir dir_;
  std::string log_path_;
  std::vector<std::string> arguments_;
  pid_t keeper_pid_ = -1;
};

// Path of a program beside the test's own, for example "penstockd".
std::string ProgramPath(const std::string& name);

// Polls `condition` until it holds or `timeout` has passed; the last outcome.
bool Eventually(const std::function<bool()>& condition,
                absl::Duration timeout = absl::Seconds(20));

// Runs a program to its end: exit code (or 128 + signal) and everything it printed.
struct ProgramOutcome {
  int exit_code = -1;
  std::string output;
};
ProgramOutcome RunProgram(const std::vector<std::string>& arguments,
                          absl::Duration timeout = absl::Seconds(60));

// Forks, runs `body` in the child and returns its exit code (128 + signal when killed).
// The child leaves by _exit(body()), so that it does not run the test's destructors.
int RunInChild(const std::function<int()>& body);
// The same without waiting: the child's pid.
pid_t StartChild(const std::function<int()>& body);
int WaitForChild(pid_t pid);

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_SUPPORT_TEST_DAEMON_H_
