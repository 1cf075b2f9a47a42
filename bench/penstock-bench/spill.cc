// penstock-bench spill: four times a daemon's memory in objects, put by a client, got back and
// compared, against plain writes and reads of one file in the same directory.
//
// A pass of spilling begins with the put that makes the daemon write and ends when nothing is
// left to be written. A pass of restoring gets every object in the order of the puts, several
// with one call or one with each; its time is that from the first call to the last comparison,
// which another thread makes meanwhile, its bytes are those that the daemon read back. What is
// still in memory does not add to those.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/disk_floor.h"
#include "bench/harness/paired_runner.h"
#include "bench/harness/private_daemon.h"
#include "bench/penstock-bench/background_check.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kTimesTheMemory = 4;
constexpr uint64_t kQuickMemoryBytes = 64 * kMiB;
// The daemon keeps an eighth of its memory at hand, and writes when less is free.
constexpr uint64_t kUnwrittenEighths = 7;
// Each object is a piece of one pattern that begins elsewhere.
constexpr uint64_t kPlaces = 1 << 16;
constexpr uint64_t kPlaceBytes = 64;
constexpr absl::Duration kPatience = absl::Seconds(60);

// A directory that goes with the run.
class ScratchDirectory {
 public:
  static absl::StatusOr<ScratchDirectory> Make(const std::string& parent) {
    ScratchDirectory made;
    made.path_ = (parent.empty() ? std::string("/var/tmp") : parent) + "/penstock-bench-XXXXXX";
    if (mkdtemp(made.path_.data()) == nullptr) {
      return ErrnoStatus(errno, "making a directory under " + parent, "Give --dir a disk");
    }
    return made;
  }
  ScratchDirectory(ScratchDirectory&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  ~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  ScratchDirectory() = default;
  std::string path_;
};

struct Plan {
  uint64_t memory_bytes = 0;
  std::vector<uint64_t> object_bytes;
  uint64_t largest() const { return *std::max_element(object_bytes.begin(), object_bytes.end()); }
};

absl::StatusOr<Plan> PlanOf(const RunOptions& options) {
  Plan plan;
  PENSTOCK_ASSIGN_OR_RETURN(plan.memory_bytes, ParseBytes(options.spill_memory));
  if (options.quick) plan.memory_bytes = std::min(plan.memory_bytes, kQuickMemoryBytes);
  for (const std::string& text : options.object_bytes) {
    PENSTOCK_ASSIGN_OR_RETURN(const uint64_t bytes, ParseBytes(text));
    plan.object_bytes.push_back(options.quick ? std::min(bytes, plan.memory_bytes / 16) : bytes);
  }
  if (plan.largest() > plan.memory_bytes / 8 || plan.largest() == 0) {
    const auto [given, most] = FormatBytesApart(plan.largest(), plan.memory_bytes / 8);
    return absl::InvalidArgumentError(fmt::format(
        "--object-bytes: {} is not between 1 byte and an eighth of --memory, {}", given, most));
  }
  return plan;
}

class SpillRun {
 public:
  static absl::StatusOr<std::unique_ptr<SpillRun>> Start(const Plan& plan,
                                                         const std::string& dir,
                                                         Verification& verification) {
    PENSTOCK_ASSIGN_OR_RETURN(
        auto daemon,
        PrivateDaemon::Start({.memory_bytes = plan.memory_bytes, .spill_dir = dir}));
    PENSTOCK_ASSIGN_OR_RETURN(Client client, daemon->Connect());
    PENSTOCK_ASSIGN_OR_RETURN(
        CopyArea pattern,
        CopyArea::Create("spill-pattern", plan.largest() + kPlaces * kPlaceBytes));
    FillPattern(pattern.data(), pattern.bytes(), 2);
    return std::unique_ptr<SpillRun>(new SpillRun(plan, std::move(daemon), std::move(client),
                                                  std::move(pattern), verification));
  }

  // Puts all objects, each with other bytes than in the last pass.
  absl::Status Spill(Sample& sample) {
    PENSTOCK_RETURN_IF_ERROR(DeleteAll());
    const uint64_t unwritten_bytes = plan_.memory_bytes / 8 * kUnwrittenEighths;
    uint64_t put_bytes = 0;
    const auto next_bytes = [&] {
      return plan_.object_bytes[objects_.size() % plan_.object_bytes.size()];
    };
    while (put_bytes + next_bytes() <= unwritten_bytes) {
      put_bytes += next_bytes();
      PENSTOCK_RETURN_IF_ERROR(PutOne(next_bytes()));
    }
    PENSTOCK_RETURN_IF_ERROR(client_.Sync());
    PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus before, daemon_->Status());
    const int64_t start_ns = NowNs();
    while (put_bytes < kTimesTheMemory * plan_.memory_bytes) {
      put_bytes += next_bytes();
      PENSTOCK_RETURN_IF_ERROR(PutOne(next_bytes()));
    }
    PENSTOCK_RETURN_IF_ERROR(client_.Sync());
    PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus after, Await([](const DaemonStatus& status) {
      return status.Counter("spill_writing_bytes") == 0;
    }));
    const int64_t took_ns = NowNs() - start_ns;
    sample.Add(Grown("spill_written_bytes", before, after) / static_cast<double>(took_ns),
               objects_.size());
    return absl::OkStatus();
  }

  // Gets what the last pass put, an eighth of the memory with each call.
  absl::Status Restore(Sample& sample) { return GetAll(plan_.memory_bytes / 8, sample); }
  // The same one by one: each call waits for its object before the next is asked for.
  absl::Status RestoreOneByOne(Sample& sample) { return GetAll(1, sample); }

  const PrivateDaemon& daemon() const { return *daemon_; }

 private:
  struct Object {
    ObjectId id;
    uint64_t bytes = 0;
    const std::byte* expected = nullptr;
  };

  SpillRun(const Plan& plan, std::unique_ptr<PrivateDaemon> daemon, Client client,
           CopyArea pattern, Verification& verification)
      : plan_(plan), daemon_(std::move(daemon)), client_(std::move(client)),
        pattern_(std::move(pattern)), verification_(verification) {}

  absl::Status PutOne(uint64_t bytes) {
    const std::byte* from = pattern_.data() + next_place_++ % kPlaces * kPlaceBytes;
    PENSTOCK_ASSIGN_OR_RETURN(const ObjectId id,
                              client_.Put({from, bytes}, {.deadline = kPatience}));
    objects_.push_back({id, bytes, from});
    return absl::OkStatus();
  }

  // Calls of at most so many bytes, and of one object at least.
  absl::Status GetAll(uint64_t bytes_a_call, Sample& sample) {
    PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus before, daemon_->Status());
    BackgroundCheck check(plan_.memory_bytes / 8);
    const int64_t start_ns = NowNs();
    for (size_t next = 0; next < objects_.size();) {
      const size_t first = next;
      std::vector<ObjectId> ids;
      for (uint64_t bytes = 0; next < objects_.size(); ++next) {
        bytes += objects_[next].bytes;
        if (!ids.empty() && bytes > bytes_a_call) break;
        ids.push_back(objects_[next].id);
      }
      std::vector<absl::StatusOr<ObjectView>> views = client_.GetMany(ids, kPatience);
      for (size_t i = 0; i < views.size(); ++i) {
        PENSTOCK_RETURN_IF_ERROR(views[i].status());
        const Object& object = objects_[first + i];
        check.Add(*std::move(views[i]), {object.expected, object.bytes});
      }
    }
    const uint64_t wrong = check.CountWrong();
    const int64_t took_ns = NowNs() - start_ns;
    if (wrong > 0) {
      verification_.Fail(fmt::format("restore_gbps: {} objects hold other bytes", wrong));
    }
    PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus after, daemon_->Status());
    sample.Add(Grown("spill_read_bytes", before, after) / static_cast<double>(took_ns),
               objects_.size());
    return absl::OkStatus();
  }

  // Memory and disk are empty before anything is timed.
  absl::Status DeleteAll() {
    for (const Object& object : std::exchange(objects_, {})) {
      PENSTOCK_RETURN_IF_ERROR(client_.Delete(object.id));
    }
    PENSTOCK_RETURN_IF_ERROR(client_.Sync());
    return Await([](const DaemonStatus& status) {
             return status.Counter("objects") == 0 && status.Counter("spill_files") == 0;
           })
        .status();
  }

  template <typename Condition>
  absl::StatusOr<DaemonStatus> Await(Condition condition) const {
    const int64_t start_ns = NowNs();
    for (;;) {
      PENSTOCK_ASSIGN_OR_RETURN(DaemonStatus status, daemon_->Status());
      if (condition(status)) return status;
      if (status.Counter("spill_trouble") != 0 || SecondsSince(start_ns) > 60) {
        return absl::AbortedError("the daemon cannot write to its spill directory: " +
                                  fmt::format("{}", fmt::join(status.notes, "; ")));
      }
      SleepNs(1'000'000);
    }
  }

  static double Grown(std::string_view counter, const DaemonStatus& before,
                      const DaemonStatus& after) {
    return static_cast<double>(after.Counter(counter) - before.Counter(counter));
  }

  const Plan plan_;
  std::unique_ptr<PrivateDaemon> daemon_;
  Client client_;
  CopyArea pattern_;
  Verification& verification_;
  std::vector<Object> objects_;
  uint64_t next_place_ = 0;
};

Series RowOf(SpillRun& run, const Plan& plan, const char* name,
             absl::Status (SpillRun::*take)(Sample&)) {
  Series series;
  series.name = name;
  series.unit = "GB/s";
  series.kind = Kind::kRate;
  series.more["memory_bytes"] = plan.memory_bytes;
  series.more["object_bytes"] = plan.object_bytes;
  series.take = [&run, take](Sample& sample) { return (run.*take)(sample); };
  return series;
}

// One row's value over another's, as a row: of all that the same passes saw.
void AddRatio(Report& report, const char* name, const char* over, double floor) {
  const Result& value = *report.Find(over);
  Result ratio;
  ratio.name = name;
  ratio.unit = "ratio";
  ratio.value = value.value / floor;
  ratio.quantiles = {ratio.value, ratio.value, ratio.value};
  ratio.operations = value.operations;
  ratio.aa_ratio = value.aa_ratio;
  ratio.noisy = value.noisy;
  report.results.push_back(std::move(ratio));
}

}  // namespace

absl::Status RunSpill(Crew&, const RunOptions& options, Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(const Plan plan, PlanOf(options));
  PENSTOCK_ASSIGN_OR_RETURN(const ScratchDirectory scratch, ScratchDirectory::Make(options.dir));
  // As many bytes as the daemon writes in a pass, or a little less.
  const uint64_t floor_bytes =
      (kTimesTheMemory - 1) * plan.memory_bytes / (4 * kMiB) * (4 * kMiB);
  PENSTOCK_ASSIGN_OR_RETURN(const auto floor, DiskFloor::Create(scratch.path(), floor_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(
      const auto run, SpillRun::Start(plan, scratch.path() + "/spill", report.verification));
  report.host.pages = PagesName(run->daemon().is_huge());
  PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus status, run->daemon().Status());
  report.host.io = status.Counter("spill_uring") == 1 ? "io_uring" : "threads";
  if (status.Counter("spill_direct") == 0) {
    report.notes.push_back("no O_DIRECT here: through the page cache");
  }
  Group writes;
  writes.floor = floor->Writes();
  writes.values.push_back(RowOf(*run, plan, "spill_gbps", &SpillRun::Spill));
  writes.values.push_back(floor->WritesLikeDd());
  writes.values[0].more["floor_way"] = writes.floor->more["way"];
  PENSTOCK_RETURN_IF_ERROR(RunGroup(writes, options, report));
  Group reads;
  reads.floor = floor->Reads(report.verification);
  reads.values.push_back(RowOf(*run, plan, "restore_gbps", &SpillRun::Restore));
  reads.values.push_back(
      RowOf(*run, plan, "restore_one_by_one_gbps", &SpillRun::RestoreOneByOne));
  reads.values.push_back(floor->ReadsLikeDd(report.verification));
  reads.values[0].more["floor_way"] = reads.floor->more["way"];
  PENSTOCK_RETURN_IF_ERROR(RunGroup(reads, options, report));
  const auto over = [&](const char* name, const char* value, const char* floor_name) {
    for (const auto& [found, rate] : report.floors) {
      if (found == floor_name) AddRatio(report, name, value, rate);
    }
  };
  over("spill_over_floor", "spill_gbps", "disk_write_gbps");
  over("restore_over_floor", "restore_gbps", "disk_read_gbps");
  over("restore_one_by_one_over_floor", "restore_one_by_one_gbps", "disk_read_gbps");
  AddRatio(report, "spill_over_dd", "spill_gbps", report.Find("disk_write_dd_gbps")->value);
  AddRatio(report, "restore_over_dd", "restore_gbps", report.Find("disk_read_dd_gbps")->value);
  return absl::OkStatus();
}

}  // namespace penstock::bench
