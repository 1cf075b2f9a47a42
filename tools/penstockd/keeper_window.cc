// Requests of the operator's tools, and what they get.
#include "tools/penstockd/keeper_window.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/time/clock.h"
#include "store/base/errors.h"
#include "store/base/store_directory.h"
#include "store/shm/memory_file.h"
#include "store/wire/window_message.h"
#include "tools/penstockd/process.h"

namespace penstock {
namespace {

constexpr size_t kMostWaiting = 8;
constexpr int kMostAcceptsAtOnce = 16;

bool MayLook(int socket) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return peer.uid == geteuid() || peer.uid == 0;
}

enum class Heard { kNothingYet, kRequest, kNonsense };

// Takes the bytes and no descriptor.
Heard Listen(int socket, WindowRequest& request) {
  const ssize_t got = recv(socket, &request, sizeof(request), MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Heard::kNothingYet;
  return got == sizeof(request) && request.magic == kWindowMagic ? Heard::kRequest
                                                                 : Heard::kNonsense;
}

// The descriptors of one answer. Those that are the keeper's stay open.
struct Handout {
  std::vector<int> fds;
  std::vector<UniqueFd> reopened;

  bool AddReopened(int fd) {
    absl::StatusOr<UniqueFd> copy = ReopenReadOnly(fd);
    if (!copy.ok()) {
      spdlog::warn("a tool gets less to look at: {}", copy.status().ToString());
      return false;
    }
    fds.push_back(copy->get());
    reopened.push_back(*std::move(copy));
    return true;
  }
  bool AddStore(const KeptStore& store) {
    fds.push_back(store.index_read_only.get());
    if (AddReopened(store.leases.get()) && AddReopened(store.spill_table.get())) return true;
    fds.clear();
    return false;
  }
  uint32_t AddSession(const KeptConnection& session) {
    fds.push_back(session.daemon_read_only.get());
    return AddReopened(session.client_file.get())
               ? uint32_t{kWindowDaemonSegment | kWindowClientSegment}
               : uint32_t{kWindowDaemonSegment};
  }
};

template <typename T>
void Append(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

absl::StatusOr<UniqueFd> OpenWindow(const std::string& dir) {
  return ListenAt(WindowPath(dir), 0600);
}

KeeperWindow::KeeperWindow(int listener)
    : listener_(listener), spare_(open("/dev/null", O_RDONLY | O_CLOEXEC)) {}

void KeeperWindow::AddTo(std::vector<pollfd>& items) const {
  items.push_back({listener_, POLLIN, 0});
  for (const UniqueFd& socket : waiting_) items.push_back({socket.get(), POLLIN, 0});
}

void KeeperWindow::Accept() {
  for (int i = 0; i < kMostAcceptsAtOnce; ++i) {
    UniqueFd socket(accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      if (errno == EMFILE || errno == ENFILE) TurnAwayOne();
      return;
    }
    if (!MayLook(socket.get())) continue;
    if (waiting_.size() == kMostWaiting) waiting_.pop_front();
    waiting_.push_back(std::move(socket));
  }
}

// Left in the queue it would have the keeper look again and again.
void KeeperWindow::TurnAwayOne() {
  spare_.reset();
  UniqueFd(accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  spare_ = UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

void KeeperWindow::Serve(const KeptStore& store, int daemon_pidfd, uint32_t deaths) {
  Accept();
  std::erase_if(waiting_, [&](const UniqueFd& socket) {
    WindowRequest request{};
    const Heard heard = Listen(socket.get(), request);
    if (heard == Heard::kRequest) {
      Answer(socket.get(), request.after_session, store, daemon_pidfd, deaths);
    }
    return heard != Heard::kNothingYet;
  });
}

void KeeperWindow::ServeFor(int duration_ms, const KeptStore& store, uint32_t deaths) {
  const absl::Time end = absl::Now() + absl::Milliseconds(duration_ms);
  for (absl::Time now = absl::Now(); now < end; now = absl::Now()) {
    std::vector<pollfd> items;
    AddTo(items);
    poll(items.data(), items.size(), static_cast<int>(absl::ToInt64Milliseconds(end - now)) + 1);
    Serve(store, -1, deaths);
  }
}

void KeeperWindow::Answer(int socket, uint64_t after_session, const KeptStore& store,
                          int daemon_pidfd, uint32_t deaths) const {
  Handout handout;
  WindowAnswer answer{};
  answer.magic = kWindowMagic;
  answer.version = kWindowVersion;
  answer.keeper_pid = getpid();
  answer.daemon_pid = daemon_pidfd < 0 ? 0 : PidOf(daemon_pidfd);
  answer.is_serving = store.serving && answer.daemon_pid != 0 ? 1 : 0;
  answer.deaths = deaths;
  answer.has_store = store.has_store() && handout.AddStore(store) ? 1 : 0;
  answer.sessions = static_cast<uint32_t>(store.sessions.size());
  std::string entries;
  for (auto next = store.sessions.upper_bound(after_session); next != store.sessions.end();
       ++next) {
    if (answer.session_entries == kWindowSessionsPerPacket) {
      answer.has_more = 1;
      break;
    }
    const KeptConnection& session = next->second;
    Append(entries, WindowSession{session.number, session.pid, session.uid,
                                  session.read_only ? 1u : 0u, handout.AddSession(session)});
    ++answer.session_entries;
  }
  std::string packet;
  Append(packet, answer);
  // A tool that is gone, or takes no packet, gets none.
  [[maybe_unused]] const absl::Status ignored =
      SendPacket(socket, packet + entries, handout.fds);
}

}  // namespace penstock
