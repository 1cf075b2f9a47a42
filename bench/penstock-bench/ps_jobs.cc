// The jobs of `ps`.
#include "bench/penstock-bench/ps_jobs.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/penstock-bench/ps_functions.h"

namespace penstock::bench {
namespace {

uint64_t CountOf(const PsWorkload& workload) { return workload.bytes / sizeof(double); }

void CheckAll(const std::vector<Array<double>>& views, double expected,
              const std::string& name, Verification& verification) {
  for (const Array<double>& view : views) {
    if (!view.AllEqual(expected) || !std::isfinite(expected)) {
      verification.Fail(fmt::format("{}: not every element is {}", name, expected));
    }
  }
}

}  // namespace

PsWay ServerWay(std::string name, const PsWorkload& workload, bool contiguous) {
  const uint64_t count = CountOf(workload);
  const ParameterServer server(count, workload.shards);
  const auto start_worker = [server, count, contiguous](int iterations) {
    return Task(WorkOnParameters).Remote(server, count, iterations, contiguous);
  };
  const auto views = [server] { return server.Views(); };
  const auto whole = [server] { return std::vector<Array<double>>{server.Contiguous()}; };
  if (contiguous) return {std::move(name), start_worker, views, whole};
  return {std::move(name), start_worker, views, views};
}

PsWay PlainActorsWay(std::string name, const PsWorkload& workload, bool contiguous) {
  const uint64_t count = CountOf(workload);
  PlainShards shards;
  for (uint32_t i = 0; i < workload.shards; ++i) {
    shards.push_back(Actor(MakePlainShard).Remote(count / workload.shards));
  }
  const auto start_worker = [shards, count, contiguous](int iterations) {
    return Task(WorkOnPlainShards).Remote(shards, count, iterations, contiguous);
  };
  const auto views = [shards] { return ViewsOf(shards); };
  const auto whole = [shards] {
    return std::vector<Array<double>>{Array<double>::Concatenate(ViewsOf(shards))};
  };
  if (contiguous) return {std::move(name), start_worker, views, whole};
  return {std::move(name), start_worker, views, views};
}

AsynchronousJob::AsynchronousJob(PsWay way, Verification& verification)
    : way_(std::move(way)), verification_(verification) {
  // Only calls of this process are sure to come after the factories, which it called too.
  way_.views();
  expected_ += *way_.start_worker(1).Get();
  Check();
}

double AsynchronousJob::Run(uint32_t workers, uint32_t iterations) {
  const int64_t start_ns = NowNs();
  std::vector<ObjectRef<int>> running;
  for (uint32_t i = 0; i < workers; ++i) {
    running.push_back(way_.start_worker(static_cast<int>(iterations)));
  }
  for (const auto& worker : running) expected_ += *worker.Get();
  // The shards have what the workers sent; asked now, they answer when all is applied.
  way_.views();
  const double seconds = SecondsSince(start_ns);
  Check();
  return seconds;
}

void AsynchronousJob::Check() {
  CheckAll(way_.as_worked_on(), expected_, way_.name, verification_);
}

SynchronousJob::SynchronousJob(std::string name, const PsWorkload& workload,
                               Verification& verification)
    : name_(std::move(name)), workload_(workload), verification_(verification),
      server_(CountOf(workload), workload.shards) {
  RunRound();
  CheckRound();
}

double SynchronousJob::Run() {
  double seconds = 0;
  for (uint32_t i = 0; i < workload_.iterations; ++i) {
    seconds += RunRound();
    CheckRound();
  }
  return seconds;
}

double SynchronousJob::RunRound() {
  const int64_t start_ns = NowNs();
  {
    const std::vector<Array<double>> views = server_.Views();
    std::vector<ObjectRef<Array<double>>> updates;
    for (uint32_t i = 0; i < workload_.workers; ++i) {
      updates.push_back(Task(UpdateFromViews).Remote(views));
    }
    server_.UpdateTogether(updates);
  }
  return SecondsSince(start_ns);
}

// The kernels' roundings, written out: volatile keeps product and sum apart, and the sum of
// the updates adds one after the other.
void SynchronousJob::CheckRound() {
  const volatile double scaled = kScale * expected_;
  const double update = scaled + kSummand;
  for (uint32_t i = 0; i < workload_.workers; ++i) expected_ += update;
  CheckAll(server_.Views(), expected_, name_, verification_);
}

Series SecondsOf(std::string name, std::function<double()> run) {
  Series series{std::move(name), "s", Kind::kLatency, nullptr, {}, nullptr};
  series.take = [run = std::move(run)](Sample& sample) {
    sample.Add(run());
    return absl::OkStatus();
  };
  return series;
}

}  // namespace penstock::bench
