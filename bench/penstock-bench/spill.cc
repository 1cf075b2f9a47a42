// penstock-bench spill: objects to disk and back, against plain writes and reads of one file
// of the same size in the same directory.
//
// Drives the spill module itself. Objects lie at multiples of 64 bytes, as in the arena,
// and in the _aligned_ rows of 4096, which saves a copy.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/disk_floor.h"
#include "bench/harness/paired_runner.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"
#include "store/base/unique_fd.h"
#include "store/base/units.h"
#include "store/spill/spill_store.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kObjectBytes = 16 * kMiB;
constexpr uint64_t kObjects = 16;
constexpr uint64_t kIncarnation = 0x5b11;

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

class SpillRun {
 public:
  static absl::StatusOr<std::unique_ptr<SpillRun>> Start(const std::string& dir,
                                                         uint64_t align_bytes,
                                                         Verification& verification) {
    std::unique_ptr<SpillRun> run(new SpillRun(verification));
    run->stride_bytes_ = kObjectBytes + align_bytes;
    const uint64_t area_bytes = run->stride_bytes_ * kObjects;
    PENSTOCK_ASSIGN_OR_RETURN(run->from_, CopyArea::Create("spill-from", area_bytes));
    PENSTOCK_ASSIGN_OR_RETURN(run->to_, CopyArea::Create("spill-to", area_bytes));
    FillPattern(run->from_.data(), area_bytes, 2);
    PENSTOCK_ASSIGN_OR_RETURN(run->table_,
                              CopyArea::Create("spill-table", SpillTable::BytesFor(1024)));
    std::memset(run->table_.data(), 0, SpillTable::BytesFor(1024));
    run->bell_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
    SpillOptions options;
    options.dir = dir;
    options.incarnation = kIncarnation;
    options.file_bytes = 512 * kMiB;
    PENSTOCK_ASSIGN_OR_RETURN(
        run->store_,
        SpillStore::Open(options, SpillTable::Make(run->table_.data(), 1024, kIncarnation),
                         run->bell_.get()));
    return run;
  }

  // Writes all objects, each with bytes of this round.
  absl::Status Spill(Sample& sample) {
    PENSTOCK_RETURN_IF_ERROR(DropAll());
    ++stamp_;
    for (uint64_t i = 0; i < kObjects; ++i) {
      std::memcpy(At(from_, i), &stamp_, sizeof(stamp_));
    }
    const int64_t start_ns = NowNs();
    for (uint64_t i = 0; i < kObjects; ++i) {
      SpilledObject object;
      object.id = {kIncarnation, 1, stamp_ * kObjects + i};
      object.size = kObjectBytes;
      store_->Write(i, object, {At(from_, i), kObjectBytes});
    }
    PENSTOCK_RETURN_IF_ERROR(AwaitAll());
    sample.Add(static_cast<double>(kObjects * kObjectBytes) /
                   static_cast<double>(NowNs() - start_ns),
               kObjects);
    return absl::OkStatus();
  }

  // Reads what the last Spill wrote.
  absl::Status Restore(Sample& sample) {
    for (uint64_t i = 0; i < kObjects; ++i) std::memset(At(to_, i), 0, 64);
    const int64_t start_ns = NowNs();
    for (uint64_t i = 0; i < kObjects; ++i) {
      store_->Read(i, handles_[i], {At(to_, i), kObjectBytes});
    }
    PENSTOCK_RETURN_IF_ERROR(AwaitAll());
    sample.Add(static_cast<double>(kObjects * kObjectBytes) /
                   static_cast<double>(NowNs() - start_ns),
               kObjects);
    for (uint64_t i = 0; i < kObjects; ++i) {
      if (std::memcmp(At(from_, i), At(to_, i), kObjectBytes) != 0) {
        verification_.Fail("restore_gbps: an object holds other bytes");
      }
    }
    return absl::OkStatus();
  }

  SpillStats Stats() const { return store_->Stats(); }

 private:
  explicit SpillRun(Verification& verification) : verification_(verification) {}

  std::byte* At(const CopyArea& area, uint64_t object) const {
    return area.data() + object * stride_bytes_;
  }

  absl::Status DropAll() {
    for (const SpillHandle handle : std::exchange(handles_, {})) store_->Drop(handle);
    // The file is deleted before anything is timed.
    while (store_->Stats().files != 0) SleepNs(200'000);
    return absl::OkStatus();
  }

  absl::Status AwaitAll() {
    handles_.resize(kObjects);
    for (uint64_t answered = 0; answered < kObjects;) {
      pollfd wait{bell_.get(), POLLIN, 0};
      if (poll(&wait, 1, 30'000) != 1) {
        return absl::DeadlineExceededError("the spill store did not answer for 30 s");
      }
      eventfd_t rings = 0;
      eventfd_read(bell_.get(), &rings);
      for (const SpillDone& done : store_->TakeDone()) {
        if (done.fault != SpillFault::kNone) {
          return ErrnoStatus(done.error_number, std::string(NameOf(done.fault)));
        }
        handles_[done.ticket] = done.handle;
        ++answered;
      }
    }
    return absl::OkStatus();
  }

  Verification& verification_;
  uint64_t stride_bytes_ = 0;
  CopyArea from_;
  CopyArea to_;
  CopyArea table_;
  UniqueFd bell_;
  std::unique_ptr<SpillStore> store_;
  std::vector<SpillHandle> handles_;
  uint64_t stamp_ = 0;
};

Series RowOf(SpillRun& run, const char* name, absl::Status (SpillRun::*take)(Sample&)) {
  Series series;
  series.name = name;
  series.unit = "GB/s";
  series.kind = Kind::kRate;
  series.more["object_bytes"] = kObjectBytes;
  series.more["objects"] = kObjects;
  series.take = [&run, take](Sample& sample) { return (run.*take)(sample); };
  return series;
}

}  // namespace

absl::Status RunSpill(Crew&, const RunOptions& options, Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(const ScratchDirectory scratch, ScratchDirectory::Make(options.dir));
  PENSTOCK_ASSIGN_OR_RETURN(const auto floor,
                            DiskFloor::Create(scratch.path(), kObjects * kObjectBytes));
  PENSTOCK_ASSIGN_OR_RETURN(
      const auto run, SpillRun::Start(scratch.path() + "/plain", 64, report.verification));
  PENSTOCK_ASSIGN_OR_RETURN(
      const auto aligned, SpillRun::Start(scratch.path() + "/aligned", 4096, report.verification));
  const SpillStats stats = run->Stats();
  report.host.pages = "2 MiB (collapsed memfd)";
  report.host.io = std::string(stats.io);
  if (!stats.direct) report.notes.push_back("no O_DIRECT here: through the page cache");
  Group writes;
  writes.floor = floor->Writes();
  writes.values.push_back(RowOf(*run, "spill_gbps", &SpillRun::Spill));
  writes.values.push_back(RowOf(*aligned, "spill_aligned_gbps", &SpillRun::Spill));
  PENSTOCK_RETURN_IF_ERROR(RunGroup(writes, options, report));
  Group reads;
  reads.floor = floor->Reads(report.verification);
  reads.values.push_back(RowOf(*run, "restore_gbps", &SpillRun::Restore));
  reads.values.push_back(RowOf(*aligned, "restore_aligned_gbps", &SpillRun::Restore));
  return RunGroup(reads, options, report);
}

}  // namespace penstock::bench
