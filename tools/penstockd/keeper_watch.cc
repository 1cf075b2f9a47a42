// Replacing keepers.
#include "tools/penstockd/keeper_watch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include <spdlog/spdlog.h>

#include "store/base/crash_point.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/wire/control_message.h"
#include "store/wire/packet_socket.h"
#include "tools/penstockd/process.h"

namespace penstock {
namespace {

// An old keeper that goes and an heir that takes its place need less than a millisecond.
constexpr int kHandOverPatience_ms = 2000;

}  // namespace

absl::Status KeeperWatch::Begin() {
  server_->OnTakeOver([this](UniqueFd socket, UniqueFd heir) {
    return HandOver(std::move(socket), std::move(heir));
  });
  return Watch();
}

absl::Status KeeperWatch::Watch() {
  return server_->WatchKeeper(pidfd_.get(), [this] { return OnDeath(); });
}

bool KeeperWatch::OnDeath() {
  server_->Unwatch(pidfd_.get());
  // This one child only: how a worker ended is the node service's to hear.
  siginfo_t ignored{};
  waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &ignored, WEXITED | WNOHANG);
  auto started = StartKeeper();
  if (!started.ok()) {
    spdlog::error("the keeper died and no other can be started: {}",
                  started.status().ToString());
    return false;
  }
  spdlog::warn("the keeper died: started another");
  pidfd_ = *std::move(started);
  if (const absl::Status status = Watch(); !status.ok()) {
    spdlog::error("{}", status.ToString());
  }
  return true;
}

// The new one is told all that there is to keep.
absl::StatusOr<UniqueFd> KeeperWatch::StartKeeper() {
  PENSTOCK_ASSIGN_OR_RETURN(ChannelEnds channel, MakeKeeperChannel());
  PENSTOCK_ASSIGN_OR_RETURN(UniqueFd pidfd,
                            StartSuccessorKeeper(*kept_, channel.keeper.get(), argv_));
  PENSTOCK_RETURN_IF_ERROR(server_->ChangeKeeper(KeeperChannel(std::move(channel.daemon))));
  return pidfd;
}

// The server does nothing else meanwhile, so both keepers know the same sessions. Whoever is
// killed on the way: the old keeper's byte in `yielded` decides which of the two is the keeper,
// and where nobody can tell, both are ended and a third one is started.
absl::Status KeeperWatch::HandOver(UniqueFd socket, UniqueFd heir) {
  bool has_asked = false;
  KeeperChannel old = std::move(server_->keeper());
  absl::Status status = Entrust(std::move(socket), old, has_asked);
  if (status.ok()) {
    server_->Unwatch(pidfd_.get());
    pidfd_ = std::move(heir);
    return Watch();
  }
  SendSignal(heir.get(), SIGKILL);
  WaitForEnd(heir.get(), -1);
  server_->keeper() = std::move(old);
  if (has_asked) {
    SendSignal(pidfd_.get(), SIGKILL);
    WaitForEnd(pidfd_.get(), -1);
    if (!OnDeath()) return absl::InternalError("no keeper is left: end this store soon");
  }
  return status;
}

absl::Status KeeperWatch::Entrust(UniqueFd socket, KeeperChannel& old, bool& has_asked) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return CallStatus(errno, "pipe");
  UniqueFd yielded(ends[0]);
  UniqueFd yields(ends[1]);
  PENSTOCK_ASSIGN_OR_RETURN(const UniqueFd own_pidfd, OpenPidfd(getpid()));
  fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  PENSTOCK_RETURN_IF_ERROR(SendPacket(
      socket.get(), HandOverMessage(server_->GivenFlags()),
      std::array{kept_->lock.get(), kept_->listener.get(), kept_->window.get(),
                 kept_->ended_read.get(), kept_->ended_write.get(), own_pidfd.get(),
                 yielded.get()}));
  yielded.reset();
  PENSTOCK_RETURN_IF_ERROR(server_->ChangeKeeper(KeeperChannel(std::move(socket))));
  PENSTOCK_CRASH_POINT(kHandOverTold);
  PENSTOCK_RETURN_IF_ERROR(old.SendYield(yields.get()));
  has_asked = true;
  yields.reset();
  PENSTOCK_CRASH_POINT(kHandOverAsked);
  if (server_->keeper().AwaitKept(kHandOverPatience_ms)) return absl::OkStatus();
  return absl::DeadlineExceededError(
      "the keeper or the process that was to take over died or was stopped meanwhile");
}

}  // namespace penstock
