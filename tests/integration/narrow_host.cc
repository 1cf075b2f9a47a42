// Limits by setrlimit, filters by seccomp, mounts in a namespace of the child's own.
#include "tests/integration/narrow_host.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

constexpr int kPatience_ms = 60'000;
constexpr int kUnprepared = 99;
constexpr unsigned kNoexecSeal = 8;  // MFD_NOEXEC_SEAL, since Linux 6.3

bool Load(const std::function<int(scmp_filter_ctx)>& add_rules) {
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  return filter != nullptr && add_rules(filter) == 0 && seccomp_load(filter) == 0;
}

bool OwnMounts() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

}  // namespace

bool LimitTo(decltype(RLIMIT_NOFILE) resource, rlim_t most) {
  const rlimit limit{most, most};
  return setrlimit(resource, &limit) == 0;
}

bool RefuseCall(int call, int error) {
  return Load([=](scmp_filter_ctx filter) {
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(static_cast<unsigned>(error)), call, 0);
  });
}

bool RefuseExecutableMemfds() {
  return Load([](scmp_filter_ctx filter) {
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(memfd_create), 1,
                            SCMP_A1(SCMP_CMP_MASKED_EQ, kNoexecSeal, 0));
  });
}

bool UnmountProc() { return OwnMounts() && umount2("/proc", MNT_DETACH) == 0; }

bool MakeReadOnly(const std::string& dir) {
  return OwnMounts() && mount("none", dir.c_str(), "tmpfs", MS_RDONLY, nullptr) == 0;
}

bool MayMount() { return RunInChild([] { return OwnMounts() ? 0 : 1; }) == 0; }

ProgramOutcome RunWhere(const std::function<bool()>& prepare,
                        const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) GiveUp("pipe");
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t pid = StartChild([&] {
    dup2(theirs.get(), STDOUT_FILENO);
    dup2(theirs.get(), STDERR_FILENO);
    // What the test was started with would count against its limit.
    if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) != 0) return kUnprepared;
    if (prepare()) execv(argv[0], argv.data());
    return kUnprepared;
  });
  theirs.reset();
  ProgramOutcome outcome;
  char buffer[4096];
  for (;;) {
    pollfd item{ours.get(), POLLIN, 0};
    if (poll(&item, 1, kPatience_ms) != 1) {
      kill(pid, SIGTERM);  // killed outright, a keeper would be replaced by its daemon
      break;
    }
    const ssize_t got = read(ours.get(), buffer, sizeof(buffer));
    if (got <= 0) break;
    outcome.output.append(buffer, static_cast<size_t>(got));
  }
  outcome.exit_code = WaitForChild(pid);
  return outcome;
}

}  // namespace penstock::testing
