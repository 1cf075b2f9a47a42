// Noticing that a socket was removed, and binding another.
#include "tools/penstockd/socket_watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/store_directory.h"
#include "store/wire/packet_socket.h"
#include "tools/penstockd/directory.h"
#include "tools/penstockd/keeper_window.h"

namespace penstock {
namespace {

// Who removes the whole directory takes the sockets first: a new one would be in the way.
constexpr long kPatience_ns = 500'000'000;

bool IsMissing(int dir_fd, const char* name) {
  struct stat facts;
  return fstatat(dir_fd, name, &facts, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

void Drain(int fd) {
  alignas(inotify_event) char bytes[4096];
  while (read(fd, bytes, sizeof(bytes)) > 0) {
  }
}

}  // namespace

absl::Status SocketWatch::Begin() {
  Look();
  timer_ = UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_.valid()) return CallStatus(errno, "timerfd_create");
  removals_ = UniqueFd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!removals_.valid() ||
      inotify_add_watch(removals_.get(), dir_.c_str(),
                        IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
    spdlog::info("sockets that are removed from {} will not be noticed: {}", dir_,
                 std::string(CallStatus(errno, "inotify").message()));
    return absl::OkStatus();
  }
  PENSTOCK_RETURN_IF_ERROR(server_->Watch(timer_.get(), [this] {
    Drain(timer_.get());
    Look();
  }));
  return server_->Watch(removals_.get(), [this] { OnRemoval(); });
}

void SocketWatch::OnRemoval() {
  Drain(removals_.get());
  const itimerspec soon{{}, {0, kPatience_ns}};
  timerfd_settime(timer_.get(), 0, &soon, nullptr);
}

void SocketWatch::Look() {
  const UniqueFd held = OpenHeld(dir_, kept_->lock.get());
  if (!held.valid()) {
    if (std::exchange(loss_is_told_, true)) return;
    spdlog::warn("{} is this store's no more: the directory or its {} was removed, moved or "
                 "replaced. No new client finds the store; SIGTERM ends it", dir_, kLockName);
    return;
  }
  const bool listener_is_missing = IsMissing(held.get(), kSocketName);
  const bool window_is_missing = IsMissing(held.get(), kWindowName);
  if (!listener_is_missing && !window_is_missing) return;
  const absl::Status status = MakeAnew(listener_is_missing, window_is_missing);
  if (status.ok()) {
    spdlog::warn("a socket of {} was removed: made it anew. If a cleaner of old files did it, "
                 "have it spare that directory", dir_);
  } else {
    spdlog::error("a socket of {} was removed and cannot be made anew: {}", dir_,
                  std::string(status.message()));
  }
}

absl::Status SocketWatch::MakeAnew(bool listener_is_missing, bool window_is_missing) {
  UniqueFd old;
  if (window_is_missing) {
    PENSTOCK_ASSIGN_OR_RETURN(kept_->window, OpenWindow(dir_));
  }
  if (listener_is_missing) {
    PENSTOCK_ASSIGN_OR_RETURN(UniqueFd listener, ListenAt(SocketPath(dir_)));
    PENSTOCK_RETURN_IF_ERROR(server_->ListenWith(listener.get()));
    old = std::exchange(kept_->listener, std::move(listener));
  }
  server_->keeper().SendSockets(kept_->listener.get(), kept_->window.get());
  return absl::OkStatus();
}

}  // namespace penstock
