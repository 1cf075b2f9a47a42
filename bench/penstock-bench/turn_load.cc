// What the loads share.
#include "bench/penstock-bench/turn_load.h"

#include <algorithm>
#include <cstdio>

#include "bench/harness/clock.h"
#include "bench/harness/statistics.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr size_t kBatch = 500;
constexpr int64_t kSleep_ns = 1'000'000;
constexpr double kMostLate_ms = 50;
constexpr int64_t kBetweenWords_ns = 2'000'000'000;

}  // namespace

absl::StatusOr<uint64_t> TurnLoad::Counter(std::string_view name) const {
  PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus status, QueryStatus(options_.dir,
                                                                   absl::Minutes(1)));
  return status.Counter(name);
}

LateWatch::LateWatch() : sleeper_([this](const std::stop_token& stop) { SleepOn(stop); }) {}

LateWatch::~LateWatch() = default;

void LateWatch::SleepOn(const std::stop_token& stop) {
  int64_t longest_ns = 0;
  while (!stop.stop_requested()) {
    const int64_t began_ns = NowNs();
    SleepNs(kSleep_ns);
    longest_ns = std::max(longest_ns, NowNs() - began_ns - kSleep_ns);
  }
  const std::lock_guard lock(mutex_);
  longest_pause_ns_ = longest_ns;
}

double LateWatch::Add(int64_t began_ns, absl::Duration deadline, bool has_passed) {
  const int64_t late_ns = NowNs() - began_ns - absl::ToInt64Nanoseconds(deadline);
  const double late_ms = std::max(0.0, static_cast<double>(late_ns) * 1e-6);
  const std::lock_guard lock(mutex_);
  late_ms_.push_back(late_ms);
  passed_ += has_passed;
  return late_ms;
}

LateCalls LateWatch::Finish() {
  sleeper_.request_stop();
  if (sleeper_.joinable()) sleeper_.join();
  LateCalls late;
  late.calls = late_ms_.size();
  late.passed = passed_;
  late.longest_pause_ms = static_cast<double>(longest_pause_ns_) * 1e-6;
  if (late_ms_.empty()) return late;
  std::sort(late_ms_.begin(), late_ms_.end());
  late.beyond_50ms = static_cast<uint64_t>(
      late_ms_.end() - std::upper_bound(late_ms_.begin(), late_ms_.end(), kMostLate_ms));
  late.worst_ms = late_ms_.back();
  late.p999_ms = Quantile(std::move(late_ms_), 0.999);
  return late;
}

absl::StatusOr<std::vector<ObjectId>> MakeStock(Client& client, uint64_t objects,
                                                const CreateOptions& options, uint64_t bytes) {
  std::vector<ObjectId> ids;
  ids.reserve(objects);
  while (ids.size() < objects) {
    const std::vector<uint64_t> sizes(std::min<uint64_t>(kBatch, objects - ids.size()), bytes);
    PENSTOCK_ASSIGN_OR_RETURN(std::vector<Builder> builders, client.CreateMany(sizes, options));
    for (const Builder& builder : builders) {
      std::fill(builder.data().begin(), builder.data().end(), std::byte{1});
    }
    PENSTOCK_ASSIGN_OR_RETURN(const std::vector<ObjectId> made, client.SealMany(builders));
    ids.insert(ids.end(), made.begin(), made.end());
  }
  PENSTOCK_RETURN_IF_ERROR(client.Sync());
  return ids;
}

Progress::Progress(const char* name) : name_(name), told_ns_(NowNs()) {}

void Progress::Tell(std::string_view what, uint64_t done, uint64_t of) {
  if (NowNs() - told_ns_ < kBetweenWords_ns) return;
  told_ns_ = NowNs();
  std::fprintf(stderr, "turns: %s: %llu%s %.*s\n", name_, static_cast<unsigned long long>(done),
               of == 0 ? "" : (" of " + std::to_string(of)).c_str(),
               static_cast<int>(what.size()), what.data());
}

std::vector<Scenario> Scenarios() {
  return {
      {'a', "pinned", "creators wait, and all that could be dropped for them is pinned",
       MakePinnedLoad, PinnedDaemon},
      {'b', "restores", "gets from the disk, many of them cancelled", MakeRestoreLoad,
       RestoreDaemon},
      {'c', "deaths", "thousands of sessions that end at once", MakeDeathLoad, DeathDaemon},
      {'d', "get_many", "one GetMany of a million ids", MakeGetManyLoad, GetManyDaemon},
      {'e', "create_many", "CreateMany of more objects than there are slots for",
       MakeCreateManyLoad, CreateManyDaemon},
      {'f', "waiters", "gets that wait, by the million", MakeWaiterLoad, WaiterDaemon},
  };
}

}  // namespace penstock::bench
