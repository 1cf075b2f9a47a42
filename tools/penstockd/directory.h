// The store's directory: made, checked and locked, so that it has one daemon.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_DIRECTORY_H_
#define PENSTOCK_TOOLS_PENSTOCKD_DIRECTORY_H_

#include <string>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"

namespace penstock {

// Makes `dir` with mode 0711 if it is not there. Refuses one that belongs to another user
// or that others may write to, and one that another daemon holds (says which process).
// The result is the lock; it is held as long as any process has it open.
absl::StatusOr<UniqueFd> LockDirectory(const std::string& dir);

// The directory at that path, as long as the lock's file in it is the one that is held. Invalid
// when the directory or that file was removed, moved or replaced: another store may live there.
UniqueFd OpenHeld(const std::string& dir, int lock_fd);

// Takes the store's two sockets away from a directory that is held, and nothing that is no socket.
void RemoveSockets(const std::string& dir, int lock_fd);

// The same for the lock's file and the directory, if nothing else is in it.
void RemoveDirectory(const std::string& dir, int lock_fd);

// Writes who holds the lock, for the next one to say.
void WriteLockHolder(int lock_fd, int pid);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_DIRECTORY_H_
