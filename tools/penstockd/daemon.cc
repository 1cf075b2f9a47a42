// The daemon's process.
#include "tools/penstockd/daemon.h"

#include <unistd.h>

#include <spdlog/spdlog.h>

#include "store/base/errors.h"
#include "store/base/store_directory.h"
#include "store/base/units.h"
#include "tools/penstockd/keeper_watch.h"
#include "tools/penstockd/process.h"
#include "tools/penstockd/server.h"
#include "tools/penstockd/socket_watch.h"

namespace penstock {
namespace {

// The keeper starts no other one, and takes the directory along.
void EndInOrder(const KeptDescriptors& kept) {
  const char byte = 1;
  [[maybe_unused]] const ssize_t ignored = write(kept.ended_write.get(), &byte, 1);
}

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
  SocketWatch sockets(options.dir, server->get(), &kept);
  if (const absl::Status status = sockets.Begin(); !status.ok()) {
    spdlog::error("{}", status.ToString());
    return 1;
  }
  UniqueFd owner;
  if (options.owner_pid != 0) {
    auto opened = OpenPidfd(static_cast<pid_t>(options.owner_pid));
    if (!opened.ok()) {
      spdlog::warn("the owner, process {}, is gone: ending", options.owner_pid);
      EndInOrder(kept);
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
  spdlog::info("serving {} for {} objects at {}", FormatBytes((*server)->arena_bytes()),
               (*server)->slots(), SocketPath(options.dir));
  (*server)->Run();
  if ((*server)->has_handed_over()) (*server)->Leave();
  EndInOrder(kept);
  spdlog::info("ended in order");
  return 0;
}

}  // namespace penstock
