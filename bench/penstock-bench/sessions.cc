// penstock-bench sessions: what idle sessions cost. Three stores, with one idle session, with a
// thousand and with thousands; the same work in each in turn; and what the daemon of the last one
// takes of a core when nothing is done.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/interrupt.h"
#include "bench/harness/paired_runner.h"
#include "bench/harness/private_daemon.h"
#include "bench/penstock-bench/empty_turn.h"
#include "bench/penstock-bench/ring_session.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr int kIdleMember = 1;
constexpr uint64_t kMemoryBytes = 64 * kMiB;
constexpr uint64_t kBlock = 64;
constexpr uint32_t kSlots = 1'200'000;  // more than fit: bytes are what is short
constexpr size_t kBatch = 500;
constexpr uint32_t kInFlight = 128;
constexpr uint64_t kBytes = 40;
constexpr double kPatienceSeconds = 30;
constexpr uint32_t kSomeSessions = 1000;
constexpr double kSampleSeconds = 0.1;
constexpr int64_t kIdle_ns = 6'000'000'000;
constexpr int64_t kQuickIdle_ns = 500'000'000;
// What must hold, with a thousand and with thousands.
constexpr double kLeastSealDelete[] = {0.8, 0.5};
constexpr double kMostEvict[] = {1.5, 4};
constexpr double kMostEmptyTurn_us = 5;
constexpr double kMostIdlePercent = 0.5;

using Sessions = std::vector<std::unique_ptr<RingSession>>;

// Adds idle sessions to those that the member has.
absl::Status PlayOpen(Member& member, const RoleOrder& order, RoleAnswer&) {
  RaiseDescriptorLimit();
  if (!member.belongings.has_value()) member.belongings = std::make_shared<Sessions>();
  Sessions& all = *std::any_cast<std::shared_ptr<Sessions>>(member.belongings);
  const RingSession* first = nullptr;
  for (uint64_t i = 0; i < order.count; ++i) {
    PENSTOCK_ASSIGN_OR_RETURN(auto session, RingSession::Open(order.text, first));
    if (first == nullptr) first = session.get();
    all.push_back(std::move(session));
  }
  return absl::OkStatus();
}

// Nanoseconds on a core, of all threads of a process.
absl::StatusOr<uint64_t> CpuNsOf(pid_t pid) {
  uint64_t sum_ns = 0;
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    std::ifstream file(task.path() / "schedstat");
    uint64_t ns = 0;
    if (file >> ns) sum_ns += ns;
  }
  if (error || sum_ns == 0) {
    return absl::UnavailableError("/proc does not say what the daemon takes of a core: a kernel "
                                  "without schedstat?");
  }
  return sum_ns;
}

// A store with idle sessions, and who works in it.
class CrowdedStore {
 public:
  static absl::StatusOr<std::unique_ptr<CrowdedStore>> Start(Crew& crew, uint32_t idle) {
    PENSTOCK_ASSIGN_OR_RETURN(auto daemon,
                              PrivateDaemon::Start({.memory_bytes = kMemoryBytes,
                                                    .objects = kSlots,
                                                    .max_sessions = 8192}));
    std::fprintf(stderr, "sessions: opening %u\n", idle);
    Part part{kIdleMember, PlayOpen, {}};
    part.order.count = idle;
    std::snprintf(part.order.text, sizeof(part.order.text), "%s", daemon->dir().c_str());
    PENSTOCK_RETURN_IF_ERROR(crew.Play({&part, 1}, absl::Minutes(5)).status());
    return std::unique_ptr<CrowdedStore>(new CrowdedStore(idle, std::move(daemon)));
  }

  uint32_t idle() const { return idle_; }
  const PrivateDaemon& daemon() const { return *daemon_; }

  absl::Status BeginSealing() {
    PENSTOCK_ASSIGN_OR_RETURN(client_, daemon_->Connect());
    PENSTOCK_ASSIGN_OR_RETURN(worker_, RingSession::Open(daemon_->dir()));
    return absl::OkStatus();
  }
  // Small objects sealed and deleted, until the daemon has deleted the last: its own rate, for no
  // round trip is in it.
  absl::Status SealAndDelete(Sample& sample) {
    const int64_t start_ns = NowNs();
    uint64_t made = 0;
    while (SecondsSince(start_ns) < kSampleSeconds) {
      PENSTOCK_RETURN_IF_ERROR(Work(/*evictable=*/false));
      made += kInFlight;
    }
    Submission sync{};
    sync.op = SubmissionOp::kSync;
    PENSTOCK_RETURN_IF_ERROR(worker_->Ask(sync).status());
    sample.Add(static_cast<double>(made) / SecondsSince(start_ns), made);
    return absl::OkStatus();
  }
  // The same by the library, which is granted fewer blocks ahead the more sessions there are.
  absl::Status SealAndDeleteByLibrary(Sample& sample) {
    const std::vector<uint64_t> sizes(kBatch, kBytes);
    const int64_t start_ns = NowNs();
    uint64_t made = 0;
    while (SecondsSince(start_ns) < kSampleSeconds) {
      PENSTOCK_ASSIGN_OR_RETURN(std::vector<Builder> builders, client_->CreateMany(sizes));
      PENSTOCK_ASSIGN_OR_RETURN(const std::vector<ObjectId> ids, client_->SealMany(builders));
      for (const ObjectId& id : ids) PENSTOCK_RETURN_IF_ERROR(client_->Delete(id));
      made += ids.size();
    }
    PENSTOCK_RETURN_IF_ERROR(client_->Sync());
    sample.Add(static_cast<double>(made) / SecondsSince(start_ns), made);
    return absl::OkStatus();
  }

  // Fills the store with what may be dropped.
  absl::Status BeginEvicting() {
    client_ = absl::UnknownError("closed");
    for (uint64_t evicted = 0; evicted == 0;) {
      for (uint64_t i = 0; i < kMemoryBytes / kBlock / kInFlight / 8; ++i) {
        PENSTOCK_RETURN_IF_ERROR(Work(/*evictable=*/true));
      }
      PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus status, daemon_->Status());
      evicted = status.Counter("evicted");
    }
    return absl::OkStatus();
  }
  // Each of these takes the place of another.
  absl::Status Evict(Sample& sample) {
    PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus before, daemon_->Status());
    const int64_t start_ns = NowNs();
    while (SecondsSince(start_ns) < kSampleSeconds) {
      PENSTOCK_RETURN_IF_ERROR(Work(/*evictable=*/true));
    }
    const double took_us = SecondsSince(start_ns) * 1e6;
    PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus after, daemon_->Status());
    const uint64_t evicted = after.Counter("evicted") - before.Counter("evicted");
    if (evicted == 0) return absl::DataLossError("nothing was evicted in a full store");
    sample.Add(took_us / static_cast<double>(evicted), evicted);
    return absl::OkStatus();
  }

 private:
  CrowdedStore(uint32_t idle, std::unique_ptr<PrivateDaemon> daemon)
      : idle_(idle), daemon_(std::move(daemon)) {}

  // Objects of a block each, sealed, and deleted again where they are not evictable. Many
  // questions for one block each are under way together: no round trip is in the figure.
  absl::Status Work(bool evictable) {
    for (uint32_t i = 0; i < kInFlight; ++i) {
      Submission lease{};
      lease.op = SubmissionOp::kLease;
      lease.request = i + 1;
      lease.size = kBlock;
      lease.flags_or_count = 1;
      PENSTOCK_RETURN_IF_ERROR(Write(lease));
    }
    worker_->Publish();
    const int64_t start_ns = NowNs();
    leases_.clear();
    for (uint32_t answered = 0; answered < kInFlight;) {
      worker_->Take([&](const Completion& completion) {
        answered += completion.request != 0;
        if (completion.op != CompletionOp::kGrant) return;
        leases_.insert(leases_.end(), completion.grant.leases,
                       completion.grant.leases + completion.count);
      });
      if (worker_->IsRevoked() || SecondsSince(start_ns) > kPatienceSeconds) {
        return absl::AbortedError("the daemon grants no leases");
      }
    }
    if (leases_.size() != kInFlight) return absl::DataLossError("a lease was refused");
    for (const GrantedLease& lease : leases_) {
      Submission record{};
      record.op = SubmissionOp::kSeal;
      record.slot = lease.slot();
      record.generation = lease.generation;
      record.id = worker_->NextId();
      record.size = kBytes;
      record.flags_or_count = evictable ? kSealEvictable : 0u;
      PENSTOCK_RETURN_IF_ERROR(Write(record));
      if (evictable) continue;
      record.op = SubmissionOp::kDelete;
      PENSTOCK_RETURN_IF_ERROR(Write(record));
    }
    worker_->Publish();
    return absl::OkStatus();
  }

  absl::Status Write(const Submission& record) {
    const int64_t start_ns = NowNs();
    while (!worker_->TryWrite(record)) {
      worker_->Publish();
      if (worker_->IsRevoked() || SecondsSince(start_ns) > kPatienceSeconds) {
        return absl::AbortedError("the daemon takes no more records");
      }
    }
    return absl::OkStatus();
  }

  const uint32_t idle_;
  const std::unique_ptr<PrivateDaemon> daemon_;
  absl::StatusOr<Client> client_ = absl::UnknownError("not connected");
  std::unique_ptr<RingSession> worker_;
  std::vector<GrantedLease> leases_;
};

using Stores = std::vector<std::unique_ptr<CrowdedStore>>;

// A row for each store: the first is the floor of the others.
Group GroupOf(const Stores& stores, const char* name, const char* unit, Kind kind,
              absl::Status (CrowdedStore::*take)(Sample&)) {
  Group group;
  for (const auto& store : stores) {
    Series series;
    series.name = fmt::format("{}_{}", name, store->idle());
    series.unit = unit;
    series.kind = kind;
    series.take = [at = store.get(), take](Sample& sample) { return (at->*take)(sample); };
    if (store == stores.front()) {
      group.floor = std::move(series);
    } else {
      group.values.push_back(std::move(series));
    }
  }
  return group;
}

class Bounds {
 public:
  Bounds(const RunOptions& options, Report& report) : options_(options), report_(report) {}

  void Expect(bool holds, const std::string& what) {
    if (holds || options_.quick) return;
    report_.verification.Fail("MISSED: " + what);
    report_.notes.push_back("MISSED: " + what);
  }
  // Of the rows of thousands and of a thousand, the ratios to that of one.
  void ExpectRatios(const Stores& stores, const char* name, const double (&bounds)[2],
                    bool at_least) {
    for (size_t i = 1; i < stores.size(); ++i) {
      const std::string row = fmt::format("{}_{}", name, stores[i]->idle());
      Result* const result = report_.Find(row);
      const double ratio = result == nullptr ? 0 : result->ratio.value_or(0);
      const double bound = bounds[i - 1];
      if (result != nullptr) result->more[at_least ? "least_ratio" : "most_ratio"] = bound;
      Expect(at_least ? ratio >= bound : ratio > 0 && ratio <= bound,
             fmt::format("{} is {:.3f} x that with one session, {} {} it may be{}", row, ratio,
                         at_least ? "at least" : "at most", bound,
                         result != nullptr && result->noisy ? " (NOISY: run it again)" : ""));
    }
  }

 private:
  const RunOptions& options_;
  Report& report_;
};

absl::Status MeasureIdle(const CrowdedStore& store, const RunOptions& options, Report& report,
                         Bounds& bounds) {
  std::fprintf(stderr, "sessions: resting\n");
  SleepNs(1'000'000'000);
  PENSTOCK_ASSIGN_OR_RETURN(const uint64_t before_ns, CpuNsOf(store.daemon().pid()));
  const int64_t start_ns = NowNs();
  SleepNs(options.quick ? kQuickIdle_ns : kIdle_ns);
  PENSTOCK_ASSIGN_OR_RETURN(const uint64_t after_ns, CpuNsOf(store.daemon().pid()));
  const double percent = static_cast<double>(after_ns - before_ns) /
                         static_cast<double>(NowNs() - start_ns) * 100;
  Result result = Figure(fmt::format("idle_cpu_{}", store.idle()), "%", percent);
  result.more["most"] = kMostIdlePercent;
  report.results.push_back(std::move(result));
  bounds.Expect(percent < kMostIdlePercent,
                fmt::format("a daemon with {} idle sessions takes {:.3f} % of a core, less than "
                            "{} it may be", store.idle(), percent, kMostIdlePercent));
  return absl::OkStatus();
}

absl::Status MeasureEmptyTurns(const std::vector<uint32_t>& counts, const RunOptions& options,
                               Report& report, Bounds& bounds) {
  std::vector<std::unique_ptr<EmptyTurns>> all;
  Group group;
  for (const uint32_t count : counts) {
    PENSTOCK_ASSIGN_OR_RETURN(all.emplace_back(), EmptyTurns::Make(count));
    Series series;
    series.name = fmt::format("empty_turn_us_{}", count);
    series.unit = "us";
    series.take = [turns = all.back().get()](Sample& sample) {
      sample.Add(turns->Take());
      return absl::OkStatus();
    };
    if (count == counts.front()) {
      group.floor = std::move(series);
    } else {
      group.values.push_back(std::move(series));
    }
  }
  PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
  for (const uint32_t count : counts) {
    const std::string name = fmt::format("empty_turn_us_{}", count);
    Result* const result = report.Find(name);
    if (result == nullptr) continue;
    result->more["most"] = kMostEmptyTurn_us;
    bounds.Expect(result->value <= kMostEmptyTurn_us,
                  fmt::format("{}: {:.2f}, at most {} it may be", name, result->value,
                              kMostEmptyTurn_us));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunSessions(Crew& crew, const RunOptions& options, Report& report) {
  Bounds bounds(options, report);
  uint32_t most = options.quick ? std::min(options.sessions, 200u) : options.sessions;
  // Those of the benchmark itself come on top.
  const uint32_t allowed = MostSessionsHere();
  if (most + 8 > allowed) {
    bounds.Expect(false, fmt::format(
        "{} sessions: a daemon of this host can have {}, for a session takes {} descriptors and "
        "{} are allowed (ulimit -Hn); what follows is with fewer", most, allowed,
        RingSession::kDaemonDescriptors, RaiseDescriptorLimit()));
    most = allowed - 8;
  }
  const uint32_t some = options.quick ? 50 : std::min(kSomeSessions, most - 1);
  const std::vector<uint32_t> counts = {1, some, most};
  // The core is this process's own here, so it needs no descriptors.
  PENSTOCK_RETURN_IF_ERROR(MeasureEmptyTurns(
      {1, some, options.quick ? most : options.sessions}, options, report, bounds));
  Stores stores;
  for (const uint32_t count : counts) {
    PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
    PENSTOCK_ASSIGN_OR_RETURN(stores.emplace_back(), CrowdedStore::Start(crew, count));
  }
  report.host.pages = PagesName(stores.front()->daemon().is_huge());
  report.host.io = "epoll";
  PENSTOCK_RETURN_IF_ERROR(MeasureIdle(*stores.back(), options, report, bounds));
  std::fprintf(stderr, "sessions: seals and deletes\n");
  for (const auto& store : stores) PENSTOCK_RETURN_IF_ERROR(store->BeginSealing());
  PENSTOCK_RETURN_IF_ERROR(RunGroup(GroupOf(stores, "seal_delete_per_s", "1/s", Kind::kRate,
                                            &CrowdedStore::SealAndDelete),
                                    options, report));
  bounds.ExpectRatios(stores, "seal_delete_per_s", kLeastSealDelete, /*at_least=*/true);
  PENSTOCK_RETURN_IF_ERROR(RunGroup(GroupOf(stores, "library_seal_delete_per_s", "1/s",
                                            Kind::kRate, &CrowdedStore::SealAndDeleteByLibrary),
                                    options, report));
  std::fprintf(stderr, "sessions: evictions\n");
  for (const auto& store : stores) PENSTOCK_RETURN_IF_ERROR(store->BeginEvicting());
  PENSTOCK_RETURN_IF_ERROR(RunGroup(
      GroupOf(stores, "evict_us", "us", Kind::kLatency, &CrowdedStore::Evict), options, report));
  bounds.ExpectRatios(stores, "evict_us", kMostEvict, /*at_least=*/false);
  for (const auto& store : stores) {
    PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus status, store->daemon().Status());
    if (status.Counter("sessions") < store->idle()) {
      report.verification.Fail(fmt::format("of {} idle sessions {} are there at the end",
                                           store->idle(), status.Counter("sessions")));
    }
  }
  report.verified = "every idle session was there to the end, and every bound kept";
  if (options.quick) {
    report.AddNote("quick: counts are reduced, and no bound is looked at");
  }
  return absl::OkStatus();
}

}  // namespace penstock::bench
