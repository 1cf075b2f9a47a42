// Server: leaving the store to another penstockd (--take-over).
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "store/base/crash_point.h"
#include "store/base/errors.h"
#include "store/wire/packet_socket.h"
#include "tools/penstockd/process.h"
#include "tools/penstockd/server.h"
#include "tools/penstockd/take_over.h"

namespace penstock {
namespace {

// With a keeper that is to start the next daemon: it needs some milliseconds.
constexpr int kPatience_ms = 2000;
constexpr size_t kShownOfFlag = 200;

}  // namespace

absl::Status Server::MayHandOver(const Connection& connection,
                                 const wire::TakeOver& heir) const {
  // The store is whose process holds it: another user's would shut this one out, root's too.
  if (connection.uid != geteuid()) {
    return absl::PermissionDeniedError(fmt::format(
        "this store belongs to user {0} and you are user {1}: only that user takes it over. Start "
        "the new penstockd as that user, for example with sudo -u '#{0}'", geteuid(),
        connection.uid));
  }
  const StoreLayouts own = OwnLayouts();
  if (heir.protocol_version() != kProtocolVersion || heir.index_layout() != own.index ||
      heir.session_layout() != own.session || heir.lease_layout() != own.lease ||
      heir.spill_layout() != own.spill) {
    return absl::FailedPreconditionError(fmt::format(
        "the new penstockd has protocol {} and layouts {}, {}, {} and {}, this store {} and "
        "{}, {}, {} and {}: it cannot be taken over, only ended and started anew",
        heir.protocol_version(), heir.index_layout(), heir.session_layout(),
        heir.lease_layout(), heir.spill_layout(), kProtocolVersion, own.index, own.session,
        own.lease, own.spill));
  }
  if (options_.owner_pid != 0) {
    return absl::FailedPreconditionError(fmt::format(
        "this store is a private one of process {} and ends with it", options_.owner_pid));
  }
  const std::string own_dir = CanonicalDirectory(options_.spill_dir);
  const std::string heirs_dir = heir.spill_dir() != nullptr ? heir.spill_dir()->str() : "";
  if (!own_dir.empty() && heirs_dir != own_dir) {
    return absl::FailedPreconditionError(fmt::format(
        "this store has objects on disk in {}, which would be lost: the new penstockd was started "
        "{}. Start it with --spill-dir {}", own_dir,
        heirs_dir.empty() ? "without --spill-dir" : "with --spill-dir " + heirs_dir, own_dir));
  }
  if (node_->processes() > 0) {
    return absl::FailedPreconditionError(fmt::format(
        "{} processes of running jobs are connected, and jobs end with the daemon that "
        "started their workers: wait for their end and try again", node_->processes()));
  }
  return absl::OkStatus();
}

std::vector<std::string> Server::GivenFlags() const {
  std::vector<std::string> flags;
  for (const auto& [name, text] : options_.given) {
    flags.push_back(fmt::format("--{} {}", name, text.substr(0, kShownOfFlag)));
  }
  return flags;
}

void Server::HandOver(int socket_fd, const wire::TakeOver& heir) {
  Connection& connection = *connections_.at(socket_fd);
  absl::Status status = MayHandOver(connection, heir);
  if (status.ok() && connection.row) {
    status = absl::FailedPreconditionError("a client's session takes nothing over");
  }
  if (!status.ok()) {
    Refuse(connection, status);
    if (!connection.row) Close(socket_fd);
    return;
  }
  const int32_t pid = connection.pid;
  reactor_->Remove(socket_fd);
  antechamber_.Leave(socket_fd);
  const std::unique_ptr<Connection> taken = std::move(connections_.at(socket_fd));
  connections_.erase(socket_fd);
  status = hand_over_(std::move(taken->socket), std::move(taken->pidfd));
  if (!status.ok()) {
    spdlog::error("process {} did not take the store over: {}", pid, status.ToString());
    return;
  }
  spdlog::info("handed the store over to process {}", pid);
  has_handed_over_ = true;
  stopping_ = true;
}

// The core, in memory that the next daemon can go on with. What the last core left, where there
// is any that can be read.
absl::StatusOr<std::string> Server::PrepareCore(UniqueFd slot_infos, UniqueFd core_state) {
  PENSTOCK_RETURN_IF_ERROR(bitmaps_.Reserve(options_.max_sessions, memory_.index.capacity()));
  const uint64_t bytes = uint64_t{memory_.index.capacity()} * sizeof(SlotInfo);
  std::string state;
  if (slot_infos.valid() && core_state.valid()) {
    PENSTOCK_ASSIGN_OR_RETURN(const MemoryFile file, MemoryFile::Adopt(std::move(core_state), 1));
    PENSTOCK_ASSIGN_OR_RETURN(const Mapping mapping, Mapping::Map(file.fd(), file.bytes(),
                                                                  Access::kReadOnly,
                                                                  OnFork::kDrop));
    state.assign(reinterpret_cast<const char*>(mapping.data()), file.bytes());
    if (!Core::CanResume(state, memory_.index)) state.clear();
  }
  if (state.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(slot_infos_file_, MemoryFile::Create("slot-infos", bytes));
  } else {
    PENSTOCK_ASSIGN_OR_RETURN(slot_infos_file_, MemoryFile::Adopt(std::move(slot_infos), bytes));
  }
  PENSTOCK_ASSIGN_OR_RETURN(slot_infos_, Mapping::Map(slot_infos_file_.fd(), bytes,
                                                      Access::kReadWrite, OnFork::kDrop));
  CoreLimits limits;
  limits.max_sessions = options_.max_sessions;
  limits.client_quota_bytes = options_.client_quota_bytes;
  limits.pin_quota_bytes = options_.pin_quota_bytes;
  limits.memory_comes_back = options_.give_back_after_s > 0;
  core_ = std::make_unique<Core>(
      memory_.index, memory_.lease_table, limits, this,
      SlotInfoTable(reinterpret_cast<SlotInfo*>(slot_infos_.data())));
  return state;
}

absl::StatusOr<MemoryFile> Server::RetireCore() {
  const std::string state = core_->Retire();
  PENSTOCK_ASSIGN_OR_RETURN(MemoryFile file, MemoryFile::Create("core-state", state.size()));
  PENSTOCK_ASSIGN_OR_RETURN(const Mapping mapping, Mapping::Map(file.fd(), file.bytes(),
                                                                Access::kReadWrite,
                                                                OnFork::kDrop));
  std::memcpy(mapping.data(), state.data(), state.size());
  return file;
}

void Server::Leave() {
  // No write of ours reaches the disk after this, and its directory is free.
  if (spill_ != nullptr) spill_->LeaveFiles();
  node_.reset();
  copy_choice_.reset();  // writes no more into the arena
  // No page goes to the host after this.
  if (idle_memory_) populator_.reset();
  const auto core_state = RetireCore();
  if (!core_state.ok()) spdlog::warn("{}", core_state.status().ToString());
  PENSTOCK_CRASH_POINT(kHandOverLeft);
  const int slot_infos = core_state.ok() ? slot_infos_file_.fd() : -1;
  // A keeper that dies on the way would take the store along, if this process were gone.
  while (!keeper_.LeaveTo(slot_infos, core_state.ok() ? core_state->fd() : -1, kPatience_ms)) {
    if (!keeper_.IsClosed()) {
      SendSignal(keeper_pidfd_, SIGKILL);  // stopped, or it had all the time
      WaitForEnd(keeper_pidfd_, -1);
      if (keeper_.AwaitSucceeded(-1)) break;  // the last thing that it did
    }
    if (!ReplaceKeeper()) break;
  }
  spdlog::info("left");
  spdlog::shutdown();
  // Nothing is undone: what this process has mapped and open is its successor's too.
  _exit(0);
}

}  // namespace penstock
