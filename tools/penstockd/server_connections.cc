// Server: who comes, what they say on the socket, and how they go.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "store/base/errors.h"
#include "store/wire/packet_socket.h"
#include "tools/penstockd/server.h"

namespace penstock {

void Server::OnConnect() {
  for (;;) {
    UniqueFd socket(accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      if (errno != EAGAIN) spdlog::warn("accept failed: errno {}", errno);
      return;
    }
    auto accepted = Connection::Accept(std::move(socket));
    if (!accepted.ok()) {
      spdlog::warn("a client was turned away: {}", accepted.status().ToString());
      continue;
    }
    auto connection = std::make_unique<Connection>(*std::move(accepted));
    const int fd = connection->socket.get();
    // A store belongs to one user; there is no list of others yet.
    if (connection->uid != geteuid()) {
      Refuse(*connection, absl::PermissionDeniedError(fmt::format(
                              "this store belongs to user {}, you are user {}: start a "
                              "daemon of your own", geteuid(), connection->uid)));
      continue;
    }
    if (const absl::Status status = reactor_->Watch(fd, [this, fd] { OnPacket(fd); });
        !status.ok()) {
      Refuse(*connection, status);
      continue;
    }
    connections_[fd] = std::move(connection);
  }
}

void Server::Refuse(Connection& connection, const absl::Status& why) {
  spdlog::warn("process {} was turned away: {}", connection.pid, why.ToString());
  [[maybe_unused]] const absl::Status ignored =
      SendPacket(connection.socket.get(), RefusedMessage(why));
}

// The word in its segment outlives a good-bye that went to a daemon that died.
bool Server::SaidGoodbye(const Connection& connection) const {
  const SessionSegments segments = connection.segments(memory_.index.capacity());
  return segments.client->use.load(std::memory_order_acquire) == kClosed;
}

void Server::OnPacket(int socket_fd) {
  Connection& connection = *connections_.at(socket_fd);
  const absl::StatusOr<Packet> packet = ReceivePacket(socket_fd);
  if (!packet.ok() && absl::IsUnavailable(packet.status())) return;  // nothing there yet
  if (!packet.ok() || packet->bytes.empty()) {
    // Hung up. A session's end is its process's end, not its socket's: a forked child may
    // keep one open, and a process that closed it may still hold pins.
    if (connection.row && !SaidGoodbye(connection)) {
      reactor_->Remove(socket_fd);
    } else {
      Close(socket_fd);
    }
    return;
  }
  const auto message = ParseMessage(packet->bytes);
  if (!message.ok()) {
    Refuse(connection, message.status());
    if (!connection.row) Close(socket_fd);
    return;
  }
  switch ((*message)->body_type()) {
    case wire::Body_Hello:
      OnHello(connection, *(*message)->body_as_Hello());
      return;
    case wire::Body_Goodbye:
      Close(socket_fd);
      return;
    case wire::Body_StatusRequest: {
      [[maybe_unused]] const absl::Status ignored =
          SendPacket(socket_fd, StatusReplyMessage(Status()));
      return;
    }
    default:
      Refuse(connection, absl::InvalidArgumentError(
                             "a client may send Hello, StatusRequest and Goodbye only"));
      if (!connection.row) Close(socket_fd);
  }
}

void Server::OnHello(Connection& connection, const wire::Hello& hello) {
  const int fd = connection.socket.get();
  const bool had_session = connection.row.has_value();
  absl::Status status;
  if (hello.protocol_version() != kProtocolVersion ||
      hello.index_layout() != kIndexLayoutVersion ||
      hello.session_layout() != kSessionLayoutVersion) {
    status = absl::FailedPreconditionError(fmt::format(
        "the client speaks protocol {} with layouts {} and {}, this daemon {} with {} and {}: "
        "use the same release of Penstock for both", hello.protocol_version(),
        hello.index_layout(), hello.session_layout(), kProtocolVersion, kIndexLayoutVersion,
        kSessionLayoutVersion));
  } else if (had_session) {
    status = absl::FailedPreconditionError("this connection has a session already");
  } else if (hello.role() == wire::Role_Client) {
    status = OpenSession(connection);
  } else if (hello.role() == wire::Role_Runtime) {
    return PassToNode(fd);
  }
  if (status.ok()) return;
  Refuse(connection, status);
  // Also a session that was opened half: nobody holds anything through it yet.
  if (!had_session) Close(fd);
}

// A process of the runtime: the node service reads its socket from now on.
void Server::PassToNode(int socket_fd) {
  reactor_->Remove(socket_fd);
  const std::unique_ptr<Connection> connection = std::move(connections_.at(socket_fd));
  connections_.erase(socket_fd);
  const int32_t pid = connection->pid;
  if (const absl::Status status = node_->Adopt(std::move(connection->socket),
                                               std::move(connection->pidfd), pid);
      !status.ok()) {
    spdlog::warn("process {} was turned away: {}", pid, status.ToString());
  }
}

absl::Status Server::OpenSession(Connection& connection) {
  const uint32_t capacity = memory_.index.capacity();
  const uint64_t number = memory_.lease_table.header().next_session;
  PENSTOCK_RETURN_IF_ERROR(connection.MakeSession(capacity, number));
  PENSTOCK_ASSIGN_OR_RETURN(
      const SessionRow row,
      core_->OpenSession(connection.segments(capacity), number, connection.pid));
  PENSTOCK_RETURN_IF_ERROR(WatchSession(connection, row));
  // Before the client hears of it: there is no session that a successor would not find.
  PENSTOCK_RETURN_IF_ERROR(TellKeeper(connection));
  spdlog::debug("session {} for process {}", number, connection.pid);
  return SendWelcome(connection);
}

absl::Status Server::SendWelcome(const Connection& connection) {
  WelcomeFacts facts;
  facts.session = connection.number;
  facts.incarnation = memory_.index.header().incarnation;
  facts.index_bytes = memory_.index_file.bytes();
  facts.arena_bytes = memory_.arena_file.bytes();
  facts.capacity = memory_.index.capacity();
  facts.daemon_pid = getpid();
  int fds[kFdCount];
  fds[kFdArenaReadOnly] = memory_.arena_read_only.get();
  fds[kFdArenaWritable] = memory_.arena_file.fd();
  fds[kFdIndex] = memory_.index_read_only.get();
  fds[kFdClientSegment] = connection.client_file.fd();
  fds[kFdDaemonSegment] = connection.daemon_read_only.get();
  fds[kFdDaemonDoorbell] = connection.daemon_doorbell.get();
  fds[kFdClientDoorbell] = connection.client_doorbell.get();
  return SendPacket(connection.socket.get(), WelcomeMessage(facts), fds);
}

absl::Status Server::WatchSession(Connection& connection, SessionRow row) {
  if (by_row_.size() <= row) by_row_.resize(row + 1);
  by_row_[row] = &connection;
  connection.row = row;
  PENSTOCK_RETURN_IF_ERROR(reactor_->WatchDoorbell(connection.daemon_doorbell.get()));
  const int socket_fd = connection.socket.get();
  return reactor_->Watch(connection.pidfd.get(), [this, socket_fd] { OnDeath(socket_fd); });
}

absl::Status Server::TellKeeper(const Connection& connection) {
  const absl::Status sent = keeper_.SendSession(connection.descriptors());
  if (sent.ok()) return sent;
  return absl::UnavailableError(
      "the daemon's keeper takes no sessions just now: is it stopped? Try again");
}

void Server::OnDeath(int socket_fd) {
  spdlog::debug("process {} has ended", connections_.at(socket_fd)->pid);
  Close(socket_fd);
}

void Server::Close(int socket_fd) {
  const auto found = connections_.find(socket_fd);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  reactor_->Remove(socket_fd);
  if (connection.row) {
    reactor_->Remove(connection.pidfd.get());
    reactor_->Remove(connection.daemon_doorbell.get());
    core_->CloseSession(*connection.row);
    by_row_[*connection.row] = nullptr;
    keeper_.SendSessionEnd(connection.number);
    // The keeper has the socket too, and may take its time.
    shutdown(socket_fd, SHUT_RDWR);
  }
  std::erase(broken_sockets_, socket_fd);
  connections_.erase(found);
}

}  // namespace penstock
