// Session: opening, watching and closing.
#include "client/src/session.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/single_threaded.h>

#include <cerrno>

#include <fmt/format.h>

#include "client/src/retired_sessions.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/store_directory.h"
#include "store/base/threads.h"
#include "store/shm/memory_file.h"

namespace penstock::internal {

absl::StatusOr<std::unique_ptr<Session>> Session::Open(const ClientOptions& options) {
  WatchForks();
  if (__libc_single_threaded) PrepareFence();
  std::unique_ptr<Session> session(new Session());
  session->fork_generation = ForkGeneration();
  PENSTOCK_RETURN_IF_ERROR(session->Connect(options));
  return session;
}

absl::Status Session::Connect(const ClientOptions& options) {
  dir_ = StoreDirectory(options.dir);
  PENSTOCK_RETURN_IF_ERROR(CheckStoreDirectory(dir_));
  asked_for_read_only_ = options.read_only;
  const std::string hello = HelloMessage(wire::Role_Client, kIndexLayoutVersion,
                                         kSessionLayoutVersion, options.read_only);
  PENSTOCK_ASSIGN_OR_RETURN(Conversation begun,
                            ConnectAndAsk(SocketPath(dir_), {&hello, 1}));
  socket_ = std::move(begun.socket);
  Packet& packet = begun.answer;
  PENSTOCK_ASSIGN_OR_RETURN(const wire::Message* message, ParseMessage(packet.bytes));
  if (const auto* refused = message->body_as_Refused()) return StatusOf(*refused);
  const auto* welcome = message->body_as_Welcome();
  if (welcome == nullptr || !PlaceWelcomeFds(welcome->read_only(), packet.fds)) {
    return absl::InvalidArgumentError(
        fmt::format("what answers at {} sent no welcome: it is another program", dir_));
  }
  PENSTOCK_RETURN_IF_ERROR(Adopt(FactsOf(*welcome), packet.fds));
  stop_watching_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  if (!stop_watching_.valid()) return CallStatus(errno, "eventfd");
  for (size_t i = 0; i < marks_.size(); ++i) marks_[i] = FileMark::Of(Descriptors()[i]->get());
  // The library's thread takes no signals of the application's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  auto watcher = StartThread("starting the thread that watches a session", [this] {
    PrepareFence();
    WatchSocket();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  PENSTOCK_ASSIGN_OR_RETURN(watcher_, std::move(watcher));
  return absl::OkStatus();
}

// Maps what the daemon sent, after checking that it is what it should be.
absl::Status Session::Adopt(const WelcomeFacts& facts, std::vector<UniqueFd>& fds) {
  if (facts.capacity == 0 || facts.capacity > kMaxSlots || facts.arena_bytes == 0 ||
      facts.arena_bytes > kMaxArenaBytes) {
    return absl::InvalidArgumentError(
        fmt::format("the daemon's welcome speaks of {} slots and an arena of {} bytes: use "
                    "the same release of Penstock for both", facts.capacity,
                    facts.arena_bytes));
  }
  const SessionGeometry geometry = SessionGeometry::For(facts.capacity);
  PENSTOCK_ASSIGN_OR_RETURN(
      const MemoryFile read_only,
      MemoryFile::Adopt(std::move(fds[kFdArenaReadOnly]), facts.arena_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(const MemoryFile index,
                            MemoryFile::Adopt(std::move(fds[kFdIndex]), facts.index_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(
      const MemoryFile client,
      MemoryFile::Adopt(std::move(fds[kFdClientSegment]), geometry.client_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(
      const MemoryFile daemon,
      MemoryFile::Adopt(std::move(fds[kFdDaemonSegment]), geometry.daemon_bytes));
  daemon_doorbell_ = std::move(fds[kFdDaemonDoorbell]);
  own_doorbell_ = std::move(fds[kFdClientDoorbell]);

  PENSTOCK_ASSIGN_OR_RETURN(arena_mapping_, Mapping::Map(read_only.fd(), facts.arena_bytes,
                                                         Access::kReadOnly,
                                                         OnFork::kInherit));
  read_only_ = facts.read_only || asked_for_read_only_;
  if (!read_only_) {
    PENSTOCK_ASSIGN_OR_RETURN(
        const MemoryFile writable,
        MemoryFile::Adopt(std::move(fds[kFdArenaWritable]), facts.arena_bytes));
    PENSTOCK_ASSIGN_OR_RETURN(arena_writable_, Mapping::Map(writable.fd(), facts.arena_bytes,
                                                            Access::kReadWrite,
                                                            OnFork::kDrop));
  }
  PENSTOCK_ASSIGN_OR_RETURN(index_mapping_, Mapping::Map(index.fd(), facts.index_bytes,
                                                         Access::kReadOnly, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(client_mapping_, Mapping::Map(client.fd(), geometry.client_bytes,
                                                          Access::kReadWrite, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(daemon_mapping_, Mapping::Map(daemon.fd(), geometry.daemon_bytes,
                                                          Access::kReadOnly, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(index_,
                            IndexSegment::Attach(index_mapping_.data(), facts.index_bytes));
  segments_ = SessionSegments::At(client_mapping_.data(), daemon_mapping_.data(),
                                  facts.capacity, facts.session);
  PENSTOCK_RETURN_IF_ERROR(segments_.Check(index_.capacity()));
  pins_ = PinRow(segments_.bitmap, segments_.pins);
  slots = &index_.slot(0);
  reach_.store(index_.capacity(), std::memory_order_relaxed);
  arena = arena_mapping_.data();
  arena_bytes_ = facts.arena_bytes;
  revoked_ = &segments_.daemon->revoked;
  incarnation_ = facts.incarnation;
  number_ = facts.session;
  submissions_ = std::make_unique<SubmissionQueue>(segments_, &index_.header(),
                                                   daemon_doorbell_.get(), socket_.get(),
                                                   &dead_);
  leases_ = std::make_unique<LeaseCache>();
  completions_ = std::make_unique<CompletionQueue>(segments_, own_doorbell_.get(),
                                                   submissions_.get(), leases_.get(), &dead_);
  segments_.client->use.store(kInUse, std::memory_order_release);
  return absl::OkStatus();
}

// The library's one thread: notices the daemon's end and what it says on the socket.
void Session::WatchSocket() {
  prctl(PR_SET_NAME, "penstock-watch");
  for (;;) {
    pollfd items[2] = {{socket_.get(), POLLIN, 0}, {stop_watching_.get(), POLLIN, 0}};
    if (poll(items, 2, -1) < 0 && errno != EINTR) return;
    if (items[1].revents != 0) return;
    if (items[0].revents == 0) continue;
    const auto packet = ReceivePacket(socket_.get());
    if (!packet.ok() || packet->bytes.empty()) {
      Die(absl::UnavailableError(fmt::format(
          "the daemon at {} died together with its keeper, and its objects with them; the next "
          "call connects to the daemon that is started there", dir_)));
      return;
    }
    const auto message = ParseMessage(packet->bytes);
    if (!message.ok()) continue;
    if (const auto* refused = (*message)->body_as_Refused()) {
      Die(StatusOf(*refused));
      return;
    }
    if ((*message)->body_type() == wire::Body_ReturnLeases) ReturnLeasesAhead();
    if ((*message)->body_type() == wire::Body_Restarted) AskAgain();
  }
}

// The keeper has started another daemon, which has our session: its index, our row, both
// rings. Only what the last one kept to itself is lost: what we had asked and it had not
// answered.
void Session::AskAgain() {
  leases_->ForgetRefills();
  completions_->AskAgain();
  const uint32_t subscription = subscription_.load(std::memory_order_relaxed);
  if (subscription == 0) return;
  Submission record{};
  record.op = SubmissionOp::kSubscribe;
  record.flags_or_count = subscription;
  submissions_->Push(record);
  completions_->LoseEvents();
}

void Session::Die(absl::Status why) {
  {
    const std::lock_guard lock(death_mutex_);
    why_dead_ = std::move(why);
  }
  dead_.store(true, std::memory_order_release);
  reach_.store(0, std::memory_order_release);
  completions_->WakeAll();
  // Its views may need less of it now. This thread is a part of it: let another one look.
  if (IsRetired()) RequestLook();
}

absl::Status Session::WhyUnusable() const {
  if (!FromThisProcess()) {
    return absl::FailedPreconditionError(
        "this handle was made before the fork and belongs to the parent process: get or "
        "create the object again in the child");
  }
  const std::lock_guard lock(death_mutex_);
  if (!why_dead_.ok()) return why_dead_;
  // The ring showed it before the watching thread has read why.
  return absl::UnavailableError(
      "the daemon takes nothing more from this session; the next call says why, or connects anew");
}

void Session::ReturnLeasesAhead() {
  const std::lock_guard lock(returning_);
  completions_->DrainIfReady();
  for (const HeldLease& lease : leases_->TakeAll()) {
    Submission record{};
    record.op = SubmissionOp::kReturnLease;
    record.slot = lease.slot;
    record.generation = lease.generation;
    leases_->CountTaken();  // taken by us, only to be given back
    if (!submissions_->Push(record)) return;
  }
}

}  // namespace penstock::internal
