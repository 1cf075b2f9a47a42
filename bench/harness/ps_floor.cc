// The traffic of a parameter server on bare memory.
#include "bench/harness/ps_floor.h"

#include <algorithm>
#include <barrier>
#include <cstring>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/pinning.h"
#include "runtime/ps/kernels.h"
#include "store/base/errors.h"
#include "store/base/streaming_copy.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint32_t kVersions = 3;
constexpr double kLearningRate = 1e-3;
constexpr uint32_t kTrialIterations = 2;

void CachedCopy(std::byte* destination, const std::byte* source, size_t bytes) {
  std::memcpy(destination, source, bytes);
}

}  // namespace

std::string NameOf(PsTraffic traffic) {
  const char* const kind = traffic == PsTraffic::kViews        ? "views"
                           : traffic == PsTraffic::kContiguous ? "contiguous"
                                                               : "views_read";
  return fmt::format("ps_{}_floor_s", kind);
}

// The cached SSE2 kernels are what a compiler makes of a plain loop.
struct PsFloor::Way {
  std::string name;
  const ps::KernelSet<double>* kernels;
  ps::Stores stores;
  void (*copy)(std::byte* destination, const std::byte* source, size_t bytes);
};

struct PsFloor::Order {
  PsTraffic traffic;
  const Way* way;
  uint32_t iterations;
  uint64_t run;

  // Every run begins with another value, and no update is its neighbour's: what an earlier
  // pass left in memory is never taken for this one's. All sums are exact.
  double initial() const { return static_cast<double>(run); }
  double summand(uint32_t i) const {
    return static_cast<double>(1 + (run * iterations + i) % 64);
  }
  double UpdateOf(double version, uint32_t i) const {
    if (traffic != PsTraffic::kViewsRead) return summand(i);
    const volatile double scaled = kLearningRate * version;  // rounded by itself
    return scaled + summand(i);
  }
};

class PsFloor::Share {
 public:
  static absl::StatusOr<std::unique_ptr<Share>> Create(const PsWorkload& workload,
                                                       size_t elements) {
    std::unique_ptr<Share> share(new Share(workload.workers, elements));
    PENSTOCK_ASSIGN_OR_RETURN(
        share->area_, CopyArea::Create("ps-floor", (kVersions + uint64_t{workload.workers}) *
                                                       share->stride_bytes_));
    return share;
  }

  // Only the contiguous traffic needs this memory: making it takes time.
  absl::Status MakeContiguous() {
    if (contiguous_.data() != nullptr) return absl::OkStatus();
    PENSTOCK_ASSIGN_OR_RETURN(contiguous_,
                              CopyArea::Create("ps-contiguous", workers_ * stride_bytes_));
    return absl::OkStatus();
  }

  void Prepare(const Order& order) {
    ps::Fill(std::span(Version(0), elements_), order.initial());
  }

  void Run(const Order& order) {
    const Way& way = *order.way;
    for (uint32_t i = 0; i < order.iterations; ++i) {
      const double* const version = Version(i);
      double* const update = Update(i);
      if (order.traffic == PsTraffic::kContiguous) {
        way.copy(reinterpret_cast<std::byte*>(Contiguous(i)),
                 reinterpret_cast<const std::byte*>(version), elements_ * sizeof(double));
      }
      if (order.traffic == PsTraffic::kViewsRead) {
        way.kernels->scale_add(update, version, elements_, kLearningRate, order.summand(i),
                               way.stores);
      } else {
        way.kernels->fill(update, elements_, order.summand(i), way.stores);
      }
      const double* const updates[] = {update};
      way.kernels->add_updates(Version(i + 1), version, updates, 1, elements_, way.stores);
    }
  }

  // What differs from what it should be; empty when nothing does.
  std::string Compare(const Order& order) {
    double version = order.initial();
    for (uint32_t i = 0; i < order.iterations; ++i) {
      const double update = order.UpdateOf(version, i);
      // A later iteration of the same worker has written over it.
      if (i + workers_ >= order.iterations) {
        if (!Holds(Update(i), update)) return fmt::format("update {} is wrong", i);
        if (order.traffic == PsTraffic::kContiguous && !Holds(Contiguous(i), version)) {
          return fmt::format("contiguous array {} is wrong", i);
        }
      }
      version += update;
    }
    if (!Holds(Version(order.iterations), version)) {
      return fmt::format("version {} is wrong", order.iterations);
    }
    return {};
  }

  bool is_huge() const {
    return area_.is_huge() && (contiguous_.data() == nullptr || contiguous_.is_huge());
  }

 private:
  Share(uint32_t workers, size_t elements)
      : workers_(workers), elements_(elements),
        stride_bytes_(RoundUp(elements * sizeof(double), 4 * kKiB)) {}

  double* Slot(const CopyArea& area, uint64_t number) const {
    return reinterpret_cast<double*>(area.data() + number * stride_bytes_);
  }
  double* Version(uint32_t i) const { return Slot(area_, i % kVersions); }
  double* Update(uint32_t i) const { return Slot(area_, kVersions + i % workers_); }
  double* Contiguous(uint32_t i) const { return Slot(contiguous_, i % workers_); }
  bool Holds(const double* values, double x) const {
    return ps::AllEqual(std::span(values, elements_), x);
  }

  uint32_t workers_;
  size_t elements_;
  uint64_t stride_bytes_;  // blocks of the store begin at multiples of 4 KiB too
  CopyArea area_;        // versions and updates
  CopyArea contiguous_;  // made when they are wanted
};

PsFloor::PsFloor(const PsWorkload& workload, std::vector<int> cpus, int trials)
    : workload_(workload), cpus_(std::move(cpus)), trials_(trials), ways_(AllWays()) {}
PsFloor::~PsFloor() = default;

std::vector<PsFloor::Way> PsFloor::AllWays() {
  std::vector<Way> ways;
  for (const ps::KernelSet<double>& set : ps::KernelSets<double>()) {
    // The gather by the copy that is built alike.
    for (const CopyKernel& kernel : CopyKernels()) {
      if (kernel.vector_bytes == set.vector_bytes && (kernel.places > 1) == (set.places > 1)) {
        ways.push_back({fmt::format("streaming {}", set.name), &set, ps::Stores::kStreaming,
                        kernel.copy});
      }
    }
    ways.push_back({fmt::format("cached {}", set.name), &set, ps::Stores::kCached, CachedCopy});
  }
  return ways;
}

absl::StatusOr<std::unique_ptr<PsFloor>> PsFloor::Create(const PsWorkload& workload,
                                                         std::vector<int> cpus, int trials) {
  const uint64_t elements = workload.bytes / sizeof(double);
  cpus.resize(std::min<size_t>(cpus.size(), workload.workers + workload.shards));
  if (workload.bytes % sizeof(double) != 0 || workload.workers == 0 || cpus.empty() ||
      elements < cpus.size()) {
    return absl::InvalidArgumentError(
        fmt::format("no floor for {} bytes of float64, {} workers and {} cpus", workload.bytes,
                    workload.workers, cpus.size()));
  }
  std::unique_ptr<PsFloor> floor(new PsFloor(workload, std::move(cpus), trials));
  const size_t threads = floor->cpus_.size();
  for (size_t i = 0; i < threads; ++i) {
    const size_t share = elements / threads + (i < elements % threads ? 1 : 0);
    PENSTOCK_ASSIGN_OR_RETURN(floor->shares_.emplace_back(), Share::Create(workload, share));
  }
  return floor;
}

bool PsFloor::is_huge() const {
  return std::all_of(shares_.begin(), shares_.end(),
                     [](const auto& share) { return share->is_huge(); });
}

absl::StatusOr<double> PsFloor::RunAll(PsTraffic traffic, const Way& way, uint32_t iterations,
                                       Verification& verification) {
  struct Outcome {
    absl::Status status;
    int64_t start_ns = 0;
    int64_t end_ns = 0;
    std::string fault;
  };
  const Order order{traffic, &way, iterations, ++runs_};
  std::vector<Outcome> outcomes(cpus_.size());
  std::barrier ready(static_cast<std::ptrdiff_t>(cpus_.size()));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < cpus_.size(); ++i) {
    threads.emplace_back([&, i] {
      Outcome& outcome = outcomes[i];
      outcome.status = PinToCpu(cpus_[i]);
      shares_[i]->Prepare(order);
      ready.arrive_and_wait();
      outcome.start_ns = NowNs();
      shares_[i]->Run(order);
      outcome.end_ns = NowNs();
      ready.arrive_and_wait();  // comparing takes memory bandwidth too
      outcome.fault = shares_[i]->Compare(order);
    });
  }
  for (std::thread& thread : threads) thread.join();
  int64_t start_ns = outcomes[0].start_ns;
  int64_t end_ns = outcomes[0].end_ns;
  for (const Outcome& outcome : outcomes) {
    PENSTOCK_RETURN_IF_ERROR(outcome.status);
    start_ns = std::min(start_ns, outcome.start_ns);
    end_ns = std::max(end_ns, outcome.end_ns);
    if (!outcome.fault.empty()) {
      verification.Fail(fmt::format("{}: {}", NameOf(traffic), outcome.fault));
    }
  }
  return static_cast<double>(end_ns - start_ns) * 1e-9;
}

absl::StatusOr<const PsFloor::Way*> PsFloor::BestWay(PsTraffic traffic,
                                                     Verification& verification) {
  const Way*& best = best_[static_cast<size_t>(traffic)];
  if (best != nullptr) return best;
  // Alternating, so that a slow second of the machine hits all of them.
  std::vector<std::vector<double>> seen(ways_.size());
  for (int trial = 0; trial < trials_; ++trial) {
    for (size_t i = 0; i < ways_.size(); ++i) {
      PENSTOCK_ASSIGN_OR_RETURN(const double seconds,
                                RunAll(traffic, ways_[i], kTrialIterations, verification));
      seen[i].push_back(seconds);
    }
  }
  size_t fastest = 0;
  for (size_t i = 1; i < ways_.size(); ++i) {
    if (Median(seen[i]) < Median(seen[fastest])) fastest = i;
  }
  best = &ways_[fastest];
  return best;
}

absl::StatusOr<double> PsFloor::TakeSample(PsTraffic traffic, Verification& verification) {
  if (traffic == PsTraffic::kContiguous) {
    for (const auto& share : shares_) PENSTOCK_RETURN_IF_ERROR(share->MakeContiguous());
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Way* const way, BestWay(traffic, verification));
  return RunAll(traffic, *way, workload_.workers * workload_.iterations, verification);
}

Series PsFloor::AsSeries(PsTraffic traffic, Verification& verification) {
  Series series;
  series.name = NameOf(traffic);
  series.unit = std::string("s");
  series.kind = Kind::kLatency;
  series.more["bytes"] = workload_.bytes;
  series.more["worker_iterations"] = workload_.workers * workload_.iterations;
  series.more["threads"] = cpus_.size();
  series.take = [this, traffic, &verification](Sample& sample) -> absl::Status {
    PENSTOCK_ASSIGN_OR_RETURN(const double seconds, TakeSample(traffic, verification));
    sample.Add(seconds);
    return absl::OkStatus();
  };
  series.describe = [this, traffic](nlohmann::ordered_json& more) {
    const Way* const way = best_[static_cast<size_t>(traffic)];
    if (way != nullptr) more["way"] = way->name;
  };
  return series;
}

}  // namespace penstock::bench
