// Reactor: waits for descriptors and calls who asked. Today over epoll.
//
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_REACTOR_REACTOR_H_
#define PENSTOCK_STORE_REACTOR_REACTOR_H_

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"

namespace penstock {

class Reactor {
 public:
  using Callback = std::function<void()>;

  static absl::StatusOr<Reactor> Create();

  // Calls `on_ready` while `fd` is readable or has hung up. The descriptor stays the
  // caller's and must be removed before it is closed.
  absl::Status Watch(int fd, Callback on_ready);
  // Ends a sleep and calls `on_ring`, once for each time it rings, and never reads it: one system
  // call less for each wake-up. For an eventfd whose counter nobody needs.
  absl::Status WatchDoorbell(int fd, Callback on_ring);
  void Remove(int fd);

  // Sleeps until something is ready or `timeout_ms` has passed (negative: for ever). Who was ready
  // is called back by the next Poll.
  void Wait(int timeout_ms);
  // Looks what is ready and calls back, for about 30 us: a flood does not keep the caller from its
  // other work. A callback may Watch, Remove and close any descriptor: what else was ready is
  // not mistaken for a new one with an old number.
  void Poll();
  // What the last Poll had no time for is the first to be heard in the next one, and Wait does
  // not sleep before.
  bool has_more() const { return next_ < ready_ || may_have_more_; }

 private:
  explicit Reactor(UniqueFd epoll) : epoll_(std::move(epoll)) {}

  struct Watched {
    uint32_t serial;
    std::shared_ptr<Callback> on_ready;
  };
  absl::Status Watch(int fd, uint32_t events, Callback on_ready);
  void Ask(int timeout_ms);
  void Call(const epoll_event& event);

  UniqueFd epoll_;
  absl::flat_hash_map<int, Watched> watched_;
  uint32_t next_serial_ = 1;
  std::array<epoll_event, 64> events_{};
  size_t ready_ = 0;  // of events_
  size_t next_ = 0;   // to be called
  bool may_have_more_ = false;  // the kernel filled all of events_
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_REACTOR_REACTOR_H_
