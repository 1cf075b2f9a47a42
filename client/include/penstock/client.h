// Client: access to the store of this node.
//
//   absl::StatusOr<penstock::Client> client = penstock::Client::Connect();
//   absl::StatusOr<penstock::ObjectId> id = client->Put("hello");
//   absl::StatusOr<penstock::ObjectView> view = client->Get(*id);
//
// Create, seal, get and release of what is here cost no round trip and, while the daemon
// is awake, no system call. The idea of objects that are immutable once sealed is that of
// Arrow Plasma; reading without asking anybody is Penstock's.
//
// Thread safety: every call may come from any thread. Fork: the child's first call opens
// a session of its own; views and builders made before stay the parent's and say so. That call
// closes the descriptors of the parent's session that the child still has; one that has closed
// them itself, as a daemon does, may have other files under their numbers, which stay open.
// (Eventfds before Linux 5.2, or without /proc, stay open in any case.)
// Lifetime: views and builders may outlive the Client they came from. Every call of a client
// that was moved from says FailedPrecondition.
//
// Deadlines: a call that has one ends within it and a second, also where the daemon is stopped
// (SIGSTOP, a debugger, a frozen container). These have none, and wait as long as it is stopped:
// Contains and Delete of what is not in memory, List, Sync, Subscribe, a Get or Next without a
// deadline; and Seal, Delete, Abort and the release of a view, when 1,024 records that the daemon
// has not taken lie before them. A daemon that has died keeps no call waiting: its keeper starts
// another, or the call says Unavailable. A call that has to open a session (Connect, the first
// after the store's end or a fork) gives a daemon 10 s to answer.
//
// Threads: each session has one thread ("penstock-watch"), with all signals blocked, so that no
// handler of the program runs on it. A program whose main thread ends by pthread_exit lives on with
// its other threads; when this one is the last, SIGTERM finds no thread that takes it, and only
// SIGKILL ends the process. Let the Client go before pthread_exit, or return from main.
#ifndef PENSTOCK_CLIENT_H_
#define PENSTOCK_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <penstock/builder.h>
#include <penstock/object_id.h>
#include <penstock/object_view.h>
#include <penstock/options.h>
#include <penstock/subscription.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace penstock {

struct ObjectInfo {
  ObjectId id;
  uint64_t size = 0;
  uint32_t metadata_size = 0;
  uint32_t type_tag = 0;
  bool evictable = false;
  bool session_bound = false;
  Priority priority = Priority::kNormal;
};

class Client {
 public:
  // Opens a session. Errors: NotFound (no daemon answers there), PermissionDenied (it
  // serves another user), FailedPrecondition (another release). Cost: about 1 ms.
  [[nodiscard]] static absl::StatusOr<Client> Connect(const ClientOptions& options = {});

  Client(const Client&) = default;  // a second handle of the same session
  Client(Client&&) noexcept = default;
  Client& operator=(const Client&) = default;
  Client& operator=(Client&&) noexcept = default;
  ~Client() = default;

  // A fresh object of `size` bytes (0 is a size) to fill in place and seal.
  // Errors: ResourceExhausted (no room within the deadline; says who holds the memory),
  // InvalidArgument (larger than the arena, or options that cannot be), AlreadyExists (a chosen
  // id), Unavailable.
  // Cost: tens of ns from leases at hand, else a round trip to the daemon.
  [[nodiscard]] absl::StatusOr<Builder> Create(uint64_t size,
                                               const CreateOptions& options = {});
  // One for each size, all or none, within one deadline. `options.id` must be empty. Errors: as
  // Create; InvalidArgument, at once, for more than the whole store takes. What is there is not
  // kept from others while the rest is waited for.
  [[nodiscard]] absl::StatusOr<std::vector<Builder>> CreateMany(
      std::span<const uint64_t> sizes, const CreateOptions& options = {});
  // Seals all with one publication. Those before the first failure are sealed.
  [[nodiscard]] absl::StatusOr<std::vector<ObjectId>> SealMany(std::span<Builder> builders);

  // Create, copy, seal. Cost: the copy, with streaming stores for what exceeds the cache.
  [[nodiscard]] absl::StatusOr<ObjectId> Put(std::span<const std::byte> bytes,
                                             const CreateOptions& options = {});
  [[nodiscard]] absl::StatusOr<ObjectId> Put(std::string_view text,
                                             const CreateOptions& options = {}) {
    return Put(std::as_bytes(std::span(text.data(), text.size())), options);
  }

  // The object, pinned. Waits for its seal until `deadline` from now (0: only what is
  // here now). Errors: NotFound (not here; or was deleted, or evicted, or made by another
  // store), Aborted (its maker died before the seal), DeadlineExceeded (says which: nobody
  // sealed it; it is on disk, and no room for it came, or it is still being read; the daemon did
  // not answer), Unavailable (the daemon is gone; or the disk failed to bring the object back, and
  // the next get tries again), DataLoss (it was on disk only, and its file is gone, cut off or
  // altered), ResourceExhausted (it is on disk, and neither memory nor disk has room to bring it
  // back, which is said before the deadline: says who holds the memory and what ails the disk; or
  // this client waits for too many objects at once).
  // Cost: about 20 ns and no system call for a sealed object; else a round trip.
  [[nodiscard]] absl::StatusOr<ObjectView> Get(
      const ObjectId& id, absl::Duration deadline = absl::InfiniteDuration());
  // The same for many, one outcome for each id, all within one deadline. Errors: as Get, of each
  // id by itself: one that is lost on disk or has no room takes no other along.
  [[nodiscard]] std::vector<absl::StatusOr<ObjectView>> GetMany(
      std::span<const ObjectId> ids, absl::Duration deadline = absl::InfiniteDuration());

  // Whether a sealed object is here. A no costs a round trip, without a deadline.
  [[nodiscard]] absl::StatusOr<bool> Contains(const ObjectId& id);
  // Takes the object away: the memory is free when its last pin goes. Returns before the
  // daemon has done it, and until then a get may still find it: Sync() waits for that.
  // NotFound when it is not here, which costs a round trip, without a deadline.
  [[nodiscard]] absl::Status Delete(const ObjectId& id);
  // All sealed objects in memory; what is on disk only is not among them. Cost: a round trip,
  // without a deadline, and one pass over the slot table.
  [[nodiscard]] absl::StatusOr<std::vector<ObjectInfo>> List();
  // Waits, without a deadline, until the daemon has handled all that this client sealed and
  // deleted so far.
  // Unavailable, once, when a daemon died before it had. AlreadyExists, once, when the daemon did
  // not publish all of it, because an object of the same id was there: names the first.
  [[nodiscard]] absl::Status Sync();

  // An id of this session that nobody else makes, to tell others before the object is
  // sealed: pass it in CreateOptions::id, once.
  [[nodiscard]] absl::StatusOr<ObjectId> NextId() { return NextIds(1); }
  // The first of `count` such ids; the others have the sequence numbers that follow.
  // InvalidArgument for a `count` of 0.
  [[nodiscard]] absl::StatusOr<ObjectId> NextIds(uint32_t count);

  // FailedPrecondition when this client has a subscription. A round trip, without a deadline.
  [[nodiscard]] absl::StatusOr<Subscription> Subscribe(const SubscribeOptions& options = {});

 private:
  explicit Client(std::shared_ptr<internal::ClientState> state) : state_(std::move(state)) {}
  // When one look did not find it.
  absl::StatusOr<ObjectView> GetAtLength(const ObjectId& id, absl::Duration deadline);

  std::shared_ptr<internal::ClientState> state_;
};

inline absl::StatusOr<ObjectView> Client::Get(const ObjectId& id, absl::Duration deadline) {
  if (state_ == nullptr) [[unlikely]] return GetAtLength(id, deadline);
  const internal::Pinned pinned = internal::PinLocal(*state_, id);
  if (pinned.session == nullptr) [[unlikely]] return GetAtLength(id, deadline);
  // Made where the caller wants it: nothing is stored twice.
  return absl::StatusOr<ObjectView>(absl::in_place, ObjectView::Key(), pinned);
}

// What the daemon says of itself: counters by name (see `penstock status`) and notes.
struct DaemonStatus {
  std::vector<std::pair<std::string, uint64_t>> counters;
  std::vector<std::string> notes;
  uint64_t Counter(std::string_view name) const;  // 0 for an unknown name
};
// Asks over a connection of its own. `dir` as in ClientOptions. DeadlineExceeded when the
// daemon does not answer within `patience`; less than 1 ms is no time at all.
[[nodiscard]] absl::StatusOr<DaemonStatus> QueryStatus(
    const std::string& dir = "", absl::Duration patience = absl::Seconds(10));

}  // namespace penstock

#endif  // PENSTOCK_CLIENT_H_
