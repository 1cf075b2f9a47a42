// Making, checking and locking of the store's directory.
#include "tools/penstockd/directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "store/base/host_limits.h"
#include "store/base/store_directory.h"

namespace penstock {
namespace {

std::string BelongsToAnother(const std::string& dir, uid_t owner) {
  return fmt::format(
      "the directory {} belongs to user {}, this daemon runs as {}: choose one of your own with "
      "--dir", dir, owner, geteuid());
}

// What may name another directory, and what named this one.
std::string Choice(const std::string& dir) {
  const char* const runtime_dir = getenv("XDG_RUNTIME_DIR");
  const bool is_named = runtime_dir != nullptr && *runtime_dir != '\0' &&
                        dir == std::string(runtime_dir) + "/penstock";
  return is_named ? "--dir or PENSTOCK_DIR (XDG_RUNTIME_DIR names this one)"
                  : "--dir or PENSTOCK_DIR";
}

// Why `dir` cannot be opened. It is looked at again, for what O_NOFOLLOW and a directory that
// is closed to this user hide behind an errno.
absl::Status CannotOpen(int error, const std::string& dir) {
  struct stat facts;
  const bool is_known = lstat(dir.c_str(), &facts) == 0;
  if (is_known && S_ISLNK(facts.st_mode)) error = ELOOP;
  if (is_known && error == EACCES && facts.st_uid != geteuid()) {
    return absl::PermissionDeniedError(BelongsToAnother(dir, facts.st_uid));
  }
  return PlaceStatus(error, fmt::format("opening the directory {}", dir), Choice(dir));
}

// What WriteLockHolder wrote, or nothing yet. Anything else is somebody's file, to be left alone.
bool IsOfAStore(int lock_fd) {
  char text[32];
  const ssize_t got = pread(lock_fd, text, sizeof(text), 0);
  if (got < 0 || got == sizeof(text)) return false;
  return std::all_of(text, text + got, [](char c) { return (c >= '0' && c <= '9') || c == '\n'; });
}

}  // namespace

absl::StatusOr<UniqueFd> LockDirectory(const std::string& dir) {
  if (mkdir(dir.c_str(), 0711) != 0 && errno != EEXIST) {
    return PlaceStatus(errno, fmt::format("making the directory {}", dir), Choice(dir));
  }
  UniqueFd dir_fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts;
  if (!dir_fd.valid() || fstat(dir_fd.get(), &facts) != 0) {
    return CannotOpen(errno, dir);
  }
  if (facts.st_uid != geteuid()) {
    return absl::PermissionDeniedError(BelongsToAnother(dir, facts.st_uid));
  }
  if ((facts.st_mode & 0022) != 0) {
    return absl::PermissionDeniedError(fmt::format(
        "others may write to the directory {} (mode {:o}): chmod 711 it, or choose another "
        "with --dir", dir, facts.st_mode & 07777));
  }
  if ((facts.st_mode & 07777) != 0711) fchmod(dir_fd.get(), 0711);  // umask was in the way

  const std::string path = LockPath(dir);
  UniqueFd lock(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!lock.valid()) return PlaceStatus(errno, fmt::format("opening {}", path), Choice(dir));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t got = pread(lock.get(), holder, sizeof(holder) - 1, 0);
    return absl::AlreadyExistsError(fmt::format(
        "a daemon holds {} already (process {}): use it, end it, or choose another --dir",
        dir, got > 0 ? std::string(holder, strcspn(holder, "\n")) : "unknown"));
  }
  if (!IsOfAStore(lock.get())) {
    return absl::FailedPreconditionError(fmt::format(
        "{} is no lock of Penstock: it holds something else. Remove it, or choose another "
        "directory with {}", path, Choice(dir)));
  }
  return lock;
}

UniqueFd OpenHeld(const std::string& dir, int lock_fd) {
  UniqueFd dir_fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat held, there;
  const bool is_ours = dir_fd.valid() && fstat(lock_fd, &held) == 0 &&
                       fstatat(dir_fd.get(), kLockName, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                       held.st_dev == there.st_dev && held.st_ino == there.st_ino;
  if (!is_ours) dir_fd.reset();
  return dir_fd;
}

void RemoveSockets(const std::string& dir, int lock_fd) {
  const UniqueFd held = OpenHeld(dir, lock_fd);
  if (!held.valid()) return;
  for (const char* const name : {kSocketName, kWindowName}) {
    struct stat facts;
    if (fstatat(held.get(), name, &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(facts.st_mode)) {
      unlinkat(held.get(), name, 0);
    }
  }
}

void RemoveDirectory(const std::string& dir, int lock_fd) {
  const UniqueFd held = OpenHeld(dir, lock_fd);
  if (!held.valid()) return;
  unlinkat(held.get(), kLockName, 0);
  rmdir(dir.c_str());
}

void WriteLockHolder(int lock_fd, int pid) {
  const std::string text = fmt::format("{}\n", pid);
  if (ftruncate(lock_fd, 0) == 0) {
    [[maybe_unused]] const ssize_t ignored = pwrite(lock_fd, text.data(), text.size(), 0);
  }
}

}  // namespace penstock
