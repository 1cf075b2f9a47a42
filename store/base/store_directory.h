// Where a store's sockets lie, the same for daemons, clients and the operator's tools.
#ifndef PENSTOCK_STORE_BASE_STORE_DIRECTORY_H_
#define PENSTOCK_STORE_BASE_STORE_DIRECTORY_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace penstock {

// `explicit_dir` when it is not empty; else the environment's PENSTOCK_DIR; else
// /run/penstock for root, $XDG_RUNTIME_DIR/penstock, or /tmp/penstock-<uid>.
std::string StoreDirectory(const std::string& explicit_dir = "");

// As long as the path of a UNIX socket may be.
inline constexpr size_t kMostSocketPathBytes = 107;

// The same, absolute, so that it stays what it is when the process changes its directory. Where
// only the relative path is short enough for a socket, it stays relative. Errors: those of a
// current directory that cannot be told.
absl::StatusOr<std::string> LastingStoreDirectory(const std::string& explicit_dir = "");

inline std::string SocketPath(const std::string& dir) { return dir + "/penstock.sock"; }
// The keeper's, for the operator's tools (store/wire/window_message.h).
inline std::string WindowPath(const std::string& dir) { return dir + "/keeper.sock"; }
inline std::string LockPath(const std::string& dir) { return dir + "/penstockd.lock"; }

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_STORE_DIRECTORY_H_
