// Limits, filters and places in words.
#include "store/base/host_limits.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fmt/format.h>

#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock {
namespace {

constexpr uint64_t kLeastArgumentBytes = 128 * kKiB;  // as Linux has it (execve(2))
constexpr uint64_t kMostArgumentBytes = 6 * kMiB;

std::optional<rlimit> Limit(decltype(RLIMIT_NOFILE) resource) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0) return std::nullopt;
  return limit;
}

std::string Count(rlim_t value) {
  return value == RLIM_INFINITY ? "unlimited" : fmt::format("{}", value);
}

std::string ThisProcess() {
  return fmt::format("{} (process {})", program_invocation_short_name, getpid());
}

std::string FilesLimit() {
  const auto limit = Limit(RLIMIT_NOFILE);
  if (!limit) return "";
  return fmt::format(
      "{} may have {} files open (RLIMIT_NOFILE, hard limit {}): raise it where the process is "
      "started (ulimit -n, LimitNOFILE=, docker run --ulimit nofile=)",
      ThisProcess(), Count(limit->rlim_cur), Count(limit->rlim_max));
}

std::string FileSizeLimit() {
  const uint64_t bytes = LargestFileBytes();
  if (bytes == ~uint64_t{0}) return "";
  return fmt::format(
      "{} may write files of {} B at most, and memory files count (RLIMIT_FSIZE): raise it where "
      "the process is started (ulimit -f unlimited, LimitFSIZE=)", ThisProcess(), bytes);
}

std::string ArgumentsLimit() {
  const auto stack = Limit(RLIMIT_STACK);
  const uint64_t stack_bytes = stack ? stack->rlim_cur : 0;
  return fmt::format(
      "The arguments and the environment that {} hands to a program may take {}, a quarter of "
      "its stack limit (ulimit -s), and each of them 128 KiB: unset what is large, or raise that "
      "limit where the process is started", ThisProcess(),
      FormatBytes(std::clamp(stack_bytes / 4, kLeastArgumentBytes, kMostArgumentBytes)));
}

std::string ProcessesLimit() {
  const auto limit = Limit(RLIMIT_NPROC);
  const std::string count = limit ? Count(limit->rlim_cur) : "unknown";
  return fmt::format(
      "{} is limited: user {} may have {} processes and threads (ulimit -u), its cgroup may allow "
      "fewer (pids.max), and each takes memory (ulimit -v, ulimit -s): raise what is short where "
      "the process is started", ThisProcess(), getuid(), count);
}

}  // namespace

std::string LimitBehind(int error) {
  switch (error) {
    case EMFILE: return FilesLimit();
    case ENFILE: return "All the files that this host may open are open: sysctl fs.file-max";
    case EFBIG: return FileSizeLimit();
    case E2BIG: return ArgumentsLimit();
    default: return "";
  }
}

absl::Status CallStatus(int error, std::string_view call, std::string_view next_step) {
  switch (error) {
    case ENOSYS:
      return ErrnoStatus(error, call,
                         "This kernel is too old for it, or a filter of the container (seccomp) "
                         "hides it: penstock doctor tells which");
    case EPERM:
    case EACCES:
      return ErrnoStatus(error, call,
                         "A filter is in the way (seccomp of the container, SELinux, AppArmor): "
                         "let the call pass; penstock doctor tells what else is refused");
    default:
      return ErrnoStatus(error, call, next_step);
  }
}

absl::Status StartStatus(int error, std::string_view what) {
  if (error != EAGAIN && error != ENOMEM) return CallStatus(error, what);
  // Not Unavailable, as EAGAIN of a socket is: trying again does not help.
  return absl::ResourceExhaustedError(fmt::format("{} failed. {}", what, ProcessesLimit()));
}

absl::Status AddressSpaceStatus(int error, std::string_view what) {
  const auto limit = Limit(RLIMIT_AS);
  if (error == ENOMEM && limit && limit->rlim_cur != RLIM_INFINITY) {
    return ErrnoStatus(error, what,
                        fmt::format("{} may take {} of address space (RLIMIT_AS): raise it "
                                    "where the process is started (ulimit -v unlimited, LimitAS=)",
                                   ThisProcess(), FormatBytes(limit->rlim_cur)));
  }
  return CallStatus(error, what,
                    "The process may have all the mappings that it is allowed (sysctl "
                    "vm.max_map_count), or the host lets no more be reserved "
                    "(vm.overcommit_memory)");
}

bool IsProcMounted() {
  struct stat facts{};
  return stat("/proc/self/fd", &facts) == 0;
}

absl::Status ProcStatus(int error, std::string_view what) {
  if (error != EMFILE && error != ENFILE && !IsProcMounted()) {
    return absl::FailedPreconditionError(fmt::format(
        "{}: /proc is not mounted where {} runs: mount -t proc proc /proc", what, ThisProcess()));
  }
  return ErrnoStatus(error, what);
}

absl::Status PlaceStatus(int error, std::string_view what, std::string_view choice) {
  const auto say = [&](std::string_view why) {
    return ErrnoStatus(error, what, fmt::format("{}, or choose another with {}", why, choice));
  };
  switch (error) {
    case ENOENT: return say("Make its parent first");
    case EROFS: return say("Mount that file system writable");
    case EACCES:
    case EPERM: return say(fmt::format("Let user {} write there", geteuid()));
    case ENOSPC: return say("Free some bytes or inodes of that file system");
    case EDQUOT: return say("Free some of what this user has on that file system");
    case ENOTDIR: return say("A part of this path is no directory: remove that");
    case ELOOP: return say("A symbolic link stands there, and none is followed: remove it");
    case EISDIR: return say("A directory stands there: remove it");
    case EADDRINUSE: return say("Something else stands there: remove it");
    default: return ErrnoStatus(error, what, fmt::format("Choose another with {}", choice));
  }
}

uint64_t LargestFileBytes() {
  const auto limit = Limit(RLIMIT_FSIZE);
  return !limit || limit->rlim_cur == RLIM_INFINITY ? ~uint64_t{0} : uint64_t{limit->rlim_cur};
}

void FailWritesBeyondFileLimit() { signal(SIGXFSZ, SIG_IGN); }

}  // namespace penstock
