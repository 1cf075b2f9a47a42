// sendmsg and recvmsg with SCM_RIGHTS.
#include "store/wire/packet_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "store/base/check.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"

namespace penstock {
namespace {

constexpr int kMostAttempts = 20;
constexpr size_t kShownOfPath = 300;

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        fmt::format("the socket's path has {} characters, a UNIX socket takes {}: choose a "
                    "shorter directory ({}{})", path.size(), sizeof(address.sun_path) - 1,
                    path.substr(0, kShownOfPath), path.size() > kShownOfPath ? "..." : ""));
  }
  // The kernel would take what stands before it for the whole, which is another directory.
  if (const size_t nul = path.find('\0'); nul != std::string::npos) {
    return absl::InvalidArgumentError(fmt::format(
        "the socket's path has a NUL after {} characters ({}): name a directory without one", nul,
        path.substr(0, nul)));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// Why nothing answers at `path`, as far as an errno and a look at it tell.
absl::Status NobodyThere(int error, const std::string& path) {
  std::string_view next_step =
      "Start one with penstockd, or name its directory with PENSTOCK_DIR";
  std::string told;
  struct stat facts {};
  if (error == EACCES || error == EPERM) {
    told = fmt::format(
        "User {} may not come to that place, whether a daemon is there or not: name another "
        "directory with PENSTOCK_DIR, or have that path opened to this user", geteuid());
    next_step = told;
  } else if (error == ECONNREFUSED && stat(path.c_str(), &facts) == 0 &&
             !S_ISSOCK(facts.st_mode)) {
    next_step =
        "What lies there is no socket: remove it and start penstockd, or name another directory "
        "with PENSTOCK_DIR";
  } else if (error == ECONNREFUSED) {
    next_step =
        "The daemon that made this socket is dead, and its keeper too. Start one with penstockd";
  }
  return ErrnoStatus(error, fmt::format("no Penstock daemon answers at {}", path), next_step);
}

// What a packet cut short is due to: descriptors that this process has no room for, or a peer
// that sends what no program of ours does. The table is as full as the kernel found it.
absl::Status CutShort(size_t most_fds) {
  const UniqueFd another(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
  if (!another.valid() && errno == EMFILE) {
    return ErrnoStatus(EMFILE, "receiving the descriptors of a control message");
  }
  return absl::InvalidArgumentError(
      fmt::format("a control message is longer than {} bytes or carries more than {} "
                  "descriptors", kMaxPacketBytes, most_fds));
}

}  // namespace

bool PlaceWelcomeFds(bool read_only, std::vector<UniqueFd>& fds) {
  if (fds.size() != WelcomeFdCount(read_only)) return false;
  if (read_only) fds.emplace(fds.begin() + kFdArenaWritable);
  return true;
}

absl::StatusOr<UniqueFd> ListenAt(const std::string& path, mode_t mode) {
  PENSTOCK_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return CallStatus(errno, "socket");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return PlaceStatus(errno, fmt::format("binding {}", path), "--dir or PENSTOCK_DIR");
  }
  if (chmod(path.c_str(), mode) != 0 || listen(fd.get(), 1024) != 0) {
    return ErrnoStatus(errno, fmt::format("listening at {}", path));
  }
  return fd;
}

absl::StatusOr<UniqueFd> ConnectTo(const std::string& path, int patience_ms) {
  PENSTOCK_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return CallStatus(errno, "socket");
  if (patience_ms >= 0) {
    // To the kernel 0 is for ever.
    const int some_ms = std::max(patience_ms, 1);
    const timeval patience{some_ms / 1000, some_ms % 1000 * 1000};
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  }
  int result;
  do {
    result = connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    const int error = errno;
    if (error == EAGAIN) {
      return absl::DeadlineExceededError(fmt::format(
          "nobody is let in at {} within {} ms: is the daemon stopped?", path, patience_ms));
    }
    if (error == EPROTOTYPE) {
      return absl::InvalidArgumentError(
          fmt::format("{} is a socket, but not one of Penstock", path));
    }
    return NobodyThere(error, path);
  }
  return fd;
}

absl::Status SendPacket(int fd, std::string_view bytes, std::span<const int> fds) {
  PENSTOCK_CHECK(fds.size() <= kMostFdsOfLinux) << fds.size() << " descriptors";
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFdsOfLinux * sizeof(int))> control;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    std::memset(control.data(), 0, message.msg_controllen);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return ErrnoStatus(errno, "sending a control message");
  return absl::OkStatus();
}

absl::StatusOr<Packet> ReceivePacket(int fd, std::vector<UniqueFd>* strays, size_t most_fds) {
  // Not a string, which would be zeroed for each; not on the stack, which in a thread of a
  // client may have no more than that.
  const auto bytes = std::make_unique_for_overwrite<char[]>(kMaxPacketBytes);
  iovec part{bytes.get(), kMaxPacketBytes};
  // Room for all that may come: what the kernel has no room for it closes on our time.
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFdsOfLinux * sizeof(int)) +
                                        CMSG_SPACE(sizeof(ucred))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got;
  bool was_reset = false;
  do {
    got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    // The other side closed with words of ours unread, which Linux says once, before it
    // hands out what that side had sent.
  } while (got < 0 &&
           (errno == EINTR || (errno == ECONNRESET && !std::exchange(was_reset, true))));
  if (got < 0) return ErrnoStatus(errno, "receiving a control message");
  Packet packet;
  packet.bytes.assign(bytes.get(), static_cast<size_t>(got));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_CREDENTIALS) {
      ucred sender;
      std::memcpy(&sender, CMSG_DATA(header), sizeof(sender));
      packet.sender_pid = sender.pid;
    }
    if (header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int received;
      std::memcpy(&received, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      packet.fds.emplace_back(received);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || packet.fds.size() > most_fds) {
    const absl::Status why = CutShort(most_fds);
    if (strays != nullptr) *strays = std::move(packet.fds);
    return why;
  }
  return packet;
}

absl::StatusOr<Packet> ReceivePacketWithin(int fd, int timeout_ms, size_t most_fds) {
  pollfd item{fd, POLLIN, 0};
  int ready;
  do {
    ready = poll(&item, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready > 0) return ReceivePacket(fd, nullptr, most_fds);
  return absl::DeadlineExceededError(
      fmt::format("the daemon did not answer within {:g} s: is it stopped?", timeout_ms / 1000.0));
}

absl::StatusOr<Packet> AskDaemon(int fd, std::span<const std::string> packets,
                                 int patience_ms) {
  for (const std::string& packet : packets) {
    const absl::Status sent = SendPacket(fd, packet);
    if (absl::IsUnavailable(sent)) break;
    PENSTOCK_RETURN_IF_ERROR(sent);
  }
  return ReceivePacketWithin(fd, patience_ms);
}

absl::StatusOr<Conversation> ConnectAndAsk(const std::string& path,
                                           std::span<const std::string> packets,
                                           int patience_ms) {
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    PENSTOCK_ASSIGN_OR_RETURN(UniqueFd socket, ConnectTo(path, patience_ms));
    absl::StatusOr<Packet> answer = AskDaemon(socket.get(), packets, patience_ms);
    if (!answer.ok() && !absl::IsUnavailable(answer.status())) return answer.status();
    if (answer.ok() && !answer->bytes.empty()) {
      return Conversation{std::move(socket), *std::move(answer)};
    }
  }
  return absl::UnavailableError(
      fmt::format("the daemon at {} closed the connection {} times: look at its log", path,
                  kMostAttempts));
}

}  // namespace penstock
