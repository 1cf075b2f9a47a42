// Where a store's sockets lie, the same for daemons, clients and the operator's tools.
#ifndef PENSTOCK_STORE_BASE_STORE_DIRECTORY_H_
#define PENSTOCK_STORE_BASE_STORE_DIRECTORY_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace penstock {

// `explicit_dir` when it is not empty; else the environment's PENSTOCK_DIR; else
// /run/penstock for root, $XDG_RUNTIME_DIR/penstock, or /tmp/penstock-<uid>.
std::string StoreDirectory(const std::string& explicit_dir = "");

// Refuses /tmp/penstock-<uid> when it belongs to a user who is neither this one nor root: in /tmp
// anybody may have made it, and would get what is meant for a store of one's own. Other directories
// were chosen by somebody, and pass. For who connects; a daemon takes no directory but its own.
absl::Status CheckStoreDirectory(const std::string& dir);

// As long as the path of a UNIX socket may be.
inline constexpr size_t kMostSocketPathBytes = 107;

// The same, absolute, so that it stays what it is when the process changes its directory. Where
// only the relative path is short enough for a socket, it stays relative. Errors: those of a
// current directory that cannot be told.
absl::StatusOr<std::string> LastingStoreDirectory(const std::string& explicit_dir = "");

inline constexpr const char* kSocketName = "penstock.sock";
// The keeper's, for the operator's tools (store/wire/window_message.h).
inline constexpr const char* kWindowName = "keeper.sock";
inline constexpr const char* kLockName = "penstockd.lock";

inline std::string SocketPath(const std::string& dir) { return dir + "/" + kSocketName; }
inline std::string WindowPath(const std::string& dir) { return dir + "/" + kWindowName; }
inline std::string LockPath(const std::string& dir) { return dir + "/" + kLockName; }

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_STORE_DIRECTORY_H_
