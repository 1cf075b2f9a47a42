// The default directory of a store.
#include "store/base/store_directory.h"

#include <unistd.h>

#include <cstdlib>

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

}  // namespace penstock
