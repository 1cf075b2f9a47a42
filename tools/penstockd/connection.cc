// Accepting a connection and making a session's segments.
#include "tools/penstockd/connection.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include <utility>
#include <vector>

#include <fmt/format.h>

#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/shm/parking.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace penstock {

namespace {

// The main group and those beside it, as they were when the peer connected.
std::vector<uint32_t> GroupsOf(int socket, uint32_t main_group) {
  std::vector<gid_t> groups(64);
  auto length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int result = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length);
  if (result != 0 && errno == ERANGE) {  // `length` says how much they take
    groups.resize(length / sizeof(gid_t));
    result = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length);
  }
  groups.resize(result == 0 ? length / sizeof(gid_t) : 0);
  groups.push_back(main_group);
  return groups;
}

// A pipe and not an eventfd: a client that is given an eventfd shares its open file with us,
// takes O_NONBLOCK off and fills it, and our next ring would wait for that client for ever.
// Of a pipe each side can have an open file of its own.
absl::StatusOr<UniqueFd> OpenDoorbell(int other_end) {
  const std::string path = fmt::format("/proc/self/fd/{}", other_end);
  UniqueFd fd(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (fd.valid()) return fd;
  return ProcStatus(errno, "opening a client's doorbell through /proc/self/fd");
}

absl::StatusOr<UniqueFd> MakeClientDoorbell() {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
    return CallStatus(errno, "pipe");
  }
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  fcntl(write_end.get(), F_SETPIPE_SZ, 4096);  // 512 rings before it is loud enough
  return OpenDoorbell(write_end.get());
}

}  // namespace

absl::StatusOr<UniqueFd> Connection::DoorbellForClient() const {
  return OpenDoorbell(client_doorbell.get());
}

absl::StatusOr<Connection> Connection::Accept(UniqueFd& socket) {
  Connection connection;
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return CallStatus(errno, "asking for the credentials of a client (SO_PEERCRED)");
  }
  connection.pid = peer.pid;
  connection.uid = peer.uid;
  connection.gids = GroupsOf(socket.get(), peer.gid);
  // Linux 6.5 gives the process behind the socket without a race; before, by its number.
  int pidfd = -1;
  length = sizeof(pidfd);
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) != 0) {
    pidfd = static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0));
  }
  if (pidfd < 0 && errno != ESRCH && errno != EINVAL) {
    return CallStatus(errno, fmt::format("pidfd_open of process {}", peer.pid));
  }
  if (pidfd < 0) {
    return absl::UnavailableError(
        fmt::format("process {} is gone, or in another process namespace", peer.pid));
  }
  connection.pidfd = UniqueFd(pidfd);
  connection.socket = std::move(socket);
  return connection;
}

absl::Status Connection::MakeSession(uint32_t capacity, uint64_t session_number,
                                     BitmapWindow& bitmaps) {
  const SessionGeometry geometry = SessionGeometry::For(capacity);
  number = session_number;
  PENSTOCK_ASSIGN_OR_RETURN(client_file, MemoryFile::Create("client", geometry.client_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(daemon_file, MemoryFile::Create("daemon", geometry.daemon_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(daemon_read_only, daemon_file.ReopenReadOnly());
  PENSTOCK_ASSIGN_OR_RETURN(daemon_doorbell, MakeDoorbell());
  PENSTOCK_ASSIGN_OR_RETURN(client_doorbell, MakeClientDoorbell());
  PENSTOCK_RETURN_IF_ERROR(MapSession(capacity, bitmaps));
  segments(capacity).Format(capacity, number);
  return absl::OkStatus();
}

absl::Status Connection::MapSession(uint32_t capacity, BitmapWindow& bitmaps) {
  const SessionGeometry geometry = SessionGeometry::For(capacity);
  PENSTOCK_ASSIGN_OR_RETURN(client_mapping,
                            Mapping::Map(client_file.fd(), geometry.client_bytes,
                                         Access::kReadWrite, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(daemon_mapping,
                            Mapping::Map(daemon_file.fd(), geometry.daemon_bytes,
                                         Access::kReadWrite, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(bitmap_pane, bitmaps.Open(client_file.fd()));
  return absl::OkStatus();
}

SessionSegments Connection::segments(uint32_t capacity) const {
  SessionSegments all =
      SessionSegments::At(client_mapping.data(), daemon_mapping.data(), capacity, number);
  if (std::byte* const region = bitmap_pane.data(); region != nullptr) {
    all.ReadBitmapFrom(region, number);
  }
  return all;
}

std::vector<UniqueFd> Connection::TakeDescriptors() {
  std::vector<UniqueFd> all;
  all.push_back(std::move(pidfd));
  if (!row) return all;
  for (MemoryFile* const file : {&client_file, &daemon_file}) all.push_back(file->TakeFd());
  for (UniqueFd* const fd : {&daemon_read_only, &daemon_doorbell, &client_doorbell}) {
    all.push_back(std::move(*fd));
  }
  return all;
}

absl::StatusOr<Connection> Connection::Keep(KeptConnection kept, uint32_t capacity,
                                            BitmapWindow& bitmaps) {
  const SessionGeometry geometry = SessionGeometry::For(capacity);
  Connection connection;
  connection.number = kept.number;
  connection.pid = kept.pid;
  connection.uid = kept.uid;
  connection.role = kept.read_only ? SessionRole::kReadOnly : SessionRole::kReadWrite;
  connection.socket = std::move(kept.socket);
  connection.pidfd = std::move(kept.pidfd);
  connection.daemon_read_only = std::move(kept.daemon_read_only);
  connection.daemon_doorbell = std::move(kept.daemon_doorbell);
  connection.client_doorbell = std::move(kept.client_doorbell);
  PENSTOCK_ASSIGN_OR_RETURN(
      connection.client_file,
      MemoryFile::Adopt(std::move(kept.client_file), geometry.client_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(
      connection.daemon_file,
      MemoryFile::Adopt(std::move(kept.daemon_file), geometry.daemon_bytes));
  PENSTOCK_RETURN_IF_ERROR(connection.MapSession(capacity, bitmaps));
  return connection;
}

}  // namespace penstock
