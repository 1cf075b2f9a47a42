// The default directory of a store.
#include "store/base/store_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "store/base/errors.h"

#include <fmt/format.h>

namespace penstock {
namespace {

std::string InTmp() { return "/tmp/penstock-" + std::to_string(geteuid()); }

}  // namespace

std::string StoreDirectory(const std::string& explicit_dir) {
  if (!explicit_dir.empty()) return explicit_dir;
  if (const char* dir = getenv("PENSTOCK_DIR"); dir != nullptr && *dir != '\0') return dir;
  if (geteuid() == 0) return "/run/penstock";
  if (const char* dir = getenv("XDG_RUNTIME_DIR"); dir != nullptr && *dir != '\0') {
    return std::string(dir) + "/penstock";
  }
  return InTmp();
}

absl::Status CheckStoreDirectory(const std::string& dir) {
  struct stat facts;
  if (dir != InTmp() || lstat(dir.c_str(), &facts) != 0 || facts.st_uid == geteuid() ||
      facts.st_uid == 0) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(fmt::format(
      "the directory {} belongs to user {} and you are user {}: what lies there is no store of "
      "yours. Have it removed, or name another with PENSTOCK_DIR", dir, facts.st_uid, geteuid()));
}

absl::StatusOr<std::string> LastingStoreDirectory(const std::string& explicit_dir) {
  std::string dir = StoreDirectory(explicit_dir);
  std::error_code error;
  std::string absolute = std::filesystem::absolute(dir, error).string();
  if (error) {
    return ErrnoStatus(error.value(), "finding the current directory, which the store's is below",
                       "Give the store's directory as an absolute path");
  }
  const bool fits = SocketPath(absolute).size() <= kMostSocketPathBytes;
  return fits || SocketPath(dir).size() > kMostSocketPathBytes ? absolute : dir;
}

}  // namespace penstock
