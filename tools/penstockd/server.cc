// Server: making it, its loop, and what the core asks of it.
#include "tools/penstockd/server.h"

#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "store/base/errors.h"
#include "store/base/spin_lock.h"
#include "store/base/streaming_copy.h"
#include "store/base/process_name.h"
#include "store/base/units.h"
#include "store/shm/host_cpus.h"
#include "store/shm/parking.h"
#include "store/wire/packet_socket.h"
#include "tools/penstockd/coarse_clock.h"

namespace penstock {
namespace {

constexpr int64_t kMostSpin_ns = 100'000;  // what a wake-up costs sleeper and waker
// While busy, sockets are looked at this often. By time and not by turns: under load a turn
// may take a millisecond, and one that only spinning finds counts as well.
constexpr int64_t kBetweenPolls_ns = 2'000'000;
// And while rings are out of sight, whose bells are heard there: so often, or after so many looks
// that found nothing.
constexpr int64_t kBetweenBells_ns = 50'000;
constexpr int kLooksBetweenBells = 16;
constexpr int kSpillRetry_ms = 500;
constexpr int64_t kSecond_ns = 1'000'000'000;
constexpr int64_t kHostRetry_ns = 1 * kSecond_ns;
constexpr uint64_t kLeastFetchedBytes = 64 * kMiB;
constexpr int kBetweenQuotaLooks_ms = 250;
constexpr uint32_t kWarningsPerSecond = 10;

// Never the same twice, also across hosts: random, and never 0, which names use.
uint64_t NewIncarnation() { return ObjectId::Random().session | 1; }

}  // namespace

Server::Server(const DaemonOptions& options)
    : options_(options), spin_(kMostSpin_ns), warnings_(kWarningsPerSecond) {}

Server::~Server() {
  // Clients still connected see their sockets close; tell them why first.
  for (auto& [fd, connection] : connections_) {
    [[maybe_unused]] const absl::Status ignored = SendPacket(
        fd, RefusedMessage(absl::UnavailableError("the daemon was ended in order")));
    sink_.HangUp(std::move(connection->socket));
  }
  copy_choice_.reset();
  populator_.reset();
  node_.reset();
  if (spill_ != nullptr) spill_->RemoveFiles();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Make(const DaemonOptions& options,
                                                     int listen_fd, int stop_fd,
                                                     KeeperChannel keeper, KeptStore kept) {
  std::unique_ptr<Server> server(new Server(options));
  server->keeper_ = std::move(keeper);
  PENSTOCK_RETURN_IF_ERROR(server->Init(listen_fd, stop_fd, std::move(kept)));
  server->keeper_.SendServing();
  return server;
}

absl::Status Server::Init(int listen_fd, int stop_fd, KeptStore kept) {
  listen_fd_ = listen_fd;
  const bool recovers = kept.has_store();
  if (recovers) {
    PENSTOCK_ASSIGN_OR_RETURN(memory_, StoreMemory::Attach(kept));
    PENSTOCK_ASSIGN_OR_RETURN(spill_table_,
                              SpillTableMemory::Attach(std::move(kept.spill_table)));
  } else {
    PENSTOCK_ASSIGN_OR_RETURN(memory_, StoreMemory::Make(options_, NewIncarnation()));
    PENSTOCK_ASSIGN_OR_RETURN(
        spill_table_,
        SpillTableMemory::Make(options_.objects, memory_.index.header().incarnation));
    PENSTOCK_RETURN_IF_ERROR(SendStore());
  }
  PENSTOCK_ASSIGN_OR_RETURN(
      const std::string core_state,
      PrepareCore(std::move(kept.slot_infos), std::move(kept.core_state)));
  PENSTOCK_ASSIGN_OR_RETURN(Reactor reactor, Reactor::Create());
  reactor_ = std::make_unique<Reactor>(std::move(reactor));
  if (!options_.spill_dir.empty()) PENSTOCK_RETURN_IF_ERROR(BeginSpilling());
  if (recovers) PENSTOCK_RETURN_IF_ERROR(Recover(std::move(kept.sessions), core_state));
  PENSTOCK_RETURN_IF_ERROR(reactor_->Watch(listen_fd_, [this] { OnConnect(); }));
  PENSTOCK_RETURN_IF_ERROR(reactor_->Watch(stop_fd, [this] { stopping_ = true; }));
  NodeOptions node;
  node.dir = options_.dir;
  node.cpus = options_.cpus > 0 ? options_.cpus
                                : static_cast<double>(ReadHostCpus().count);
  node.max_workers = options_.max_workers;
  node.started_ahead = std::min(options_.max_workers, static_cast<uint32_t>(node.cpus));
  node_ = std::make_unique<NodeService>(*reactor_, *this, node);
  PENSTOCK_ASSIGN_OR_RETURN(populated_doorbell_, MakeDoorbell());
  PENSTOCK_RETURN_IF_ERROR(
      reactor_->Watch(populated_doorbell_.get(), [this] { OnPopulated(); }));
  const uint32_t copy_plan =
      memory_.index.header().copy_plan.load(std::memory_order_relaxed);
  UseCopyPlan(copy_plan);
  if (copy_plan == 0) {
    copy_choice_.emplace(memory_.arena.data(), arena_bytes(), populated_doorbell_.get());
  }
  populator_ = std::make_unique<Populator>(
      PopulatorTarget{&memory_.arena_file, &memory_.arena},
      PopulatorTarget{&memory_.index_file, &memory_.index_mapping}, populated_doorbell_.get(),
      PopulatorOptions{.collapse = options_.huge_pages != HugePages::kOff,
                       .pages_are_huge = memory_.arena_is_hugetlb,
                       .ready = {memory_.lease_table.extents().begin(),
                                 memory_.lease_table.extents().end()},
                       .goes_on = recovers,
                       .rest_waits = options_.give_back_after_s > 0});
  PENSTOCK_RETURN_IF_ERROR(populator_->Start());
  if (options_.give_back_after_s > 0) {
    idle_memory_.emplace(options_.keep_free_bytes.value_or(arena_bytes() / 8),
                         options_.give_back_after_s * kSecond_ns);
  }
  return absl::OkStatus();
}

absl::Status Server::SendStore() {
  return keeper_.SendStore({.arena = memory_.arena_file.fd(),
                            .index = memory_.index_file.fd(),
                            .arena_read_only = memory_.arena_read_only.get(),
                            .index_read_only = memory_.index_read_only.get(),
                            .leases = memory_.lease_file.fd(),
                            .spill_table = spill_table_.file.fd()});
}

absl::Status Server::BeginSpilling() {
  PENSTOCK_ASSIGN_OR_RETURN(
      spill_, SpillBridge::Open(options_, spill_table_.table, memory_.arena.data()));
  spill_->Attach(core_.get());
  return reactor_->Watch(spill_->notify_fd(), [this] { spill_->Deliver(); });
}

absl::Status Server::Watch(int fd, Reactor::Callback on_ready) {
  return reactor_->Watch(fd, std::move(on_ready));
}

void Server::Run() {
  turn_clock_.Begin();
  while (!stopping_) {
    const bool worked = core_->Turn();
    while (!broken_sockets_.empty()) {
      const int fd = broken_sockets_.back();
      broken_sockets_.pop_back();
      if (const auto found = connections_.find(fd); found != connections_.end()) {
        // Only the socket: the session's pins and leases stand until its process ends.
        reactor_->Remove(fd);
      }
    }
    FetchWanted();
    if (copy_choice_ && copy_choice_->is_busy() &&
        (core_->somebody_waits_for_room() ||
         core_->free_bytes() < copy_choice_->kept_bytes())) {
      copy_choice_->GiveUp();
    }
    const int64_t now_ns = CoarseNowNs();
    if (reactor_->has_more() || now_ns - polled_ns_ >= kBetweenPolls_ns) {
      reactor_->Poll();
      DoNowAndThen(now_ns);
      polled_ns_ = now_ns;
    } else if (core_->depends_on_bells() && turn_clock_.began_ns() >= next_bells_ns_) {
      reactor_->Poll();
      next_bells_ns_ = turn_clock_.began_ns() + kBetweenBells_ns;
    }
    turn_clock_.End();
    if (!worked && !stopping_ && !reactor_->has_more()) SleepUntilNeeded();
  }
}

void Server::SleepUntilNeeded() {
  int looks = 0;
  const auto look = [&] {
    if (++looks % kLooksBetweenBells == 0) {
      if (core_->depends_on_bells()) reactor_->Poll();
      turn_clock_.Begin();
    }
    return core_->Turn() || stopping_;
  };
  if (SpinFor(spin_, look)) {
    turn_clock_.End();
    return;
  }
  // What was heard in between may have left more to do than a turn sees.
  node_->Decide();
  FetchWanted();
  // Before and not after: what is short would be fetched one wake-up late.
  if (idle_memory_ && population_finished_) MoveIdleMemory(CoarseNowNs());
  // SYNC S1 parking, consumer's half.
  if (core_->PreparePark()) {
    reactor_->Wait(MostSleepMs());
    turn_clock_.BeginAwoken();
    if (reactor_->has_more()) reactor_->Poll();
    DoNowAndThen(CoarseNowNs());
    core_->Unpark();
  }
}

void Server::DoNowAndThen(int64_t now_ns) {
  node_->Decide();
  CloseSilent(now_ns);
  sink_.HelpIfStuck();
  // Not sooner: whoever waits for room is told meanwhile that the disk takes nothing.
  if (!core_->spill_stopped()) {
    spill_stopped_since_ns_ = 0;
  } else if (spill_stopped_since_ns_ == 0) {
    spill_stopped_since_ns_ = now_ns;
  } else if (now_ns - spill_stopped_since_ns_ >= kSpillRetry_ms * 1'000'000) {
    core_->RetrySpill();
    spill_stopped_since_ns_ = 0;
  }
  if (host_short_since_ns_ != 0 && now_ns - host_short_since_ns_ >= kHostRetry_ns) {
    host_short_since_ns_ = 0;
    core_->SetHostIsShort(false);
  }
  if (idle_memory_ && population_finished_) MoveIdleMemory(now_ns);
  if (now_ns - quotas_looked_at_ns_ < kBetweenQuotaLooks_ms * 1'000'000) return;
  quotas_looked_at_ns_ = now_ns;
  core_->EnforcePinQuota(now_ns / 1'000'000);
  core_->LookAgainAtKept();
}

void Server::FetchWanted() {
  if (const uint64_t wanted = core_->MemoryWanted(); wanted > 0) {
    populator_->FetchAgain(std::max(wanted, kLeastFetchedBytes));
  }
}

// What nobody needed for a while goes to the host, and comes back before the last of what is
// left is used.
void Server::MoveIdleMemory(int64_t now_ns) {
  const uint64_t free_bytes = core_->free_bytes();
  idle_bytes_ = std::max(idle_bytes_, idle_memory_->Look(now_ns, free_bytes));
  if (idle_bytes_ > 0) {
    if (!core_->MergeFreeBlocks()) return;
    Populator::Extents extents;
    const uint64_t left_bytes = free_bytes - std::min(free_bytes, std::exchange(idle_bytes_, 0));
    const uint64_t kept_bytes = std::max(left_bytes, idle_memory_->keep_bytes());
    for (const auto& [offset, bytes] : core_->TakeFreeExtents(kept_bytes)) {
      extents.emplace_back(offset, bytes);
    }
    populator_->GiveBack(extents);
  } else if (free_bytes < idle_memory_->keep_bytes() / 2 && core_->returned_bytes() > 0 &&
             host_short_since_ns_ == 0) {
    populator_->FetchAgain(idle_memory_->keep_bytes() - free_bytes);
  }
}

// A disk that was full is tried again now and then, and who says nothing is not waited for.
int Server::MostSleepMs() const {
  if (idle_bytes_ > 0) return 0;
  int most_ms = core_->spill_stopped() ? kSpillRetry_ms : -1;
  if (core_->somebody_waits_for_releases() &&
      (options_.pin_quota_bytes > 0 || core_->keeps_any())) {
    most_ms = kBetweenQuotaLooks_ms;
  }
  const auto at_most = [&most_ms](int64_t ns) {
    const int ms = static_cast<int>(std::max<int64_t>(0, ns) / 1'000'000) + 5;
    most_ms = most_ms < 0 ? ms : std::min(most_ms, ms);
  };
  if (!antechamber_.empty()) {
    at_most(antechamber_.silent_since_ns() + kMostSilence_ns - CoarseNowNs());
  }
  if (idle_memory_ && population_finished_ && idle_memory_->is_any_idle()) {
    at_most(idle_memory_->until_ns() - CoarseNowNs());
  }
  if (host_short_since_ns_ != 0) {
    at_most(host_short_since_ns_ + kHostRetry_ns - CoarseNowNs());
  }
  if (sink_.waiting() > 0) at_most(DescriptorSink::kPatience_ns);
  return most_ms;
}

void Server::Wake(SessionRow row) { RingDoorbell(by_row_[row]->client_doorbell.get()); }

void Server::AskForLeases(SessionRow row) {
  // Lost when the client's socket is full or closed; the creator then waits for others.
  [[maybe_unused]] const absl::Status ignored =
      SendPacket(by_row_[row]->socket.get(), ReturnLeasesMessage());
}

void Server::CopyBlock(uint64_t from, uint64_t to, uint64_t bytes) {
  CopyBytes(memory_.arena.data() + to, memory_.arena.data() + from, bytes);
}

void Server::SessionBroken(SessionRow row, const std::string& why) {
  Connection& connection = *by_row_[row];
  Warn(fmt::format("session of {} (user {}) was ended: {}",
                   NameOfProcess(connection.pid), connection.uid, why));
  [[maybe_unused]] const absl::Status ignored = SendPacket(
      connection.socket.get(),
      RefusedMessage(absl::FailedPreconditionError(
          "the daemon ended this session because " + why + ". Connect again; if it was not "
          "a stray write into Penstock's memory, it is a bug worth reporting")));
  broken_sockets_.push_back(connection.socket.get());
}

void Server::PinQuotaExceeded(SessionRow row, uint64_t pinned_bytes) {
  const Connection& connection = *by_row_[row];
  const auto [pinned, quota] = FormatBytesApart(pinned_bytes, options_.pin_quota_bytes);
  Warn(fmt::format("{} (user {}) pins {} while others wait for room, its quota is {}: "
                   "its session will be ended if it goes on", NameOfProcess(connection.pid),
                   connection.uid, pinned, quota));
}

void Server::OnPopulated() {
  DrainDoorbell(populated_doorbell_.get());
  // In this order: the note of a shortage is there, and what was ready before the end of the
  // population is taken before it counts as finished.
  const bool was_short = populator_->TakeShortage();
  const PopulatorProgress progress = populator_->Progress();
  const Populator::Extents ready = populator_->TakeReady();
  for (const auto& [offset, bytes] : copy_choice_ ? copy_choice_->Keep(ready) : ready) {
    core_->AddExtent(offset, bytes);
  }
  if (!ready.empty()) host_short_is_told_ = false;
  if (was_short) {
    host_short_since_ns_ = CoarseNowNs();
    core_->SetHostIsShort(true);
    if (!std::exchange(host_short_is_told_, true)) Warn(progress.note);
  }
  if (progress.done && copy_choice_) copy_choice_->Begin();
  TakeCopyChoice();
  if (progress.done && !copy_choice_ && !population_finished_) {
    population_finished_ = true;
    core_->FinishPopulation();
    if (!progress.note.empty() && !was_short) spdlog::warn("{}", progress.note);
    spdlog::info("arena ready: {} populated, {} of it in huge pages",
                 FormatBytes(progress.populated_bytes), FormatBytes(progress.huge_bytes));
  }
}

// The trial is over: what was kept back for it is there for everybody.
void Server::TakeCopyChoice() {
  if (!copy_choice_) return;
  const std::optional<CopyChoice::Outcome> outcome = copy_choice_->TakeOutcome();
  if (!outcome) return;
  copy_choice_.reset();
  for (const auto& [offset, bytes] : outcome->extents) core_->AddExtent(offset, bytes);
  const uint32_t word = PackCopyPlan(outcome->plan);
  memory_.index.header().copy_plan.store(word, std::memory_order_relaxed);
  UseCopyPlan(word);
  if (word != 0) {
    spdlog::info("copies: {}", Describe(outcome->plan));
  } else {
    spdlog::info("copies: not measured, because {}; the default for this processor holds",
                 arena_bytes() < kLeastMeasuredArenaBytes
                     ? "the arena is below " + FormatBytes(kLeastMeasuredArenaBytes)
                     : "the room for it was needed, or no thread could be started");
  }
}

StatusFacts Server::Status() const {
  const CoreStats stats = core_->Stats();
  const PopulatorProgress progress = populator_->Progress();
  StatusFacts facts;
  facts.counters = {
      {"daemon_pid", static_cast<uint64_t>(getpid())},
      {"restarts", memory_.index.header().restarts.load(std::memory_order_relaxed)},
      {"arena_bytes", stats.arena_bytes},
      {"populated_bytes", progress.populated_bytes},
      {"returned_bytes", progress.returned_bytes},
      {"huge_bytes", progress.huge_bytes},
      {"index_bytes", memory_.index_file.bytes()},
      {"index_huge_bytes", progress.index_huge_bytes},
      {"population_done", population_finished_ ? 1u : 0u},
      {"copy_plan", memory_.index.header().copy_plan.load(std::memory_order_relaxed)},
      {"free_bytes", stats.free_bytes},
      {"object_bytes", stats.object_bytes},
      {"leased_bytes", stats.leased_bytes},
      {"evictable_bytes", stats.evictable_bytes},
      {"objects", stats.objects},
      {"slots", stats.slots},
      {"leases", stats.leases},
      {"doomed", stats.doomed},
      {"sessions", stats.sessions},
      {"room_waiters", stats.room_waiters},
      {"get_waiters", stats.get_waiters},
      {"sealed", stats.sealed},
      {"deleted", stats.deleted},
      {"evicted", stats.evicted},
      {"eviction_looks", stats.eviction_looks},
      {"longest_turn_cpu_ns", static_cast<uint64_t>(turn_clock_.longest_cpu_ns())},
      {"longest_turn_wall_ns", static_cast<uint64_t>(turn_clock_.longest_wall_ns())},
      {"freed", stats.freed},
      {"refused_full", stats.refused_full},
      {"compactions", stats.compactions},
      {"given_up", stats.given_up},
      {"moved_objects", stats.moved_objects},
      {"moved_bytes", stats.moved_bytes},
      {"broken_sessions", stats.broken_sessions},
      {"turned_away", turned_away_},
      {"connections", connections_.size()},
      {"connections_without_session", antechamber_.size()},
      {"spilled_objects", stats.spilled_objects},
      {"clean_bytes", stats.clean_bytes},
      {"spill_writing_bytes", stats.writing_bytes},
      {"restoring", stats.restoring},
      {"spill_written", stats.spill_written},
      {"spilled", stats.spilled},
      {"restored", stats.restored},
      {"spill_failed_writes", stats.spill_failed_writes},
      {"spill_failed_reads", stats.spill_failed_reads},
      {"spill_trouble", stats.spill_trouble},
      {"turns", stats.turns},
      {"records", stats.records},
      {"runtime_processes", node_->processes()},
      {"runtime_workers", node_->workers()},
  };
  if (!progress.note.empty()) facts.notes.push_back(progress.note);
  if (stats.spill_trouble != 0) {
    facts.notes.push_back(
        fmt::format("nothing can be spilled to {} just now: {}", options_.spill_dir,
                    DescribeSpillTrouble(static_cast<SpillTrouble>(stats.spill_trouble),
                                         options_)));
  }
  if (spill_ != nullptr) {
    const SpillStats disk = spill_->stats();
    facts.counters.insert(facts.counters.end(),
                          {{"spill_live_bytes", disk.live_bytes},
                           {"spill_file_bytes", disk.file_bytes},
                           {"spill_files", disk.files},
                           {"spill_written_bytes", disk.written_bytes},
                           {"spill_read_bytes", disk.read_bytes},
                           {"spill_compacted_bytes", disk.compacted_bytes},
                           {"spill_direct", disk.direct ? 1u : 0u},
                           {"spill_uring", disk.io == "io_uring" ? 1u : 0u}});
  }
  return facts;
}

}  // namespace penstock
