// penstock-bench get: the get and release of sealed objects that are here.
#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/paired_runner.h"
#include "bench/harness/pinning.h"
#include "bench/harness/private_daemon.h"
#include "bench/penstock-bench/bare_store.h"
#include "bench/penstock-bench/get_worker.h"
#include "bench/penstock-bench/small_objects.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kFewIds = 10'000;
constexpr uint64_t kManyIds = 1'000'000;
constexpr uint64_t kManyIdsQuick = 50'000;
constexpr uint64_t kBatchesOfSample = 500;
constexpr uint64_t kGetsOfWorker = 250'000;  // in one sample: ten milliseconds
constexpr uint64_t kGetsOfWorkerQuick = 50'000;

// One observation a batch: nanoseconds of one get and release. `run` does a batch and says
// whether all of it was right.
Series GetRelease(std::string name, std::function<bool(uint64_t)> run,
                  Verification& verification) {
  Series series;
  series.name = name;
  series.unit = "ns";
  series.kind = Kind::kLatency;
  series.take = [name, run = std::move(run), &verification](Sample& sample) {
    for (uint64_t i = 0; i < kBatchesOfSample; ++i) {
      const int64_t start_ns = NowNs();
      const bool right = run(kGetBatch);
      sample.Add(static_cast<double>(NowNs() - start_ns) / kGetBatch, kGetBatch);
      if (!right) verification.Fail(name + ": an object was missing or held another word");
    }
    return absl::OkStatus();
  };
  return series;
}

// Lets the crew's first members get at the same time, each on a cpu of its own.
class Workers {
 public:
  Workers(Crew& crew, uint64_t gets, Verification& verification)
      : crew_(crew), gets_(gets), verification_(verification) {}

  void LeaveNote(const std::string& dir, const std::vector<ObjectId>& ids) {
    auto& note = crew_.shared().note;
    GetWorkerNote head{};
    std::snprintf(head.dir, sizeof(head.dir), "%s", dir.c_str());
    head.ids = ids.size();
    std::memcpy(note.data(), &head, sizeof(head));
    std::memcpy(note.data() + sizeof(head), ids.data(), ids.size() * sizeof(ObjectId));
  }

  // Gets a second of all together, from the first call to the last value read.
  absl::StatusOr<double> Rate(const std::vector<int>& members, bool bare) {
    arrivals_ += members.size();
    std::vector<Part> parts;
    for (const int member : members) {
      Part part{member, GetWorker, {}};
      part.order.cpu = AllowedCpus()[member];
      part.order.count = gets_;
      part.order.first = bare ? kBareSteps : 0;
      part.order.extra = arrivals_;
      parts.push_back(part);
    }
    PENSTOCK_ASSIGN_OR_RETURN(const auto answers, crew_.Play(parts));
    int64_t start_ns = answers[0].start_ns, end_ns = answers[0].end_ns;
    for (const RoleAnswer& answer : answers) {
      start_ns = std::min(start_ns, answer.start_ns);
      end_ns = std::max(end_ns, answer.end_ns);
      if (!answer.verified) verification_.Fail("a get of several processes was not right");
    }
    return static_cast<double>(gets_ * members.size()) * 1e9 /
           static_cast<double>(end_ns - start_ns);
  }
  uint64_t gets() const { return gets_; }

 private:
  Crew& crew_;
  uint64_t gets_;
  Verification& verification_;
  uint64_t arrivals_ = 0;
};

// How two processes scale, and how the bare steps do in the same run: on a machine whose
// neighbours take their share of caches and memory, that is what can be had.
absl::Status RunScaling(Workers& workers, const RunOptions& options, Report& report) {
  Group group;
  for (const bool bare : {true, false}) {
    const std::string name = bare ? "get_floor_ops_per_s" : "get_release_ops_per_s";
    // Each process alone, one after the other, so that both cpus count.
    Series one{name + "_1p", "ops/s", Kind::kRate, nullptr, {}, nullptr};
    one.take = [&workers, bare](Sample& sample) -> absl::Status {
      for (const int member : {0, 1}) {
        PENSTOCK_ASSIGN_OR_RETURN(const double rate, workers.Rate({member}, bare));
        sample.Add(rate, workers.gets());
      }
      return absl::OkStatus();
    };
    Series two{name + "_2p", "ops/s", Kind::kRate, nullptr, {}, nullptr};
    two.take = [&workers, bare](Sample& sample) -> absl::Status {
      PENSTOCK_ASSIGN_OR_RETURN(const double rate, workers.Rate({0, 1}, bare));
      sample.Add(rate, 2 * workers.gets());
      return absl::OkStatus();
    };
    group.values.push_back(std::move(one));
    group.values.push_back(std::move(two));
  }
  PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
  for (const std::string name : {"get_floor_ops_per_s", "get_release_ops_per_s"}) {
    Result* const both = report.Find(name + "_2p");
    both->more["scale"] = both->value / report.Find(name + "_1p")->value;
  }
  return absl::OkStatus();
}

void CheckAll(Client& client, const std::vector<ObjectId>& ids, Report& report) {
  const absl::Status status = CheckSmallObjects(client, ids);
  if (!status.ok()) report.verification.Fail(std::string(status.message()));
}

absl::Status RunFew(Crew& crew, const RunOptions& options, Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto daemon, PrivateDaemon::Start({.memory_bytes = 256 * kMiB}));
  report.host.pages = PagesName(daemon->is_huge());
  PENSTOCK_ASSIGN_OR_RETURN(Client client, daemon->Connect());
  std::vector<ObjectId> ids;
  PENSTOCK_RETURN_IF_ERROR(MakeSmallObjects(client, kFewIds, ids));
  PENSTOCK_RETURN_IF_ERROR(PinToCpu(AllowedCpus()[0]));
  RandomGets gets(ids, kFewIds, /*seed=*/42);
  PENSTOCK_ASSIGN_OR_RETURN(const auto bare, BareStore::Create(ids, /*seed=*/42));
  Group group;
  group.floor = GetRelease("get_floor_1KiB_ns", [&](uint64_t n) { return bare->Run(n); },
                           report.verification);
  group.values.push_back(GetRelease("get_release_1KiB_ns",
                                    [&](uint64_t n) { return gets.Run(client, n); },
                                    report.verification));
  PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
  if (AllowedCpus().size() > 1) {
    Workers workers(crew, options.quick ? kGetsOfWorkerQuick : kGetsOfWorker,
                    report.verification);
    workers.LeaveNote(daemon->dir(), ids);
    PENSTOCK_RETURN_IF_ERROR(RunScaling(workers, options, report));
  } else {
    report.AddNote("one cpu: how two processes scale was not measured");
  }
  CheckAll(client, ids, report);
  return absl::OkStatus();
}

absl::Status RunMany(const RunOptions& options, Report& report) {
  const uint64_t count = options.quick ? kManyIdsQuick : kManyIds;
  PENSTOCK_ASSIGN_OR_RETURN(
      const auto daemon,
      PrivateDaemon::Start({.memory_bytes = RoundUp(count * kSmallBytes * 5 / 4, 64 * kMiB),
                            .objects = static_cast<uint32_t>(count / 8 * 9)}));
  PENSTOCK_ASSIGN_OR_RETURN(Client client, daemon->Connect());
  std::vector<ObjectId> ids;
  PENSTOCK_RETURN_IF_ERROR(MakeSmallObjects(client, count, ids));
  PENSTOCK_RETURN_IF_ERROR(PinToCpu(AllowedCpus()[0]));
  RandomGets gets(ids, count, /*seed=*/43);
  // Every page of payloads, slots and pins is touched once before.
  if (!gets.Run(client, count)) report.verification.Fail("one of many objects is not right");
  PENSTOCK_ASSIGN_OR_RETURN(const auto bare, BareStore::Create(ids, /*seed=*/43));
  Group group;
  group.floor = GetRelease("get_floor_1M_ids_ns", [&](uint64_t n) { return bare->RunAhead(n); },
                           report.verification);
  // By GetMany, a hundred ids a call: its look-ahead is what a million ids need. One by
  // one, each get waits for its own cache misses; that is the second row.
  group.values.push_back(GetRelease("get_release_1M_ids_ns",
                                    [&](uint64_t n) { return gets.RunMany(client, n); },
                                    report.verification));
  group.values.push_back(GetRelease("get_release_1M_ids_one_by_one_ns",
                                    [&](uint64_t n) { return gets.Run(client, n); },
                                    report.verification));
  for (Series& series : group.values) {
    series.more["ids"] = count;
    series.more["pages"] = PagesName(daemon->is_huge());
    series.more["index_pages"] = PagesName(daemon->index_is_huge());
  }
  PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
  CheckAll(client, ids, report);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunGet(Crew& crew, const RunOptions& options, Report& report) {
  report.host.io = "epoll";
  PENSTOCK_RETURN_IF_ERROR(RunFew(crew, options, report));
  if (!report.verification.ok()) return absl::OkStatus();
  return RunMany(options, report);
}

}  // namespace penstock::bench
