// The reactor over epoll.
#include "store/reactor/reactor.h"

#include <sys/epoll.h>

#include <array>
#include <cerrno>

#include "store/base/errors.h"

namespace penstock {
namespace {

// Of 64 events each, in one Poll: a flood does not keep its caller for ever.
constexpr int kMostRounds = 64;

// The serial tells a descriptor from an earlier one of the same number.
absl::Status Add(int epoll, int fd, uint32_t events, uint32_t serial) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = (uint64_t{serial} << 32) | static_cast<uint32_t>(fd);
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
  if (next_serial_ == 0) ++next_serial_;
  const uint32_t serial = next_serial_++;
  PENSTOCK_RETURN_IF_ERROR(Add(epoll_.get(), fd, EPOLLIN | EPOLLRDHUP, serial));
  watched_[fd] = {serial, std::make_shared<Callback>(std::move(on_ready))};
  return absl::OkStatus();
}

absl::Status Reactor::WatchDoorbell(int fd) {
  return Add(epoll_.get(), fd, EPOLLIN | EPOLLET, 0);
}

void Reactor::Remove(int fd) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watched_.erase(fd);
}

void Reactor::Poll(int timeout_ms) {
  std::array<epoll_event, 64> events;
  int ready;
  int rounds = kMostRounds;
  do {
    ready = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
    for (int i = 0; i < ready; ++i) {
      // Looked up at call time: an earlier callback may have removed it.
      const uint64_t key = events[static_cast<size_t>(i)].data.u64;
      const auto found = watched_.find(static_cast<int>(static_cast<uint32_t>(key)));
      if (found == watched_.end() || found->second.serial != key >> 32) continue;
      const std::shared_ptr<Callback> callback = found->second.on_ready;
      (*callback)();
    }
    timeout_ms = 0;
  } while (ready == static_cast<int>(events.size()) && --rounds > 0);
}

}  // namespace penstock
