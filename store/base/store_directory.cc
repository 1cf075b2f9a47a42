// The default directory of a store.
#include "store/base/store_directory.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "store/base/errors.h"

namespace penstock {

std::string StoreDirectory(const std::string& explicit_dir) {
  if (!explicit_dir.empty()) return explicit_dir;
  if (const char* dir = getenv("PENSTOCK_DIR"); dir != nullptr && *dir != '\0') return dir;
  if (geteuid() == 0) return "/run/penstock";
  if (const char* dir = getenv("XDG_RUNTIME_DIR"); dir != nullptr && *dir != '\0') {
    return std::string(dir) + "/penstock";
  }
  return "/tmp/penstock-" + std::to_string(geteuid());
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
