// Messages from the daemon to its keeper: a fixed struct, and descriptors.
#include "tools/penstockd/kept_store.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string_view>
#include <utility>

#include <spdlog/spdlog.h>

#include "store/base/crash_point.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/wire/packet_socket.h"

namespace penstock {
namespace {

constexpr int kBetweenTries_ms = 5;

enum Kind : uint32_t {
  kStore = 1,
  kSession = 2,
  kSessionEnd = 3,
  kServing = 4,
  kYield = 5,
  kKept = 6,  // the one that goes the other way
  kLeft = 7,
  kSucceeded = 8,  // the other way again, from the next daemon
  kSockets = 9,
};

struct Message {
  uint32_t kind;
  uint32_t uid;
  int32_t pid;
  uint32_t read_only;  // 0 or 1
  uint64_t number;
};
static_assert(sizeof(Message) == 24);

constexpr size_t kStoreFds = 6;
constexpr size_t kSessionFds = 7;
constexpr size_t kSocketFds = 2;

void TakeMessage(const Message& message, std::vector<UniqueFd>& fds, KeptStore& kept) {
  switch (message.kind) {
    case kStore:
      if (fds.size() != kStoreFds) break;
      kept.arena = std::move(fds[0]);
      kept.index = std::move(fds[1]);
      kept.arena_read_only = std::move(fds[2]);
      kept.index_read_only = std::move(fds[3]);
      kept.leases = std::move(fds[4]);
      kept.spill_table = std::move(fds[5]);
      return;
    case kSession:
      if (fds.size() != kSessionFds) break;
      kept.sessions[message.number] = {
          .number = message.number, .pid = message.pid, .uid = message.uid,
          .read_only = message.read_only != 0,
          .socket = std::move(fds[0]), .pidfd = std::move(fds[1]),
          .client_file = std::move(fds[2]), .daemon_file = std::move(fds[3]),
          .daemon_read_only = std::move(fds[4]), .daemon_doorbell = std::move(fds[5]),
          .client_doorbell = std::move(fds[6])};
      return;
    case kSessionEnd:
      kept.sessions.erase(message.number);
      return;
    case kServing:
      kept.serving = true;
      return;
    case kSockets:
      if (fds.size() != kSocketFds) break;
      kept.listener = std::move(fds[0]);
      kept.window = std::move(fds[1]);
      return;
    case kYield: {
      const char byte = 1;
      if (fds.size() != 1) break;
      PENSTOCK_CRASH_POINT(kKeeperYields);
      // Its being written is what makes the other one the keeper.
      kept.yielded = write(fds[0].get(), &byte, 1) == 1;
      return;
    }
    case kLeft:
      kept.left = true;
      if (fds.size() != 2) return;  // the next one finds everything out by itself
      kept.slot_infos = std::move(fds[0]);
      kept.core_state = std::move(fds[1]);
      return;
  }
  spdlog::error("the daemon sent its keeper message {} with {} descriptors", message.kind,
                fds.size());
}

}  // namespace

absl::StatusOr<ChannelEnds> MakeKeeperChannel() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return CallStatus(errno, "socketpair between daemon and keeper");
  }
  return ChannelEnds{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

absl::Status KeeperChannel::Send(uint32_t kind, const SessionDescriptors& about,
                                 std::vector<int> fds) {
  const Message message{kind, about.uid, about.pid, about.read_only ? 1u : 0u, about.number};
  return SendPacket(fd_.get(), {reinterpret_cast<const char*>(&message), sizeof(message)}, fds);
}

void KeeperChannel::SendWhatIsLeft() {
  while (!unsent_ends_.empty()) {
    if (!Send(kSessionEnd, {.number = unsent_ends_.back()}, {}).ok()) return;
    unsent_ends_.pop_back();
  }
  if (!unsent_sockets_.empty() && Send(kSockets, {}, unsent_sockets_).ok()) {
    unsent_sockets_.clear();
  }
}

absl::Status KeeperChannel::SendStore(const StoreDescriptors& store) {
  return Send(kStore, {},
              {store.arena, store.index, store.arena_read_only, store.index_read_only,
               store.leases, store.spill_table});
}

absl::Status KeeperChannel::SendSession(const SessionDescriptors& session) {
  SendWhatIsLeft();
  return Send(kSession, session,
              {session.socket, session.pidfd, session.client_file, session.daemon_file,
               session.daemon_read_only, session.daemon_doorbell, session.client_doorbell});
}

void KeeperChannel::SendSessionEnd(uint64_t number) {
  unsent_ends_.push_back(number);
  SendWhatIsLeft();
}

void KeeperChannel::SendSockets(int listener, int window) {
  unsent_sockets_ = {listener, window};
  SendWhatIsLeft();
}

void KeeperChannel::SendServing() {
  // Only for the keeper's count of quick deaths.
  [[maybe_unused]] const absl::Status ignored = Send(kServing, {}, {});
}

absl::Status KeeperChannel::SendYield(int yielded) { return Send(kYield, {}, {yielded}); }

void KeeperChannel::SendKept() {
  [[maybe_unused]] const absl::Status ignored = Send(kKept, {}, {});
}

bool KeeperChannel::AwaitKept(int timeout_ms) { return Await(kKept, timeout_ms); }

bool KeeperChannel::Await(uint32_t kind, int timeout_ms) {
  const absl::StatusOr<Packet> packet = ReceivePacketWithin(fd_.get(), timeout_ms);
  Message message;
  if (!packet.ok() || packet->bytes.size() != sizeof(message)) return false;
  std::memcpy(&message, packet->bytes.data(), sizeof(message));
  return message.kind == kind;
}

bool KeeperChannel::LeaveTo(int slot_infos, int core_state, int timeout_ms) {
  std::vector<int> fds;
  if (slot_infos >= 0 && core_state >= 0) fds = {slot_infos, core_state};
  absl::Status sent = Send(kLeft, {}, fds);
  for (int ms = 0; absl::IsUnavailable(sent) && !IsClosed() && ms < timeout_ms;
       ms += kBetweenTries_ms) {
    poll(nullptr, 0, kBetweenTries_ms);
    sent = Send(kLeft, {}, fds);
  }
  return sent.ok() && AwaitSucceeded(timeout_ms);
}

bool KeeperChannel::AwaitSucceeded(int timeout_ms) { return Await(kSucceeded, timeout_ms); }

void TellSucceeded(int channel) {
  const Message message{kSucceeded, 0, 0, 0, 0};
  [[maybe_unused]] const absl::Status ignored =
      SendPacket(channel, {reinterpret_cast<const char*>(&message), sizeof(message)}, {});
}

bool KeeperChannel::IsClosed() const {
  pollfd item{fd_.get(), 0, 0};
  return poll(&item, 1, 0) == 1 && (item.revents & POLLHUP) != 0;
}

bool TakeKeeperMessages(int fd, KeptStore& kept) {
  for (;;) {
    absl::StatusOr<Packet> packet = ReceivePacket(fd);
    if (!packet.ok()) return absl::IsUnavailable(packet.status());
    if (packet->bytes.empty()) return false;
    Message message;
    if (packet->bytes.size() != sizeof(message)) {
      spdlog::error("the daemon sent its keeper {} bytes", packet->bytes.size());
      continue;
    }
    std::memcpy(&message, packet->bytes.data(), sizeof(message));
    TakeMessage(message, packet->fds, kept);
    PENSTOCK_CRASH_POINT(kKeeperTookMessage);
  }
}

}  // namespace penstock
