// Packets with descriptors over a UNIX socket (SOCK_SEQPACKET): a packet arrives whole or
// not at all, so half a message cannot be sent.
#ifndef PENSTOCK_STORE_WIRE_PACKET_SOCKET_H_
#define PENSTOCK_STORE_WIRE_PACKET_SOCKET_H_

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"

namespace penstock {

inline constexpr uint32_t kProtocolVersion = 2;
inline constexpr size_t kMaxPacketBytes = 64 * 1024;
inline constexpr size_t kMaxPacketFds = 16;
inline constexpr size_t kMostFdsOfLinux = 253;  // SCM_MAX_FD

// Which descriptor of a Welcome is which. A session that reads only gets no writable arena:
// one less, and what follows it moves up.
enum FdOrder : size_t {
  kFdArenaReadOnly = 0,
  kFdArenaWritable = 1,
  kFdIndex = 2,
  kFdClientSegment = 3,
  kFdDaemonSegment = 4,
  kFdDaemonDoorbell = 5,  // the client rings it
  kFdClientDoorbell = 6,  // the daemon rings it, the client sleeps on it
  kFdCount = 7,
};
// How many come with a Welcome.
constexpr size_t WelcomeFdCount(bool read_only) { return read_only ? kFdCount - 1 : kFdCount; }

struct Packet {
  std::string bytes;  // empty: the other side closed
  std::vector<UniqueFd> fds;
  // In our process namespace, where the socket has SO_PASSCRED. 0: in none that we see.
  int32_t sender_pid = 0;
};

// The descriptors of a Welcome in their places (FdOrder), an invalid one where none came.
// False when there are not as many as there should be.
bool PlaceWelcomeFds(bool read_only, std::vector<UniqueFd>& fds);

// Listens at `path`, by default with mode 0777 (who may come in is decided by peer
// credentials; the directory is searchable by all). A stale socket file must have been removed.
absl::StatusOr<UniqueFd> ListenAt(const std::string& path, mode_t mode = 0777);
// A daemon that is starting, or that the host is slow to run, gets this long to answer.
inline constexpr int kAnswerPatience_ms = 10'000;

// Connects. NotFound or Unavailable say what to start. Waits for a place in the queue of one
// that takes nobody in: for as long as it takes, or `patience_ms`; so do later sends then.
absl::StatusOr<UniqueFd> ConnectTo(const std::string& path, int patience_ms = -1);

// Sends one packet, of at most kMostFdsOfLinux descriptors. Blocks only on a blocking socket.
// Unavailable when the other side is gone or its buffer is full.
absl::Status SendPacket(int fd, std::string_view bytes, std::span<const int> fds = {});
// Receives one packet. Unavailable when a non-blocking socket has none. `strays`: where the
// descriptors of a packet go that is none (else they are closed, which may block for as long
// as who sent them likes). More than `most_fds` descriptors make it none.
absl::StatusOr<Packet> ReceivePacket(int fd, std::vector<UniqueFd>* strays = nullptr,
                                     size_t most_fds = kMaxPacketFds);
// The same, waiting for it. DeadlineExceeded after `timeout_ms`.
absl::StatusOr<Packet> ReceivePacketWithin(int fd, int timeout_ms,
                                           size_t most_fds = kMaxPacketFds);

// A client's first words: sends `packets` and waits for the answer. A daemon that refuses
// may have closed before it read them all; its answer is what the caller gets.
absl::StatusOr<Packet> AskDaemon(int fd, std::span<const std::string> packets,
                                 int patience_ms = kAnswerPatience_ms);

// Connects to the daemon at `path` and asks. One that dies before it has answered leaves its
// place to the next; that one is asked then.
struct Conversation {
  UniqueFd socket;
  Packet answer;
};
absl::StatusOr<Conversation> ConnectAndAsk(const std::string& path,
                                           std::span<const std::string> packets,
                                           int patience_ms = kAnswerPatience_ms);

}  // namespace penstock

#endif  // PENSTOCK_STORE_WIRE_PACKET_SOCKET_H_
