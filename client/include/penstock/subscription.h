// Subscription: what is sealed and deleted in the store, in the daemon's order.
#ifndef PENSTOCK_SUBSCRIPTION_H_
#define PENSTOCK_SUBSCRIPTION_H_

#include <cstdint>
#include <memory>

#include <penstock/object_id.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace penstock {

struct Event {
  enum class Kind {
    kSealed,
    kDeleted,
    kEvicted,
    kLost,  // `lost` events before this one did not fit, or (0) an unknown number was missed
            // while a daemon was started again; List() shows what is there
  };
  Kind kind = Kind::kSealed;
  ObjectId id;
  uint64_t size = 0;
  uint64_t lost = 0;
};

namespace internal {
class ClientState;
}

// Thread safety: any number of threads may call Next; each event goes to one of them.
// One subscription a client; it ends with this object, or with its store.
class Subscription {
 public:
  Subscription(Subscription&&) noexcept;
  Subscription& operator=(Subscription&&) noexcept;
  ~Subscription();

  // The next event. DeadlineExceeded when none came; Unavailable when it has ended, with its
  // store (daemon and keeper are gone), with its session (the daemon says why), or in the child of
  // a fork: subscribe again, and List() what is there. With a daemon that the keeper starts again
  // it goes on, after a kLost of 0 events.
  [[nodiscard]] absl::StatusOr<Event> Next(
      absl::Duration deadline = absl::InfiniteDuration());

 private:
  friend class Client;
  Subscription(std::shared_ptr<internal::ClientState> state, uint64_t number)
      : state_(std::move(state)), number_(number) {}

  std::shared_ptr<internal::ClientState> state_;
  uint64_t number_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_SUBSCRIPTION_H_
