// Server: who comes, what they say on the socket, and how they go.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "store/base/crash_point.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/process_name.h"
#include "store/wire/packet_socket.h"
#include "tools/penstockd/coarse_clock.h"
#include "tools/penstockd/server.h"

namespace penstock {
namespace {

// In one go: whoever connects without end must not keep the daemon from its clients.
constexpr int kMostAccepts = 4;
// Packets of one session that are refused before it is ended. No library sends one.
constexpr uint32_t kMostRefusedPackets = 16;
// Of all sessions, what a user other than the store's gets unless the operator says more.
constexpr uint32_t kPartOfAGuest = 4;

UniqueFd OpenSpare() { return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

bool HasHungUp(int socket_fd) {
  pollfd item{socket_fd, 0, 0};
  return poll(&item, 1, 0) == 1 && (item.revents & POLLHUP) != 0;
}

}  // namespace

void Server::OnConnect() {
  if (!spare_.valid()) spare_ = OpenSpare();
  for (int i = 0; i < kMostAccepts; ++i) {
    UniqueFd socket(accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      if (errno == EAGAIN || errno == ECONNABORTED) return;
      const absl::Status why = CallStatus(errno, "accepting a client");
      if (errno != EMFILE && errno != ENFILE) return Warn(std::string(why.message()));
      // Left in the queue it would wait for an answer, and have the daemon look again and again.
      spare_.reset();
      socket = UniqueFd(accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (socket.valid()) TurnAway(socket.get(), why);
      socket.reset();
      spare_ = OpenSpare();
      return;
    }
    auto accepted = Connection::Accept(socket);
    if (!accepted.ok()) {
      TurnAway(socket.get(), accepted.status());
      continue;
    }
    auto connection = std::make_unique<Connection>(*std::move(accepted));
    const int fd = connection->socket.get();
    const absl::StatusOr<SessionRole> role = RoleOf(*connection);
    if (!role.ok()) {
      Refuse(*connection, role.status());
      sink_.HangUp(std::move(connection->socket));
      continue;
    }
    connection->role = *role;
    if (const absl::Status status = reactor_->Watch(fd, [this, fd] { OnPacket(fd); });
        !status.ok()) {
      Refuse(*connection, status);
      sink_.HangUp(std::move(connection->socket));
      continue;
    }
    connections_[fd] = std::move(connection);
    antechamber_.Heard(fd, CoarseNowNs());
    if (antechamber_.size() <= kMostWithoutSession) continue;
    const int oldest = antechamber_.most_silent();
    Refuse(*connections_.at(oldest),
           absl::ResourceExhaustedError(fmt::format(
               "more than {} processes are connected and have no session: say hello, and try "
               "again", kMostWithoutSession)));
    Close(oldest);
  }
}

absl::Status Server::ListenWith(int listen_fd) {
  OnConnect();  // who came before
  PENSTOCK_RETURN_IF_ERROR(reactor_->Watch(listen_fd, [this] { OnConnect(); }));
  reactor_->Remove(std::exchange(listen_fd_, listen_fd));
  return absl::OkStatus();
}

// Of a process that is not even known by its number.
void Server::TurnAway(int socket, const absl::Status& why) {
  ++turned_away_;
  Warn(fmt::format("a client was turned away: {}", std::string(why.message())));
  [[maybe_unused]] const absl::Status ignored = SendPacket(socket, RefusedMessage(why));
}

// A connection is no place to rest: it becomes a session, asks for something, or ends.
void Server::CloseSilent(int64_t now_ns) {
  while (!antechamber_.empty() &&
         now_ns - antechamber_.silent_since_ns() >= kMostSilence_ns) {
    const int fd = antechamber_.most_silent();
    Refuse(*connections_.at(fd),
           absl::DeadlineExceededError(fmt::format(
               "nothing came over this connection for {} s: connect when there is something "
               "to say", kMostSilence_ns / 1'000'000'000)));
    Close(fd);
  }
}

void Server::Warn(const std::string& line) {
  const auto left_out = warnings_.Take(CoarseNowNs());
  if (!left_out) return;
  if (*left_out > 0) spdlog::warn("{} warnings like the next one were left out", *left_out);
  spdlog::warn("{}", line);
}

// A store belongs to one user, who may do anything; others come in by the list.
absl::StatusOr<SessionRole> Server::RoleOf(const Connection& connection) const {
  if (connection.uid == geteuid()) return SessionRole::kReadWrite;
  const auto role = options_.allow.RoleOf(connection.uid, connection.gids);
  if (role) return *role;
  return absl::PermissionDeniedError(fmt::format(
      "this store belongs to user {0} and you are user {1}, who is not on its list: have it "
      "started with --allow uid:{1} to read there, or uid:{1}:rw to write too, or start a "
      "daemon of your own", geteuid(), connection.uid));
}

void Server::Refuse(Connection& connection, const absl::Status& why) {
  ++turned_away_;
  Warn(fmt::format("{} (user {}) was turned away: {}", NameOfProcess(connection.pid),
                   connection.uid, std::string(why.message())));
  [[maybe_unused]] const absl::Status ignored =
      SendPacket(connection.socket.get(), RefusedMessage(why));
}

// Of a packet that no library sends. Who has no session goes at once, others after a few.
void Server::RefusePacket(Connection& connection, const absl::Status& why) {
  Refuse(connection, why);
  if (!connection.row) return Close(connection.socket.get());
  if (++connection.refused_packets < kMostRefusedPackets) return;
  core_->EndSession(*connection.row,
                    fmt::format("it sent {} packets that make no sense",
                                connection.refused_packets));
}

// The word in its segment outlives a good-bye that went to a daemon that died. It also tells of a
// process that could not take its welcome (out of descriptors, or of memory) and lives on: it never
// had anything of this session.
bool Server::MayHaveHandles(const Connection& connection) const {
  const SessionSegments segments = connection.segments(memory_.index.capacity());
  const uint32_t use = segments.client->use.load(std::memory_order_acquire);
  return use != kClosed && use != kNotYetUsed;
}

void Server::OnPacket(int socket_fd) {
  Connection& connection = *connections_.at(socket_fd);
  // Whatever it said, it does not wait for the answer.
  if (!connection.row && HasHungUp(socket_fd)) return Close(socket_fd);
  std::vector<UniqueFd> strays;
  absl::StatusOr<Packet> packet = ReceivePacket(socket_fd, &strays);
  if (packet.ok()) strays = std::move(packet->fds);
  const bool are_too_many = !sink_.Close(std::move(strays));
  if (!packet.ok() && absl::IsUnavailable(packet.status())) return;  // nothing there yet
  if (!packet.ok() || packet->bytes.empty()) {
    // Hung up. A session's end is its process's end, not its socket's: a forked child may
    // keep one open, and a process that closed it may still hold pins.
    if (connection.row && MayHaveHandles(connection)) {
      reactor_->Remove(socket_fd);
    } else {
      Close(socket_fd);
    }
    return;
  }
  if (are_too_many) {
    Refuse(connection, absl::ResourceExhaustedError("this connection sent too many descriptors"));
    return connection.row ? reactor_->Remove(socket_fd) : Close(socket_fd);
  }
  if (!connection.row) antechamber_.Heard(socket_fd, CoarseNowNs());
  const auto message = ParseMessage(packet->bytes);
  if (!message.ok()) return RefusePacket(connection, message.status());
  switch ((*message)->body_type()) {
    case wire::Body_Hello:
      OnHello(connection, *(*message)->body_as_Hello());
      return;
    case wire::Body_Goodbye:
      Close(socket_fd);
      return;
    case wire::Body_TakeOver:
      HandOver(socket_fd, *(*message)->body_as_TakeOver());
      return;
    case wire::Body_StatusRequest: {
      [[maybe_unused]] const absl::Status ignored =
          SendPacket(socket_fd, StatusReplyMessage(Status()));
      return;
    }
    default:
      RefusePacket(connection, absl::InvalidArgumentError(
                                   "a client may send Hello, StatusRequest, TakeOver and "
                                   "Goodbye only"));
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
    if (hello.read_only()) connection.role = SessionRole::kReadOnly;
    status = OpenSession(connection);
  } else if (hello.role() == wire::Role_Runtime) {
    // Workers run with the daemon's rights: a guest would have them too.
    if (connection.uid == geteuid()) return PassToNode(fd);
    status = absl::PermissionDeniedError(fmt::format(
        "tasks and actors of this store run as user {}, you are user {}: start a daemon of "
        "your own for them", geteuid(), connection.uid));
  }
  if (status.ok()) return;
  if (had_session) return RefusePacket(connection, status);
  Refuse(connection, status);
  // Also a session that was opened half: nobody holds anything through it yet.
  Close(fd);
}

// A process of the runtime: the node service reads its socket from now on.
void Server::PassToNode(int socket_fd) {
  reactor_->Remove(socket_fd);
  antechamber_.Leave(socket_fd);
  const std::unique_ptr<Connection> connection = std::move(connections_.at(socket_fd));
  connections_.erase(socket_fd);
  const int32_t pid = connection->pid;
  if (const absl::Status status = node_->Adopt(std::move(connection->socket),
                                               std::move(connection->pidfd), pid);
      !status.ok()) {
    Warn(fmt::format("{} was turned away: {}", NameOfProcess(pid), status.ToString()));
  }
}

absl::Status Server::OpenSession(Connection& connection) {
  PENSTOCK_RETURN_IF_ERROR(CheckSessionsOf(connection.uid));
  const uint32_t capacity = memory_.index.capacity();
  const uint64_t number = memory_.lease_table.header().next_session;
  PENSTOCK_RETURN_IF_ERROR(connection.MakeSession(capacity, number, bitmaps_));
  PENSTOCK_ASSIGN_OR_RETURN(
      const SessionRow row,
      core_->OpenSession(connection.segments(capacity), number, connection.pid,
                         connection.role));
  PENSTOCK_RETURN_IF_ERROR(WatchSession(connection, row));
  PENSTOCK_CRASH_POINT(kSessionMade);
  // Before the client hears of it: there is no session that a successor would not find.
  PENSTOCK_RETURN_IF_ERROR(TellKeeper(connection));
  PENSTOCK_CRASH_POINT(kSessionKept);
  spdlog::debug("session {} for process {}", number, connection.pid);
  const absl::Status sent = SendWelcome(connection);
  PENSTOCK_CRASH_POINT(kSessionWelcomed);
  return sent;
}

// One guest cannot take all the sessions there are.
absl::Status Server::CheckSessionsOf(uint32_t uid) const {
  uint32_t most = options_.max_sessions_per_user;
  if (most == 0) {
    if (uid == geteuid()) return absl::OkStatus();
    most = std::max(1u, options_.max_sessions / kPartOfAGuest);
  }
  uint32_t open = 0;
  for (const Connection* const connection : by_row_) {
    if (connection != nullptr && connection->uid == uid) ++open;
  }
  if (open < most) return absl::OkStatus();
  return absl::ResourceExhaustedError(fmt::format(
      "user {} has {} sessions open, the most for one user: close some, or have the daemon "
      "started with a higher --max-sessions-per-user", uid, open));
}

absl::Status Server::SendWelcome(const Connection& connection) {
  WelcomeFacts facts;
  facts.session = connection.number;
  facts.incarnation = memory_.index.header().incarnation;
  facts.index_bytes = memory_.index_file.bytes();
  facts.arena_bytes = memory_.arena_file.bytes();
  facts.capacity = memory_.index.capacity();
  facts.daemon_pid = getpid();
  PENSTOCK_ASSIGN_OR_RETURN(const UniqueFd doorbell, connection.DoorbellForClient());
  facts.read_only = connection.role == SessionRole::kReadOnly;
  std::vector<int> fds(kFdCount);
  fds[kFdArenaReadOnly] = memory_.arena_read_only.get();
  fds[kFdArenaWritable] = memory_.arena_file.fd();
  fds[kFdIndex] = memory_.index_read_only.get();
  fds[kFdClientSegment] = connection.client_file.fd();
  fds[kFdDaemonSegment] = connection.daemon_read_only.get();
  fds[kFdDaemonDoorbell] = connection.daemon_doorbell.get();
  fds[kFdClientDoorbell] = doorbell.get();
  if (facts.read_only) fds.erase(fds.begin() + kFdArenaWritable);
  return SendPacket(connection.socket.get(), WelcomeMessage(facts), fds);
}

absl::Status Server::WatchSession(Connection& connection, SessionRow row) {
  if (by_row_.size() <= row) by_row_.resize(row + 1);
  by_row_[row] = &connection;
  connection.row = row;
  antechamber_.Leave(connection.socket.get());
  PENSTOCK_RETURN_IF_ERROR(reactor_->WatchDoorbell(connection.daemon_doorbell.get(),
                                                   [this, row] { core_->Hear(row); }));
  const int socket_fd = connection.socket.get();
  return reactor_->Watch(connection.pidfd.get(), [this, socket_fd] { OnDeath(socket_fd); });
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
  antechamber_.Leave(socket_fd);
  if (connection.row) {
    reactor_->Remove(connection.pidfd.get());
    reactor_->Remove(connection.daemon_doorbell.get());
    core_->CloseSession(*connection.row);
    by_row_[*connection.row] = nullptr;
    PENSTOCK_CRASH_POINT(kClosed);
    keeper_.SendSessionEnd(connection.number);
  }
  std::erase(broken_sockets_, socket_fd);
  sink_.HangUp(std::move(connection.socket), connection.TakeDescriptors());
  connections_.erase(found);
}

}  // namespace penstock
