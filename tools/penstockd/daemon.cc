// The daemon's process.
#include "tools/penstockd/daemon.h"

#include <sys/wait.h>
#include <unistd.h>

#include <spdlog/spdlog.h>

#include "store/base/errors.h"
#include "store/base/store_directory.h"
#include "store/base/units.h"
#include "tools/penstockd/process.h"
#include "tools/penstockd/server.h"

namespace penstock {
namespace {

// Keeps a keeper: when it dies, the daemon starts another.
class KeeperWatch {
 public:
  KeeperWatch(Server* server, const KeptDescriptors* kept, UniqueFd pidfd, char** argv)
      : server_(server), kept_(kept), pidfd_(std::move(pidfd)), argv_(argv) {}

  absl::Status Begin() {
    return server_->WatchKeeper(pidfd_.get(), [this] { return OnDeath(); });
  }

 private:
  bool OnDeath() {
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
    if (const absl::Status status = Begin(); !status.ok()) {
      spdlog::error("{}", status.ToString());
    }
    return true;
  }

  // The new one is told all that there is to keep.
  absl::StatusOr<UniqueFd> StartKeeper() {
    PENSTOCK_ASSIGN_OR_RETURN(ChannelEnds channel, MakeKeeperChannel());
    PENSTOCK_ASSIGN_OR_RETURN(UniqueFd pidfd,
                              StartSuccessorKeeper(*kept_, channel.keeper.get(), argv_));
    PENSTOCK_RETURN_IF_ERROR(server_->ChangeKeeper(KeeperChannel(std::move(channel.daemon))));
    return pidfd;
  }

  Server* const server_;
  const KeptDescriptors* const kept_;
  UniqueFd pidfd_;
  char** const argv_;
};

}  // namespace

int RunDaemon(const DaemonOptions& options, KeptDescriptors& kept, UniqueFd keeper_pidfd,
              char** argv) {
  RaiseDescriptorLimit();
  const auto signals = CatchEndSignals();
  if (!signals.ok()) {
    spdlog::error("{}", signals.status().ToString());
    return 1;
  }
  auto server = Server::Make(options, kept.listener.get(), signals->get(),
                             KeeperChannel(std::move(kept.channel)), std::move(kept.store));
  if (!server.ok()) {
    spdlog::error("{}", std::string(server.status().message()));
    return 1;
  }
  KeeperWatch watch(server->get(), &kept, std::move(keeper_pidfd), argv);
  if (const absl::Status status = watch.Begin(); !status.ok()) {
    spdlog::error("{}", status.ToString());
    return 1;
  }
  UniqueFd owner;
  if (options.owner_pid != 0) {
    auto opened = OpenPidfd(static_cast<pid_t>(options.owner_pid));
    if (!opened.ok()) {
      spdlog::warn("the owner, process {}, is gone", options.owner_pid);
      return 0;
    }
    owner = *std::move(opened);
    if (const absl::Status status =
            (*server)->Watch(owner.get(), [&server] { (*server)->Stop(); });
        !status.ok()) {
      spdlog::error("{}", status.ToString());
      return 1;
    }
  }
  spdlog::info("serving {} for {} objects at {}", FormatBytes(options.memory_bytes),
               options.objects, SocketPath(options.dir));
  (*server)->Run();
  const char byte = 1;
  [[maybe_unused]] const ssize_t ignored = write(kept.ended_write.get(), &byte, 1);
  spdlog::info("ended in order");
  return 0;
}

}  // namespace penstock
