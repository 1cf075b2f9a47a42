// Server: taking over the store and the sessions of a daemon that died.
#include <poll.h>
#include <time.h>

#include <spdlog/spdlog.h>

#include "store/base/errors.h"
#include "store/wire/packet_socket.h"
#include "tools/penstockd/server.h"

namespace penstock {
namespace {

constexpr int kKeepersEnd_ms = 1000;

double NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

}  // namespace

absl::Status Server::Recover(std::map<uint64_t, KeptConnection> sessions,
                             std::string_view core_state) {
  const double began_ms = NowMs();
  const uint32_t capacity = memory_.index.capacity();
  std::vector<KeptSession> kept;
  std::vector<int> sockets;
  for (auto& [number, fds] : sessions) {
    // One that cannot be mapped is no reason to forget its pins: better no daemon.
    PENSTOCK_ASSIGN_OR_RETURN(Connection made, 
                             Connection::Keep(std::move(fds), capacity, bitmaps_));
    auto connection = std::make_unique<Connection>(std::move(made));
    kept.push_back({connection->segments(capacity), connection->number, connection->pid,
                    connection->role});
    sockets.push_back(connection->socket.get());
    connections_[sockets.back()] = std::move(connection);
  }
  std::vector<SessionRow> rows;
  // A session that breaks in here is looked up by its row.
  by_row_.resize(kept.size());
  for (size_t i = 0; i < kept.size(); ++i) by_row_[i] = connections_.at(sockets[i]).get();
  std::vector<uint32_t> copies;
  if (spill_ != nullptr) copies = spill_->Copies();
  const RecoveryReport report = core_state.empty()
                                    ? core_->Recover(kept, rows, copies)
                                    : core_->Resume(core_state, kept, rows, copies);
  const uint32_t restarts = memory_.index.header().restarts.load(std::memory_order_relaxed);
  for (size_t i = 0; i < rows.size(); ++i) {
    const int fd = sockets[i];
    Connection& connection = *connections_.at(fd);
    PENSTOCK_RETURN_IF_ERROR(WatchSession(connection, rows[i]));
    PENSTOCK_RETURN_IF_ERROR(reactor_->Watch(fd, [this, fd] { OnPacket(fd); }));
    const SessionSegments segments = connection.segments(capacity);
    switch (segments.client->use.load(std::memory_order_acquire)) {
      case kClosed:
        Close(fd);
        break;
      case kNotYetUsed: {
        // It waits for a welcome that the last daemon may not have sent. A second one is
        // ignored; if it hangs up instead, that closes the session.
        [[maybe_unused]] const absl::Status ignored = SendWelcome(connection);
        break;
      }
      default: {
        // Its waiting calls ask again. Only the socket of a client that has not read for a
        // long time is full, and holds a message already that it will read first.
        [[maybe_unused]] const absl::Status ignored =
            SendPacket(fd, RestartedMessage(restarts));
      }
    }
  }
  spdlog::info("took over {} objects, {} of them on disk too or only there, {} leases and {} "
               "sessions in {:.1f} ms{}", report.objects, copies.size(), report.leases,
               rows.size(), NowMs() - began_ms,
               report.dropped == 0
                   ? "" : fmt::format("; dropped {} slots that said what cannot be",
                                      report.dropped));
  return absl::OkStatus();
}

absl::Status Server::WatchKeeper(int pidfd, std::function<bool()> replace) {
  keeper_pidfd_ = pidfd;
  replace_keeper_ = std::move(replace);
  return reactor_->Watch(pidfd, [this] { ReplaceKeeper(); });
}

bool Server::ReplaceKeeper() {
  // What is called sets the next one.
  const std::function<bool()> replace = replace_keeper_;
  return replace && replace();
}

absl::Status Server::TellKeeper(const Connection& connection) {
  absl::Status sent = keeper_.SendSession(connection.descriptors());
  if (sent.ok()) return sent;
  // Dead since a moment ago, its end just not heard of? A process closes its sockets before
  // its pidfd says so.
  pollfd end{keeper_pidfd_, POLLIN, 0};
  if (keeper_.IsClosed() && poll(&end, 1, kKeepersEnd_ms) == 1 && ReplaceKeeper()) {
    sent = keeper_.SendSession(connection.descriptors());
  }
  if (sent.ok()) return sent;
  return absl::UnavailableError(
      "the daemon's keeper takes no sessions just now: is it stopped? Try again");
}

absl::Status Server::ChangeKeeper(KeeperChannel keeper) {
  keeper_ = std::move(keeper);
  PENSTOCK_RETURN_IF_ERROR(SendStore());
  for (const auto& [fd, connection] : connections_) {
    if (!connection->row) continue;
    // It has just begun to read: many sessions fill the socket for a moment.
    absl::Status sent = keeper_.SendSession(connection->descriptors());
    for (int i = 0; i < 200 && absl::IsUnavailable(sent); ++i) {
      poll(nullptr, 0, 5);
      sent = keeper_.SendSession(connection->descriptors());
    }
    PENSTOCK_RETURN_IF_ERROR(sent);
  }
  keeper_.SendServing();
  return absl::OkStatus();
}

}  // namespace penstock
