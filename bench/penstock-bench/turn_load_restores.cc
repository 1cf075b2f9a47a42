// Scenario b: gets of objects that are on disk, tens of thousands at once, of which many are
// cancelled by a deadline that passes; beside them single gets with deadlines, in the same session
// and in others.
//
// There is room in memory for all that comes back: what a restore waits for is the disk and the
// daemon, and not that others let go. Each set of objects is asked for twice, with a deadline that
// passes and with one that does not, and is then in memory; what pushed all sets out to disk was
// deleted before.
#include <algorithm>
#include <random>
#include <vector>

#include "bench/harness/clock.h"
#include "bench/penstock-bench/turn_load.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kAtOnce = 60'000;
constexpr uint64_t kQuickAtOnce = 4'000;
constexpr uint64_t kSets = 5;
constexpr uint64_t kTimesInMemory = 8;  // of a set
constexpr uint64_t kBallastBytes = 512 * kKiB;
constexpr uint64_t kBytes = 1000;
constexpr uint64_t kBlock = 1024;
constexpr int kCallers = 4;
constexpr int kSingles = 4;
constexpr absl::Duration kShort = absl::Milliseconds(50);
constexpr absl::Duration kQuickShort = absl::Milliseconds(3);
constexpr absl::Duration kLong = absl::Seconds(30);
constexpr double kPatienceSeconds = 120;

uint64_t AtOnce(bool quick) { return quick ? kQuickAtOnce : kAtOnce; }

class RestoreLoad : public TurnLoad {
 public:
  using TurnLoad::TurnLoad;

  absl::Status Prepare() override {
    PENSTOCK_ASSIGN_OR_RETURN(client_, Connect());
    PENSTOCK_ASSIGN_OR_RETURN(
        ids_, MakeStock(*client_, kSets * AtOnce(options().quick),
                        {.priority = Priority::kLow, .deadline = absl::Minutes(1)}, kBytes));
    PENSTOCK_RETURN_IF_ERROR(PushOut());
    PENSTOCK_ASSIGN_OR_RETURN(restored_before_, Counter("restored"));
    return absl::OkStatus();
  }

  absl::Status Run() override {
    LateWatch watch;
    absl::Status status;
    {
      std::vector<std::jthread> singles;
      std::vector<absl::Status> ends(kSingles);
      for (int i = 0; i < kSingles; ++i) {
        singles.emplace_back([this, i, &watch, &ends](const std::stop_token& stop) {
          ends[i] = GetSingly(stop, i, watch);
        });
      }
      status = RunRounds(watch);
      for (std::jthread& single : singles) single.request_stop();
      for (std::jthread& single : singles) single.join();
      for (const absl::Status& end : ends) status.Update(end);
    }
    late_ = watch.Finish();
    return status;
  }

  absl::Status Tell(LoadBoard& board) override {
    PENSTOCK_ASSIGN_OR_RETURN(const uint64_t restored, Counter("restored"));
    board.Add("restores", restored - restored_before_, AtOnce(options().quick));
    board.Add("asked_for_at_once", AtOnce(options().quick), AtOnce(options().quick));
    board.Add("restoring_at_once", most_restoring_);
    board.Add("gets_cancelled", cancelled_, options().quick ? 0 : 1);
    board.Add("gets_answered", answered_, 1);
    board.Add("worst_late_lists_ms", static_cast<uint64_t>(late_lists_ms_));
    board.Add("worst_late_single_ms", static_cast<uint64_t>(late_beside_ms_));
    board.Add("worst_late_other_session_ms", static_cast<uint64_t>(late_in_others_ms_));
    board.late = late_;
    return absl::OkStatus();
  }

 private:
  // Of low priority, the sets go first.
  absl::Status PushOut() {
    Progress progress("restores");
    std::vector<ObjectId> ballast;
    const int64_t start_ns = NowNs();
    for (uint64_t spilled = 0; spilled < ids_.size();) {
      PENSTOCK_ASSIGN_OR_RETURN(const std::vector<ObjectId> more,
                                MakeStock(*client_, 1, {.deadline = absl::Minutes(1)},
                                          kBallastBytes));
      ballast.insert(ballast.end(), more.begin(), more.end());
      if (ballast.size() % 16 != 0) continue;
      PENSTOCK_ASSIGN_OR_RETURN(spilled, Counter("spilled_objects"));
      progress.Tell("objects on disk", spilled, ids_.size());
      if (SecondsSince(start_ns) > kPatienceSeconds) {
        return absl::DeadlineExceededError("the objects do not go to disk");
      }
    }
    for (const ObjectId& id : ballast) PENSTOCK_RETURN_IF_ERROR(client_->Delete(id));
    return client_->Sync();
  }

  absl::Status RunRounds(LateWatch& watch) {
    Progress progress("restores");
    const int64_t start_ns = NowNs();
    for (uint64_t round = 0; round < 2 * kSets; ++round) {
      PENSTOCK_RETURN_IF_ERROR(RunRound(round, watch));
      PENSTOCK_ASSIGN_OR_RETURN(const uint64_t restored, Counter("restored"));
      const uint64_t done = restored - restored_before_;
      progress.Tell("restores", done, AtOnce(options().quick));
      const bool is_enough = NowNs() - start_ns >= options().least_ns &&
                             done >= AtOnce(options().quick);
      if (is_enough && round % 2 == 1) break;
    }
    return absl::OkStatus();
  }

  // All of one set, by several callers at once.
  absl::Status RunRound(uint64_t round, LateWatch& watch) {
    const uint64_t at_once = AtOnce(options().quick);
    const absl::Duration deadline =
        round % 2 == 1 ? kLong : options().quick ? kQuickShort : kShort;
    const std::span<const ObjectId> set(ids_.data() + round / 2 * at_once, at_once);
    std::vector<absl::Status> ends(kCallers);
    std::vector<std::jthread> callers;
    for (int i = 0; i < kCallers; ++i) {
      callers.emplace_back([this, i, set, deadline, &watch, &ends] {
        const size_t part = set.size() / kCallers;
        ends[i] = GetPart(set.subspan(part * i, part), deadline, watch);
      });
    }
    SleepNs(20'000'000);
    PENSTOCK_ASSIGN_OR_RETURN(const uint64_t restoring, Counter("restoring"));
    most_restoring_ = std::max(most_restoring_, restoring);
    for (std::jthread& caller : callers) caller.join();
    for (const absl::Status& end : ends) PENSTOCK_RETURN_IF_ERROR(end);
    return absl::OkStatus();
  }

  absl::Status GetPart(std::span<const ObjectId> ids, absl::Duration deadline, LateWatch& watch) {
    Client client = *client_;
    const int64_t began_ns = NowNs();
    const auto views = client.GetMany(ids, deadline);
    uint64_t cancelled = 0;
    for (const auto& view : views) {
      if (absl::IsDeadlineExceeded(view.status())) {
        ++cancelled;
      } else if (!view.ok()) {
        return view.status();
      }
    }
    NoteLate(late_lists_ms_, watch.Add(began_ns, deadline, cancelled > 0));
    Count(views.size() - cancelled, cancelled);
    return absl::OkStatus();
  }

  // One that is on disk, and one that nobody makes.
  absl::Status GetSingly(const std::stop_token& stop, int number, LateWatch& watch) {
    const bool is_own = number % 2 == 0;
    PENSTOCK_ASSIGN_OR_RETURN(Client client, is_own ? Connect() : client_);
    std::mt19937_64 random(static_cast<uint64_t>(number) + 1);
    const ObjectId missing = ObjectId::Random();
    for (uint64_t i = 0; !stop.stop_requested(); ++i) {
      const ObjectId id = i % 2 == 0 ? missing : ids_[random() % ids_.size()];
      const absl::Duration deadline =
          absl::Milliseconds(std::uniform_int_distribution<int>(1, 20)(random));
      const int64_t began_ns = NowNs();
      const absl::StatusOr<ObjectView> view = client.Get(id, deadline);
      const bool has_passed = absl::IsDeadlineExceeded(view.status());
      if (!view.ok() && !has_passed) return view.status();
      const double late_ms = watch.Add(began_ns, deadline, has_passed);
      NoteLate(is_own ? late_in_others_ms_ : late_beside_ms_, late_ms);
      if (id != missing) Count(!has_passed, has_passed);
    }
    return absl::OkStatus();
  }

  void NoteLate(double& worst_ms, double late_ms) {
    const std::lock_guard lock(mutex_);
    worst_ms = std::max(worst_ms, late_ms);
  }

  void Count(uint64_t answered, uint64_t cancelled) {
    const std::lock_guard lock(mutex_);
    answered_ += answered;
    cancelled_ += cancelled;
  }

  absl::StatusOr<Client> client_ = absl::UnknownError("not connected");
  std::vector<ObjectId> ids_;
  uint64_t restored_before_ = 0;
  uint64_t most_restoring_ = 0;
  LateCalls late_;
  std::mutex mutex_;  // guards what follows
  uint64_t answered_ = 0;
  uint64_t cancelled_ = 0;
  double late_lists_ms_ = 0;      // the worst of the GetMany
  double late_beside_ms_ = 0;     // of the single gets in their session
  double late_in_others_ms_ = 0;  // of those in sessions of their own
};

}  // namespace

std::unique_ptr<TurnLoad> MakeRestoreLoad(LoadOptions options) {
  return std::make_unique<RestoreLoad>(std::move(options));
}

PrivateDaemonOptions RestoreDaemon(bool quick, uint32_t, const std::string& spill_dir) {
  PrivateDaemonOptions options;
  options.memory_bytes = RoundUp(kTimesInMemory * AtOnce(quick) * kBlock, 2 * kMiB);
  options.objects = static_cast<uint32_t>(2 * kSets * AtOnce(quick));
  options.spill_dir = spill_dir;
  return options;
}

}  // namespace penstock::bench
