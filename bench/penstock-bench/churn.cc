// penstock-bench churn: a day's worth of creates and deletes in minutes. Sizes log-uniform
// from 64 B to a 128th of the arena (64 MiB of 8 GiB), deaths at random, the arena held at
// 90%. What it costs in bytes wasted, requests refused, bytes moved, and time of gets.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/interrupt.h"
#include "bench/harness/private_daemon.h"
#include "bench/harness/statistics.h"
#include "bench/penstock-bench/churn_reader.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"
#include "store/base/units.h"
#include "store/shm/size_class.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kLeastBytes = 64;
constexpr uint64_t kLargestPart = 128;  // of the arena
constexpr double kHeldPart = 0.9;
constexpr uint64_t kOneCheckedIn = 64;
// For first gets of objects where nothing moves.
constexpr double kRoomyHeldPart = 0.05;
constexpr uint64_t kRoomyOneCheckedIn = 8;
constexpr uint64_t kRoomyPart = 50;  // of the creates
constexpr absl::Duration kDeadline = absl::Seconds(2);
constexpr double kQuietSeconds = 5;

// What must hold.
constexpr double kMostWaste = 0.02;
struct Bars {
  double refused;
  double moved;
};
constexpr Bars kNothingPinned{1e-4, 0.05};
constexpr Bars kSomePinned{1e-3, 0.1};
constexpr double kMostSlower = 2;  // p99 of a get beside the trace, not an object's first,
                                   // over the quiet one; the same of the first after a move
                                   // over the first of an object where nothing moves
constexpr uint64_t kBetweenLooks = 1024;  // at the daemon's accounts

class Trace {
 public:
  Trace(const PrivateDaemon& daemon, Client client, const RunOptions& options,
        uint64_t arena_bytes, ChurnReader& reader, Verification& verification)
      : daemon_(daemon), client_(std::move(client)), options_(options),
        arena_bytes_(arena_bytes), reader_(reader), verification_(verification),
        random_(options.seed) {}

  absl::Status Run(uint64_t creates) {
    const int64_t start_ns = NowNs();
    int64_t told_ns = start_ns;
    for (uint64_t i = 0; i < creates; ++i) {
      PENSTOCK_RETURN_IF_ERROR(CreateOne(i));
      if (i % kBetweenLooks != 0) continue;
      PENSTOCK_RETURN_IF_ERROR(LookAtAccounts());
      if (NowNs() - told_ns < 2'000'000'000) continue;
      PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
      told_ns = NowNs();
      std::fprintf(stderr, "churn: %llu of %llu creates, %llu refused, %.0f s\n",
                   static_cast<unsigned long long>(i),
                   static_cast<unsigned long long>(creates),
                   static_cast<unsigned long long>(refused_), SecondsSince(start_ns));
    }
    return client_.Sync();
  }

  // Deletes most, so that nothing moves for what comes, of which more is checked.
  void LeaveRoom() {
    held_part_ = kRoomyHeldPart;
    one_checked_in_ = kRoomyOneCheckedIn;
    is_roomy_ = true;
  }

  uint64_t refused() const { return refused_; }
  uint64_t checked() const { return checked_; }
  double allocated_bytes() const { return allocated_bytes_; }
  // The most at any look: of the blocks that the daemon has given out, what is no payload.
  double waste() const { return worst_waste_; }
  uint64_t looks() const { return looks_; }

 private:
  struct Object {
    ObjectId id;
    uint64_t block_bytes = 0;
    uint64_t bytes = 0;
    uint64_t seed = 0;  // 0: not checked
    ObjectView view;    // holds it, if it is pinned
  };

  // Once the arena is full. Blocks of objects that the reader still looks at, and of leases that
  // nobody uses, count: they are given out, and no payload of ours is in them.
  absl::Status LookAtAccounts() {
    if (!is_full_ || is_roomy_) return absl::OkStatus();
    PENSTOCK_RETURN_IF_ERROR(client_.Sync());
    PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus status, daemon_.Status());
    const uint64_t given_out = status.Counter("object_bytes") + status.Counter("leased_bytes");
    worst_waste_ = std::max(worst_waste_, 1 - static_cast<double>(live_payload_bytes_) /
                                                  static_cast<double>(given_out));
    ++looks_;
    return absl::OkStatus();
  }

  absl::Status CreateOne(uint64_t number) {
    const double most = static_cast<double>(arena_bytes_ / kLargestPart);
    const double power = std::uniform_real_distribution<double>(
        std::log2(kLeastBytes), std::log2(most))(random_);
    const auto size = static_cast<uint64_t>(std::exp2(power));
    const uint64_t block_bytes = BlockBytes(size);
    const auto held = static_cast<uint64_t>(held_part_ * static_cast<double>(arena_bytes_));
    while (in_use_bytes_ + block_bytes > held && !objects_.empty()) {
      is_full_ = true;
      PENSTOCK_RETURN_IF_ERROR(DeleteOne());
    }
    absl::StatusOr<Builder> builder = client_.Create(size, {.deadline = kDeadline});
    if (absl::IsResourceExhausted(builder.status())) {
      ++refused_;  // a tenth of the arena is free, and it asked for less
      return absl::OkStatus();
    }
    PENSTOCK_RETURN_IF_ERROR(builder.status());
    Object object;
    object.block_bytes = block_bytes;
    object.bytes = size;
    const bool is_checked = number % one_checked_in_ == 0;
    if (is_checked) {
      object.seed = random_() | 1;
      WriteChecked(builder->data(), object.seed);
    }
    if (std::uniform_real_distribution<double>(0, 1)(random_) < options_.pinned) {
      PENSTOCK_ASSIGN_OR_RETURN(object.view, builder->SealToView());
      object.id = builder->id();
    } else {
      PENSTOCK_ASSIGN_OR_RETURN(object.id, builder->Seal());
    }
    if (is_checked) reader_.Add({object.id, object.seed});
    in_use_bytes_ += block_bytes;
    allocated_bytes_ += static_cast<double>(block_bytes);
    live_payload_bytes_ += size;
    objects_.push_back(std::move(object));
    return absl::OkStatus();
  }

  absl::Status DeleteOne() {
    std::swap(objects_[random_() % objects_.size()], objects_.back());
    Object object = std::move(objects_.back());
    objects_.pop_back();
    in_use_bytes_ -= object.block_bytes;
    live_payload_bytes_ -= object.bytes;
    if (object.seed != 0) {
      PENSTOCK_ASSIGN_OR_RETURN(const ObjectView view,
                                client_.Get(object.id, absl::ZeroDuration()));
      if (!IsAsWritten(view.data(), object.seed)) {
        verification_.Fail("churn: an object holds other bytes before its delete");
      }
      ++checked_;
      reader_.Remove(object.id);
    }
    object.view.Release();
    return client_.Delete(object.id);
  }

  const PrivateDaemon& daemon_;
  Client client_;
  const RunOptions& options_;
  const uint64_t arena_bytes_;
  ChurnReader& reader_;
  Verification& verification_;
  std::mt19937_64 random_;
  std::vector<Object> objects_;
  uint64_t in_use_bytes_ = 0;
  uint64_t refused_ = 0;
  uint64_t checked_ = 0;
  double allocated_bytes_ = 0;
  uint64_t live_payload_bytes_ = 0;
  double held_part_ = kHeldPart;
  uint64_t one_checked_in_ = kOneCheckedIn;
  bool is_full_ = false;
  bool is_roomy_ = false;
  double worst_waste_ = 0;
  uint64_t looks_ = 0;
};

Result& Add(Report& report, std::string name, std::string unit, double value) {
  report.results.push_back(Figure(std::move(name), std::move(unit), value));
  return report.results.back();
}

void AddGets(Report& report, std::string name, std::vector<double> get_ns) {
  if (get_ns.empty()) return;
  const uint64_t count = get_ns.size();
  const Quantiles quantiles = QuantilesOf(Kind::kLatency, std::move(get_ns));
  Result& result = Add(report, std::move(name), "ns", quantiles.p50);
  result.quantiles = quantiles;
  result.operations = count;
}

void ExpectAtMost(Report& report, const std::string& name, double value, double most) {
  if (!(value <= most)) {  // nor may there be none
    report.verification.Fail(fmt::format("{}: {:.6f}, at most {} may be", name, value, most));
  }
}

}  // namespace

absl::Status RunChurn(Crew&, const RunOptions& options, Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(const uint64_t memory_bytes,
                            ParseBytes(options.quick ? "256MiB" : options.memory));
  const uint64_t creates = options.quick ? 20'000 : options.creates;
  PENSTOCK_ASSIGN_OR_RETURN(const auto daemon,
                            PrivateDaemon::Start({.memory_bytes = memory_bytes}));
  report.host.pages = PagesName(daemon->is_huge());
  report.host.io = "epoll";
  PENSTOCK_ASSIGN_OR_RETURN(Client maker, daemon->Connect());
  PENSTOCK_ASSIGN_OR_RETURN(Client getter, daemon->Connect());
  ChurnReader reader(std::move(getter), options.seed + 1);
  Trace trace(*daemon, std::move(maker), options, memory_bytes, reader, report.verification);
  reader.Start();
  const int64_t start_ns = NowNs();
  const absl::Status status = trace.Run(creates);
  const double seconds = SecondsSince(start_ns);
  ChurnReader::Outcome busy = reader.Stop();
  PENSTOCK_RETURN_IF_ERROR(status);
  PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus facts, daemon->Status());
  reader.Start();
  SleepNs(static_cast<int64_t>((options.quick ? 0.5 : kQuietSeconds) * 1e9));
  ChurnReader::Outcome quiet = reader.Stop();
  const uint64_t refused_count = trace.refused();
  const double allocated_bytes = trace.allocated_bytes();
  // What a first get costs where nothing moves.
  trace.LeaveRoom();
  PENSTOCK_RETURN_IF_ERROR(trace.Run(1));
  PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus roomy, daemon->Status());
  reader.Start();
  PENSTOCK_RETURN_IF_ERROR(trace.Run(creates / kRoomyPart));
  ChurnReader::Outcome made = reader.Stop();
  PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus still_roomy, daemon->Status());
  if (still_roomy.Counter("moved_objects") != roomy.Counter("moved_objects")) {
    report.verification.Fail("churn: objects moved in a store that is almost empty");
  }
  report.verified = fmt::format(
      "of one object in {}, what was written (up to 64 KiB all, then a word of each 4 KiB)",
      kOneCheckedIn);
  if (busy.wrong + quiet.wrong + made.wrong > 0) {
    report.verification.Fail("churn: a get saw other bytes");
  }
  if (busy.failed + quiet.failed + made.failed > 0) {
    report.verification.Fail("churn: a get did not find an object that is there");
  }

  const Bars bars = options.pinned > 0 ? kSomePinned : kNothingPinned;
  const double refused = static_cast<double>(refused_count) / static_cast<double>(creates);
  const double moved =
      static_cast<double>(facts.Counter("moved_bytes")) / allocated_bytes;
  Result& waste = Add(report, "churn_waste", "of 1", trace.waste());
  waste.more["creates"] = creates;
  waste.more["seconds"] = seconds;
  waste.more["creates_per_s"] = static_cast<double>(creates) / seconds;
  waste.more["looks"] = trace.looks();
  waste.more["pinned"] = options.pinned;
  waste.more["seed"] = options.seed;
  Add(report, "churn_refused", "of 1", refused).more["refused"] = refused_count;
  Result& moves = Add(report, "churn_moved_per_byte", "of 1", moved);
  for (const char* name : {"moved_objects", "moved_bytes", "compactions", "given_up"}) {
    moves.more[name] = facts.Counter(name);
  }
  Add(report, "churn_objects_checked", "objects", static_cast<double>(trace.checked()))
      .more["gets_checked"] =
      busy.get_ns.size() + busy.first_get_ns.size() + quiet.get_ns.size();
  // Those of the first get of an object included.
  std::vector<double> all_ns = busy.get_ns;
  all_ns.insert(all_ns.end(), busy.first_get_ns.begin(), busy.first_get_ns.end());
  AddGets(report, "churn_any_get_ns", std::move(all_ns));
  AddGets(report, "churn_get_ns", std::move(busy.get_ns));
  AddGets(report, "churn_moved_get_ns", std::move(busy.moved_get_ns));
  AddGets(report, "churn_first_get_ns", std::move(busy.first_get_ns));
  AddGets(report, "churn_quiet_get_ns", std::move(quiet.get_ns));
  AddGets(report, "churn_unmoved_first_get_ns", std::move(made.first_get_ns));

  ExpectAtMost(report, "churn_waste", trace.waste(), kMostWaste);
  ExpectAtMost(report, "churn_refused", refused, bars.refused);
  ExpectAtMost(report, "churn_moved_per_byte", moved, bars.moved);
  if (!options.quick) {
    const auto quantiles = [&](const char* name) {
      const Result* const row = report.Find(name);
      return row != nullptr ? row->quantiles : Quantiles{.p50 = std::nan(""), .p99 = std::nan("")};
    };
    ExpectAtMost(report, "churn_get_ns p99 over the quiet one",
                 quantiles("churn_get_ns").p99 / quantiles("churn_quiet_get_ns").p99, kMostSlower);
    // Of the medians: of so few the upper end is the machine's.
    ExpectAtMost(report, "churn_moved_get_ns median over a first get's where nothing moves",
                 quantiles("churn_moved_get_ns").p50 / quantiles("churn_unmoved_first_get_ns").p50,
                 kMostSlower);
  }
  return absl::OkStatus();
}

}  // namespace penstock::bench
