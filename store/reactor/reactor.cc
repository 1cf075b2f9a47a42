// The reactor over epoll.
#include "store/reactor/reactor.h"

#include <sys/epoll.h>

#include <array>
#include <cerrno>

#include "store/base/errors.h"

namespace penstock {
namespace {

absl::Status Add(int epoll, int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoStatus(errno, "watching a descriptor");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Reactor> Reactor::Create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  return Reactor(std::move(epoll));
}

absl::Status Reactor::Watch(int fd, Callback on_ready) {
  PENSTOCK_RETURN_IF_ERROR(Add(epoll_.get(), fd, EPOLLIN | EPOLLRDHUP));
  callbacks_[fd] = std::make_shared<Callback>(std::move(on_ready));
  return absl::OkStatus();
}

absl::Status Reactor::WatchDoorbell(int fd) {
  return Add(epoll_.get(), fd, EPOLLIN | EPOLLET);
}

void Reactor::Remove(int fd) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  callbacks_.erase(fd);
}

void Reactor::Poll(int timeout_ms) {
  std::array<epoll_event, 64> events;
  const int ready =
      epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  for (int i = 0; i < ready; ++i) {
    // Looked up by descriptor at call time: an earlier callback may have removed it.
    const auto found = callbacks_.find(events[static_cast<size_t>(i)].data.fd);
    if (found == callbacks_.end()) continue;
    const std::shared_ptr<Callback> callback = found->second;
    (*callback)();
  }
}

}  // namespace penstock
