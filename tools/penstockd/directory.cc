// Making, checking and locking of the store's directory.
#include "tools/penstockd/directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "store/base/host_limits.h"
#include "store/base/store_directory.h"

namespace penstock {
namespace {

constexpr const char* kChoice = "--dir or PENSTOCK_DIR";

}  // namespace

absl::StatusOr<UniqueFd> LockDirectory(const std::string& dir) {
  if (mkdir(dir.c_str(), 0711) != 0 && errno != EEXIST) {
    return PlaceStatus(errno, fmt::format("making the directory {}", dir), kChoice);
  }
  UniqueFd dir_fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts;
  if (!dir_fd.valid() || fstat(dir_fd.get(), &facts) != 0) {
    return PlaceStatus(errno, fmt::format("opening {} as a directory of this user's", dir),
                       kChoice);
  }
  if (facts.st_uid != geteuid()) {
    return absl::PermissionDeniedError(fmt::format(
        "the directory {} belongs to user {}, this daemon runs as {}: choose one of your own "
        "with --dir", dir, facts.st_uid, geteuid()));
  }
  if ((facts.st_mode & 0022) != 0) {
    return absl::PermissionDeniedError(fmt::format(
        "others may write to the directory {} (mode {:o}): chmod 711 it, or choose another "
        "with --dir", dir, facts.st_mode & 07777));
  }
  if ((facts.st_mode & 07777) != 0711) fchmod(dir_fd.get(), 0711);  // umask was in the way

  const std::string path = LockPath(dir);
  UniqueFd lock(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!lock.valid()) return PlaceStatus(errno, fmt::format("opening {}", path), kChoice);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t got = pread(lock.get(), holder, sizeof(holder) - 1, 0);
    return absl::AlreadyExistsError(fmt::format(
        "a daemon holds {} already (process {}): use it, end it, or choose another --dir",
        dir, got > 0 ? std::string(holder, strcspn(holder, "\n")) : "unknown"));
  }
  return lock;
}

void RemoveDirectory(const std::string& dir) {
  unlink(LockPath(dir).c_str());
  rmdir(dir.c_str());
}

void WriteLockHolder(int lock_fd, int pid) {
  const std::string text = fmt::format("{}\n", pid);
  if (ftruncate(lock_fd, 0) == 0) {
    [[maybe_unused]] const ssize_t ignored = pwrite(lock_fd, text.data(), text.size(), 0);
  }
}

}  // namespace penstock
