// penstock-bench restart: a daemon that is killed, or handed over, under busy clients; and
// whether everything is there afterwards.
#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/interrupt.h"
#include "bench/harness/private_daemon.h"
#include "bench/penstock-bench/busy_clients.h"
#include "bench/penstock-bench/churn_reader.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kStoredObjects = 1'000'000;
constexpr uint64_t kMemoryBytes = uint64_t{1} << 30;
constexpr uint32_t kSlots = 1'200'000;
constexpr size_t kStoredBytes = 40;
constexpr size_t kBatch = 500;
constexpr int64_t kBetween_ns = 100'000'000;

// Objects that nobody touches: they are what a restart has to find again.
class Stock {
 public:
  explicit Stock(Client client) : client_(std::move(client)) {}

  absl::Status Fill(uint64_t objects) {
    const std::vector<uint64_t> sizes(kBatch, kStoredBytes);
    while (ids_.size() < objects) {
      PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
      PENSTOCK_ASSIGN_OR_RETURN(std::vector<Builder> builders, client_.CreateMany(sizes));
      for (size_t i = 0; i < builders.size(); ++i) {
        WriteChecked(builders[i].data(), ids_.size() + i);
      }
      PENSTOCK_ASSIGN_OR_RETURN(const std::vector<ObjectId> ids, client_.SealMany(builders));
      ids_.insert(ids_.end(), ids.begin(), ids.end());
    }
    return client_.Sync();
  }

  // How many are not there, or have other bytes.
  absl::StatusOr<uint64_t> CountWrong() const {
    uint64_t wrong = 0;
    for (size_t begin = 0; begin < ids_.size(); begin += kBatch) {
      PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
      const std::span<const ObjectId> some(ids_.data() + begin,
                                           std::min(kBatch, ids_.size() - begin));
      const auto views = client_.GetMany(some, absl::ZeroDuration());
      for (size_t i = 0; i < views.size(); ++i) {
        wrong += !views[i].ok() || !IsAsWritten(views[i]->data(), begin + i);
      }
    }
    return wrong;
  }

 private:
  mutable Client client_;
  std::vector<ObjectId> ids_;
};

// The worst is what is promised, so it is the value.
Result Worst(std::string name, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  Result result = Figure(std::move(name), "ms", values.back());
  result.quantiles = {Median(values), Quantile(values, 0.99), values.back()};
  result.operations = values.size();
  result.more["median"] = Median(values);
  return result;
}

double Milliseconds(int64_t ns) { return static_cast<double>(ns) * 1e-6; }

absl::Status Kill(PrivateDaemon& daemon, const BusyClients& clients, int kills,
                  Report& report) {
  std::vector<double> first_ms;
  std::vector<double> all_ms;
  std::vector<double> outage_ms;
  for (int i = 0; i < kills; ++i) {
    PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
    SleepNs(kBetween_ns);
    const int64_t killed_ns = NowNs();
    PENSTOCK_RETURN_IF_ERROR(daemon.KillDaemon());
    const int64_t served_ns = NowNs();  // it has answered
    PENSTOCK_ASSIGN_OR_RETURN(const int64_t all_ns, clients.AllAnsweredSince(killed_ns));
    first_ms.push_back(Milliseconds(served_ns - killed_ns));
    all_ms.push_back(Milliseconds(std::max<int64_t>(0, all_ns - served_ns)));
    outage_ms.push_back(Milliseconds(all_ns - killed_ns));
  }
  report.results.push_back(Worst("restart_serves_after_ms", first_ms));
  report.results.push_back(Worst("restart_all_clients_go_on_ms", all_ms));
  report.results.push_back(Worst("restart_kill_until_all_go_on_ms", outage_ms));
  return absl::OkStatus();
}

absl::Status TakeOver(PrivateDaemon& daemon, BusyClients& clients, int times,
                      Report& report) {
  std::vector<double> quiet_ms;
  std::vector<double> pause_ms;
  for (int i = 0; i < times; ++i) {
    PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
    clients.TakeLongestCall();
    SleepNs(5 * kBetween_ns);
    quiet_ms.push_back(Milliseconds(clients.TakeLongestCall()));
    const int64_t began_ns = NowNs();
    PENSTOCK_RETURN_IF_ERROR(daemon.TakeOver());
    PENSTOCK_RETURN_IF_ERROR(clients.AllAnsweredSince(NowNs()).status());
    SleepNs(std::max<int64_t>(0, 5 * kBetween_ns - (NowNs() - began_ns)));
    pause_ms.push_back(Milliseconds(clients.TakeLongestCall()));
  }
  report.floors.emplace_back("longest call without a take-over, ms",
                             *std::max_element(quiet_ms.begin(), quiet_ms.end()));
  report.results.push_back(Worst("take_over_longest_call_ms", pause_ms));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunRestart(Crew&, const RunOptions& options, Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(BusyClients clients, BusyClients::Fork(options.clients));
  PENSTOCK_ASSIGN_OR_RETURN(const auto daemon, PrivateDaemon::Start({kMemoryBytes, kSlots}));
  PENSTOCK_ASSIGN_OR_RETURN(Client client, daemon->Connect());
  Stock stock(std::move(client));
  const uint64_t objects =
      options.objects ? *options.objects : options.quick ? 20'000 : kStoredObjects;
  PENSTOCK_RETURN_IF_ERROR(stock.Fill(objects));
  PENSTOCK_RETURN_IF_ERROR(clients.Begin(daemon->dir()));
  const int kills = options.quick ? 3 : options.kills;
  const int take_overs = options.quick ? 3 : options.take_overs;
  if (kills > 0) PENSTOCK_RETURN_IF_ERROR(Kill(*daemon, clients, kills, report));
  if (take_overs > 0) PENSTOCK_RETURN_IF_ERROR(TakeOver(*daemon, clients, take_overs, report));
  clients.Finish();
  PENSTOCK_ASSIGN_OR_RETURN(const uint64_t wrong, stock.CountWrong());
  if (wrong > 0) {
    report.verification.Fail(fmt::format("{} of {} objects are gone or altered", wrong, objects));
  }
  if (clients.failures() > 0) {
    report.verification.Fail(fmt::format("{} calls failed, the first: {}", clients.failures(),
                                         clients.first_failure()));
  }
  report.verified = "every stored object, and every one of the clients' before its delete";
  report.notes.push_back(fmt::format(
      "{} stored objects compared, {} clients made {} calls, {} failed; {} kills, {} "
      "take-overs; the worst of each is the value", objects, clients.count(), clients.calls(),
      clients.failures(), kills, take_overs));
  report.host.pages = daemon->is_huge() ? "huge" : "4 KiB";
  return absl::OkStatus();
}

}  // namespace penstock::bench
