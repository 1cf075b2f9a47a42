// The reactor over epoll.
#include "store/reactor/reactor.h"

#include <time.h>

#include <algorithm>
#include <cerrno>

#include "store/base/errors.h"

namespace penstock {
namespace {

constexpr int64_t kMostPoll_ns = 30'000;

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

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
  return Watch(fd, EPOLLIN | EPOLLRDHUP, std::move(on_ready));
}

absl::Status Reactor::WatchDoorbell(int fd, Callback on_ring) {
  return Watch(fd, EPOLLIN | EPOLLET, std::move(on_ring));
}

absl::Status Reactor::Watch(int fd, uint32_t events, Callback on_ready) {
  const uint32_t serial = next_serial_++;
  PENSTOCK_RETURN_IF_ERROR(Add(epoll_.get(), fd, events, serial));
  watched_[fd] = {serial, std::make_shared<Callback>(std::move(on_ready))};
  return absl::OkStatus();
}

void Reactor::Remove(int fd) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watched_.erase(fd);
}

void Reactor::Wait(int timeout_ms) {
  if (!has_more()) Ask(timeout_ms);
}

void Reactor::Ask(int timeout_ms) {
  const int ready = epoll_wait(epoll_.get(), events_.data(),
                               static_cast<int>(events_.size()), timeout_ms);
  ready_ = static_cast<size_t>(std::max(0, ready));
  next_ = 0;
  may_have_more_ = ready_ == events_.size();
}

void Reactor::Poll() {
  int64_t began_ns = 0;
  do {
    if (next_ == ready_) Ask(0);
    if (began_ns == 0 && ready_ > 0) began_ns = NowNs();
    while (next_ < ready_) {
      Call(events_[next_++]);
      if (next_ < ready_ && NowNs() - began_ns >= kMostPoll_ns) return;
    }
  } while (may_have_more_ && NowNs() - began_ns < kMostPoll_ns);
}

void Reactor::Call(const epoll_event& event) {
  // Looked up at call time: an earlier callback may have removed it.
  const uint64_t key = event.data.u64;
  const auto found = watched_.find(static_cast<int>(static_cast<uint32_t>(key)));
  if (found == watched_.end() || found->second.serial != key >> 32) return;
  const std::shared_ptr<Callback> callback = found->second.on_ready;
  (*callback)();
}

}  // namespace penstock
