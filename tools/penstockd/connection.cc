// Accepting a connection and making a session's segments.
#include "tools/penstockd/connection.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "store/base/errors.h"
#include "store/shm/parking.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace penstock {

absl::StatusOr<Connection> Connection::Accept(UniqueFd socket) {
  Connection connection;
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return ErrnoStatus(errno, "asking for the credentials of a client");
  }
  connection.pid = peer.pid;
  connection.uid = peer.uid;
  // Linux 6.5 gives the process behind the socket without a race; before, by its number.
  int pidfd = -1;
  length = sizeof(pidfd);
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) != 0) {
    pidfd = static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0));
  }
  if (pidfd < 0) {
    return absl::UnavailableError(
        fmt::format("process {} is gone, or in another process namespace", peer.pid));
  }
  connection.pidfd = UniqueFd(pidfd);
  connection.socket = std::move(socket);
  return connection;
}

absl::Status Connection::MakeSession(uint32_t capacity, uint64_t session_number) {
  const SessionGeometry geometry = SessionGeometry::For(capacity);
  number = session_number;
  PENSTOCK_ASSIGN_OR_RETURN(client_file, MemoryFile::Create("client", geometry.client_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(daemon_file, MemoryFile::Create("daemon", geometry.daemon_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(daemon_doorbell, MakeDoorbell());
  PENSTOCK_ASSIGN_OR_RETURN(client_doorbell, MakeDoorbell());
  PENSTOCK_RETURN_IF_ERROR(MapSession(capacity));
  segments(capacity).Format(capacity, number);
  return absl::OkStatus();
}

absl::Status Connection::MapSession(uint32_t capacity) {
  const SessionGeometry geometry = SessionGeometry::For(capacity);
  PENSTOCK_ASSIGN_OR_RETURN(daemon_read_only, daemon_file.ReopenReadOnly());
  PENSTOCK_ASSIGN_OR_RETURN(client_mapping,
                            Mapping::Map(client_file.fd(), geometry.client_bytes,
                                         Access::kReadWrite, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(daemon_mapping,
                            Mapping::Map(daemon_file.fd(), geometry.daemon_bytes,
                                         Access::kReadWrite, OnFork::kDrop));
  return absl::OkStatus();
}

absl::StatusOr<Connection> Connection::Keep(KeptConnection kept, uint32_t capacity) {
  const SessionGeometry geometry = SessionGeometry::For(capacity);
  Connection connection;
  connection.number = kept.number;
  connection.pid = kept.pid;
  connection.uid = kept.uid;
  connection.socket = std::move(kept.socket);
  connection.pidfd = std::move(kept.pidfd);
  connection.daemon_doorbell = std::move(kept.daemon_doorbell);
  connection.client_doorbell = std::move(kept.client_doorbell);
  PENSTOCK_ASSIGN_OR_RETURN(
      connection.client_file,
      MemoryFile::Adopt(std::move(kept.client_file), geometry.client_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(
      connection.daemon_file,
      MemoryFile::Adopt(std::move(kept.daemon_file), geometry.daemon_bytes));
  PENSTOCK_RETURN_IF_ERROR(connection.MapSession(capacity));
  return connection;
}

}  // namespace penstock
