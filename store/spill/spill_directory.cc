// The directory of spill files.
#include "store/spill/spill_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/spill/spill_layout.h"

namespace penstock {
namespace {

constexpr const char* kChoice = "--spill-dir";

template <typename T>
bool ParseHex(std::string_view digits, T& value) {
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return error == std::errc() && end == digits.data() + digits.size();
}

absl::Status CheckOwner(int dir, const std::string& path) {
  struct stat facts;
  if (fstat(dir, &facts) != 0) return ErrnoStatus(errno, "fstat of " + path);
  if (facts.st_uid != geteuid()) {
    return absl::PermissionDeniedError(fmt::format(
        "the spill directory {} belongs to user {}, this is user {}: choose another, or "
        "chown it", path, facts.st_uid, geteuid()));
  }
  if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::PermissionDeniedError(fmt::format(
        "others may write the spill directory {} (mode {:o}): chmod 700 it, or choose "
        "another", path, facts.st_mode & 07777));
  }
  return absl::OkStatus();
}

// Whether O_DIRECT works here in blocks of ours, and how memory must be aligned for it.
// Where the kernel does not say, a page is always enough.
bool IsDirectPossible(int fd, uint64_t& memory_align_bytes) {
  memory_align_bytes = kSpillBlockBytes;
#ifdef STATX_DIOALIGN
  struct statx facts;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &facts) == 0 &&
      (facts.stx_mask & STATX_DIOALIGN) != 0) {
    memory_align_bytes = std::max<uint64_t>(1, facts.stx_dio_mem_align);
    return facts.stx_dio_offset_align != 0 &&
           kSpillBlockBytes % facts.stx_dio_offset_align == 0 &&
           facts.stx_dio_mem_align <= kSpillBlockBytes;
  }
#endif
  return true;
}

}  // namespace

std::string SpillFileName(uint64_t incarnation, uint32_t number) {
  return fmt::format("spill-{:016x}-{:08x}", incarnation, number);
}

std::optional<SpillFileId> ParseSpillFileName(std::string_view name) {
  SpillFileId id;
  if (name.size() != 31 || !ParseHex(name.substr(6, 16), id.incarnation) ||
      !ParseHex(name.substr(23, 8), id.number) ||
      name != SpillFileName(id.incarnation, id.number)) {
    return std::nullopt;
  }
  return id;
}

absl::StatusOr<SpillDirectory> SpillDirectory::Open(const std::string& path,
                                                    uint64_t incarnation) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return PlaceStatus(errno, "making the spill directory " + path, kChoice);
  }
  SpillDirectory directory;
  directory.path_ = path;
  directory.incarnation_ = incarnation;
  PENSTOCK_RETURN_IF_ERROR(directory.Take());
  return directory;
}

absl::Status SpillDirectory::Take() {
  UniqueFd dir(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid()) return PlaceStatus(errno, "opening the spill directory " + path_, kChoice);
  PENSTOCK_RETURN_IF_ERROR(CheckOwner(dir.get(), path_));
  UniqueFd lock(openat(dir.get(), kSpillLockName, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock.valid()) {
    return PlaceStatus(errno, fmt::format("making {}/{}", path_, kSpillLockName), kChoice);
  }
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, "locking the spill directory " + path_);
    return absl::AlreadyExistsError(fmt::format(
        "another store spills to {}: give each store a spill directory of its own", path_));
  }
  dir_ = std::move(dir);
  lock_ = std::move(lock);
  return absl::OkStatus();
}

int SpillDirectory::Reopen() {
  const UniqueFd there(open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!there.valid()) return errno;
  const absl::Status taken = Take();
  if (taken.ok()) return 0;
  return absl::IsAlreadyExists(taken) ? EBUSY : EACCES;
}

uint32_t SpillDirectory::RemoveFiles(const std::function<bool(SpillFileId)>& keep) {
  uint32_t highest = 0;
  const int copy = openat(dir_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = copy >= 0 ? fdopendir(copy) : nullptr;
  if (stream == nullptr) {
    if (copy >= 0) close(copy);
    return 0;
  }
  std::vector<std::string> unwanted;
  while (const dirent* entry = readdir(stream)) {
    const std::optional<SpillFileId> id = ParseSpillFileName(entry->d_name);
    if (!id) continue;
    if (id->incarnation == incarnation_) highest = std::max(highest, id->number);
    struct stat facts;
    if (fstatat(dir_.get(), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(facts.st_mode) || facts.st_uid != geteuid()) {
      continue;
    }
    if (!keep(*id)) unwanted.emplace_back(entry->d_name);
  }
  closedir(stream);
  for (const std::string& name : unwanted) unlinkat(dir_.get(), name.c_str(), 0);
  return highest;
}

OpenedFile SpillDirectory::OpenAt(uint32_t number, int flags, int& error) const {
  const std::string name = SpillFileName(incarnation_, number);
  flags |= O_RDWR | O_NOFOLLOW | O_CLOEXEC;
  OpenedFile file;
  file.fd = UniqueFd(openat(dir_.get(), name.c_str(), flags | O_DIRECT, 0600));
  file.direct = file.fd.valid() && IsDirectPossible(file.fd.get(), file.memory_align_bytes);
  if (!file.direct && (file.fd.valid() || errno == EINVAL)) {
    // The file system has no O_DIRECT, or not for our blocks. The file may be there by now.
    file.fd = UniqueFd(openat(dir_.get(), name.c_str(), flags & ~O_EXCL, 0600));
    file.memory_align_bytes = 1;
  }
  if (!file.fd.valid()) {
    error = errno;
    return file;
  }
  struct stat facts;
  if (fstat(file.fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode) ||
      facts.st_uid != geteuid()) {
    file.fd.reset();
    error = ENOENT;  // something else took its name: the file we wrote is gone
    return file;
  }
  error = 0;
  return file;
}

OpenedFile SpillDirectory::CreateFile(uint32_t number, int& error) const {
  return OpenAt(number, O_CREAT | O_EXCL, error);
}

OpenedFile SpillDirectory::OpenFile(uint32_t number, int& error) const {
  return OpenAt(number, 0, error);
}

void SpillDirectory::RemoveFile(uint32_t number) const {
  unlinkat(dir_.get(), SpillFileName(incarnation_, number).c_str(), 0);
}

}  // namespace penstock
