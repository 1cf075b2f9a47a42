// The heir's side of a take-over.
#include "tools/penstockd/take_over.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <system_error>
#include <utility>

#include "store/base/crash_point.h"
#include "store/base/errors.h"
#include "store/base/store_directory.h"
#include "store/shm/lease_layout.h"
#include "store/shm/session_layout.h"
#include "store/shm/slot_layout.h"
#include "store/spill/spill_layout.h"
#include "store/wire/packet_socket.h"
#include "tools/penstockd/directory.h"

namespace penstock {
namespace {

// With the answer: lock, listener, window, both ends of `ended`, the daemon's pidfd, and what
// the old keeper yields by.
constexpr size_t kHandOverFds = 7;

// Takes what the daemon sends until the old keeper says that it goes.
absl::Status AwaitYield(int channel, int yielded, KeptStore& kept) {
  std::array<pollfd, 2> items{pollfd{channel, POLLIN, 0}, pollfd{yielded, POLLIN, 0}};
  while (items[1].revents == 0) {
    if (poll(items.data(), items.size(), -1) < 0) continue;
    if (items[0].revents != 0 && !TakeKeeperMessages(channel, kept)) items[0].fd = -1;
  }
  char byte;
  if (read(yielded, &byte, 1) != 1) {
    return absl::AbortedError(
        "the daemon or its keeper died before the store was handed over; it goes on where it "
        "was, so look at its log and try again");
  }
  TakeKeeperMessages(channel, kept);  // what was sent before, all of it
  if (kept.serving && kept.has_store()) return absl::OkStatus();
  return absl::InternalError("the store was handed over in part: this is a bug");
}

}  // namespace

StoreLayouts OwnLayouts() {
  return {.index = kIndexLayoutVersion, .session = kSessionLayoutVersion,
          .lease = kLeaseLayoutVersion, .spill = kSpillTableVersion};
}

std::string CanonicalDirectory(const std::string& dir) {
  if (dir.empty()) return dir;
  std::error_code error;
  std::filesystem::path path = std::filesystem::weakly_canonical(dir, error);
  if (error) return dir;
  if (!path.has_filename()) path = path.parent_path();  // a slash at its end
  return path.string();
}

absl::StatusOr<Inheritance> TakeOverStore(const std::string& dir, const std::string& spill_dir) {
  const std::string question = TakeOverMessage(OwnLayouts(), CanonicalDirectory(spill_dir));
  PENSTOCK_ASSIGN_OR_RETURN(UniqueFd socket, ConnectTo(SocketPath(dir)));
  Inheritance all;
  PENSTOCK_ASSIGN_OR_RETURN(Packet answer, AskDaemon(socket.get(), {&question, 1}));
  PENSTOCK_ASSIGN_OR_RETURN(const wire::Message* message, ParseMessage(answer.bytes));
  if (const auto* refused = message->body_as_Refused()) return StatusOf(*refused);
  if (message->body_type() != wire::Body_HandOver || answer.fds.size() != kHandOverFds) {
    return absl::FailedPreconditionError(
        "the daemon answered a take-over with something else: is it of another version?");
  }
  all.kept.lock = std::move(answer.fds[0]);
  all.kept.listener = std::move(answer.fds[1]);
  all.kept.window = std::move(answer.fds[2]);
  all.kept.ended_read = std::move(answer.fds[3]);
  all.kept.ended_write = std::move(answer.fds[4]);
  all.daemon_pidfd = std::move(answer.fds[5]);
  const UniqueFd yielded = std::move(answer.fds[6]);
  fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  PENSTOCK_RETURN_IF_ERROR(AwaitYield(socket.get(), yielded.get(), all.kept.store));
  // From here on this process is the keeper.
  PENSTOCK_CRASH_POINT(kHeirKeeps);
  WriteLockHolder(all.kept.lock.get(), getpid());
  KeeperChannel channel(std::move(socket));
  channel.SendKept();
  all.kept.channel = channel.Release();
  return all;
}

}  // namespace penstock
