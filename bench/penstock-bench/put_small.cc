// Small objects: create, write, seal, delete.
#include "bench/penstock-bench/put_small.h"

#include <cstring>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/interrupt.h"
#include "bench/harness/paired_runner.h"
#include "bench/penstock-bench/small_objects.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kBatch = 1000;
constexpr uint64_t kBatchesOfSample = 10;
constexpr double kSustainedSeconds = 10;
constexpr double kSustainedSecondsQuick = 0.5;
constexpr double kSliceSeconds = 0.1;

// 1 KiB of pattern, of which the first word is each object's own.
class Payload {
 public:
  Payload() : bytes_(kSmallBytes) { FillPattern(bytes_.data(), kSmallBytes, /*seed=*/7); }

  void WriteTo(std::byte* data, uint64_t stamp) const {
    std::memcpy(data, bytes_.data(), kSmallBytes);
    std::memcpy(data, &stamp, sizeof(stamp));
  }
  bool IsIn(std::span<const std::byte> data, uint64_t stamp) const {
    return data.size() == kSmallBytes &&
           std::memcmp(data.data(), &stamp, sizeof(stamp)) == 0 &&
           std::memcmp(data.data() + sizeof(stamp), bytes_.data() + sizeof(stamp),
                       kSmallBytes - sizeof(stamp)) == 0;
  }

 private:
  std::vector<std::byte> bytes_;
};

class SmallPuts {
 public:
  SmallPuts(const PrivateDaemon& daemon, Client& client, Verification& verification)
      : daemon_(daemon), client_(client), verification_(verification) {}

  // Batches, timed; between them every payload is compared and deleted.
  absl::Status CreateAndSeal(Sample& sample) {
    std::vector<ObjectId> ids(kBatch);
    for (uint64_t batch = 0; batch < kBatchesOfSample; ++batch) {
      const uint64_t first_stamp = stamp_ + 1;
      const int64_t start_ns = NowNs();
      for (ObjectId& id : ids) {
        PENSTOCK_ASSIGN_OR_RETURN(Builder builder, client_.Create(kSmallBytes));
        payload_.WriteTo(builder.data().data(), ++stamp_);
        PENSTOCK_ASSIGN_OR_RETURN(id, builder.Seal());
      }
      sample.Add(static_cast<double>(NowNs() - start_ns) / kBatch, kBatch);
      PENSTOCK_RETURN_IF_ERROR(CompareAndDelete(ids, first_stamp));
    }
    return absl::OkStatus();
  }

  // The rates of slices that follow each other without a gap. Each object is made,
  // written, sealed, read back through the read-only view, compared and deleted.
  absl::Status Sustain(double seconds, Sample& sample, nlohmann::ordered_json& more);

 private:
  absl::Status CompareAndDelete(const std::vector<ObjectId>& ids, uint64_t first_stamp) {
    for (size_t i = 0; i < ids.size(); ++i) {
      PENSTOCK_ASSIGN_OR_RETURN(const ObjectView view, client_.Get(ids[i], absl::ZeroDuration()));
      if (!payload_.IsIn(view.data(), first_stamp + i)) {
        verification_.Fail("create_seal_1KiB_ns: an object holds other bytes");
      }
    }
    for (const ObjectId& id : ids) PENSTOCK_RETURN_IF_ERROR(client_.Delete(id));
    return client_.Sync();
  }

  absl::Status MakeAndDelete(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      PENSTOCK_ASSIGN_OR_RETURN(Builder builder, client_.Create(kSmallBytes));
      payload_.WriteTo(builder.data().data(), ++stamp_);
      PENSTOCK_ASSIGN_OR_RETURN(ObjectView view, builder.SealToView());
      if (!payload_.IsIn(view.data(), stamp_)) {
        verification_.Fail("create_seal_delete_ops_per_s: an object holds other bytes");
      }
      view.Release();
      PENSTOCK_RETURN_IF_ERROR(client_.Delete(builder.id()));
    }
    return absl::OkStatus();
  }

  const PrivateDaemon& daemon_;
  Client& client_;
  Verification& verification_;
  Payload payload_;
  uint64_t stamp_ = 0;
};

absl::Status SmallPuts::Sustain(double seconds, Sample& sample, nlohmann::ordered_json& more) {
  PENSTOCK_RETURN_IF_ERROR(client_.Sync());
  PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus before, daemon_.Status());
  uint64_t operations = 0;
  const int64_t start_ns = NowNs();
  int64_t slice_start_ns = start_ns;
  uint64_t slice_operations = 0;
  while (SecondsSince(start_ns) < seconds) {
    PENSTOCK_RETURN_IF_ERROR(MakeAndDelete(kBatch));
    operations += kBatch;
    slice_operations += kBatch;
    const int64_t now_ns = NowNs();
    const double slice_seconds = static_cast<double>(now_ns - slice_start_ns) * 1e-9;
    if (slice_seconds < kSliceSeconds) continue;
    PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
    sample.Add(static_cast<double>(slice_operations) / slice_seconds, slice_operations);
    slice_start_ns = now_ns;
    slice_operations = 0;
  }
  // Done is what the daemon has done.
  PENSTOCK_RETURN_IF_ERROR(client_.Sync());
  const double whole_seconds = SecondsSince(start_ns);
  PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus after, daemon_.Status());
  const uint64_t sealed = after.Counter("sealed") - before.Counter("sealed");
  const uint64_t deleted = after.Counter("deleted") - before.Counter("deleted");
  if (sealed != operations || deleted != operations) {
    verification_.Fail(fmt::format(
        "create_seal_delete_ops_per_s: {} objects made, the daemon counts {} sealed and {} "
        "deleted", operations, sealed, deleted));
  }
  more["seconds"] = whole_seconds;
  more["whole_run_ops_per_s"] = static_cast<double>(operations) / whole_seconds;
  more["daemon_sealed"] = sealed;
  more["daemon_deleted"] = deleted;
  return absl::OkStatus();
}

// One uninterrupted run: its slices are the observations, the odd ones are compared with
// the even ones.
absl::Status RunSustained(SmallPuts& puts, const RunOptions& options, Report& report) {
  Result result;
  result.name = "create_seal_delete_ops_per_s";
  result.unit = "ops/s";
  Sample slices;
  PENSTOCK_RETURN_IF_ERROR(puts.Sustain(
      options.quick ? kSustainedSecondsQuick : kSustainedSeconds, slices, result.more));
  ConcludeRun(Kind::kRate, slices, result);
  report.results.push_back(std::move(result));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunPutSmall(const PrivateDaemon& daemon, const RunOptions& options,
                         Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(Client client, daemon.Connect());
  SmallPuts puts(daemon, client, report.verification);
  Group group;
  Series series;
  series.name = "create_seal_1KiB_ns";
  series.unit = "ns";
  series.kind = Kind::kLatency;
  series.take = [&puts](Sample& sample) { return puts.CreateAndSeal(sample); };
  group.values.push_back(std::move(series));
  PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
  return RunSustained(puts, options, report);
}

}  // namespace penstock::bench
