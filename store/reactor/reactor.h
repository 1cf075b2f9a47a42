// Reactor: waits for descriptors and calls who asked. Today over epoll.
//
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_REACTOR_REACTOR_H_
#define PENSTOCK_STORE_REACTOR_REACTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

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
  // Only ends a sleep, once for each time it rings, and is never read: one system call
  // less for each wake-up. For an eventfd whose counter nobody needs.
  absl::Status WatchDoorbell(int fd);
  void Remove(int fd);

  // Sleeps until something is ready or `timeout_ms` has passed (0: only looks, negative:
  // for ever), then calls back. A callback may Watch and Remove any descriptor.
  void Poll(int timeout_ms);

 private:
  explicit Reactor(UniqueFd epoll) : epoll_(std::move(epoll)) {}

  UniqueFd epoll_;
  absl::flat_hash_map<int, std::shared_ptr<Callback>> callbacks_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_REACTOR_REACTOR_H_
