// The heir's side of a take-over.
#include "tools/penstockd/take_over.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

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

// Said here and not by the daemon, which may not let this user in at all: its advice, to be put on
// its list, would not help.
absl::Status CheckOwner(const std::string& dir) {
  struct stat facts;
  if (stat(dir.c_str(), &facts) != 0 || facts.st_uid == geteuid()) return absl::OkStatus();
  return absl::PermissionDeniedError(fmt::format(
      "the store in {0} belongs to user {1} and this penstockd runs as user {2}: only that user "
      "takes it over. Start it as that user, for example with sudo -u '#{1}', or setpriv --reuid "
      "{1} --clear-groups", dir, facts.st_uid, geteuid()));
}

// These are asked about (spill-dir), kept (memory, objects) or no matter of the store.
bool IsComparedOtherwise(std::string_view name) {
  return name == "dir" || name == "memory" || name == "objects" || name == "spill-dir" ||
         name == "log-level";
}

// What the old one was given and the new one was not: " --allow uid:1001 --cpus 2".
std::string FlagsLeftOut(const wire::HandOver& old, const DaemonOptions& options) {
  std::string flags;
  if (old.flags() == nullptr) return flags;
  for (const auto* const flag : *old.flags()) {
    const std::string_view text = flag->string_view();
    const std::string_view name = text.substr(0, text.find(' '));
    if (!name.starts_with("--") || IsComparedOtherwise(name.substr(2)) ||
        options.given.contains(std::string(name.substr(2)))) {
      continue;
    }
    flags += fmt::format(" {}", text);
  }
  return flags;
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

absl::StatusOr<Inheritance> TakeOverStore(const DaemonOptions& options) {
  PENSTOCK_RETURN_IF_ERROR(CheckOwner(options.dir));
  const std::string question =
      TakeOverMessage(OwnLayouts(), CanonicalDirectory(options.spill_dir));
  PENSTOCK_ASSIGN_OR_RETURN(UniqueFd socket, ConnectTo(SocketPath(options.dir)));
  Inheritance all;
  PENSTOCK_ASSIGN_OR_RETURN(Packet answer, AskDaemon(socket.get(), {&question, 1}));
  PENSTOCK_ASSIGN_OR_RETURN(const wire::Message* message, ParseMessage(answer.bytes));
  if (const auto* refused = message->body_as_Refused()) return StatusOf(*refused);
  if (message->body_type() != wire::Body_HandOver || answer.fds.size() != kHandOverFds) {
    return absl::FailedPreconditionError(
        "the daemon answered a take-over with something else: is it of another version?");
  }
  const std::string forgotten = FlagsLeftOut(*message->body_as_HandOver(), options);
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
  if (!forgotten.empty()) {
    spdlog::warn("the penstockd before was started with{}, and this one without: what that set is "
                 "as if it had never been. To have it again, take over once more with it",
                 forgotten);
  }
  KeeperChannel channel(std::move(socket));
  channel.SendKept();
  all.kept.channel = channel.Release();
  return all;
}

}  // namespace penstock
