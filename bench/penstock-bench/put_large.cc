// Large objects: put beside a copy floor.
#include "bench/penstock-bench/put_large.h"

#include <cstring>
#include <deque>
#include <memory>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/copy_floor.h"
#include "bench/harness/paired_runner.h"
#include "bench/penstock-bench/first_touch.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

// Puts of one size, of which the last `size.slots` are kept, so that the destination
// rotates over about as many bytes as the floor's.
class LargePuts {
 public:
  LargePuts(Client& client, const CopySize& size, std::byte* source, Verification& verification)
      : client_(client), size_(size), source_(source), verification_(verification) {}

  // Twice around, so that all of the destination is mapped and touched.
  absl::Status WarmUp() {
    Sample unused;
    for (uint64_t i = 0; i < 2 * size_.slots; ++i) PENSTOCK_RETURN_IF_ERROR(PutOne(unused));
    places_.clear();
    return absl::OkStatus();
  }

  absl::Status Take(Sample& sample) {
    for (uint64_t i = 0; i < size_.batches; ++i) PENSTOCK_RETURN_IF_ERROR(PutOne(sample));
    return client_.Sync();  // the daemon's work is done before the floor has its turn
  }

  absl::Status DeleteAll() {
    for (const ObjectId& id : kept_) PENSTOCK_RETURN_IF_ERROR(client_.Delete(id));
    kept_.clear();
    return client_.Sync();
  }

  // Bytes over which the destination really rotated.
  uint64_t rotation_bytes() const { return places_.size() * size_.bytes; }

 private:
  absl::Status PutOne(Sample& sample) {
    ++stamp_;
    const uint64_t stamp = ~stamp_;  // never one of the floor's
    std::memcpy(source_, &stamp, sizeof(stamp));
    const std::span<const std::byte> bytes(source_, size_.bytes);
    const int64_t start_ns = NowNs();
    PENSTOCK_ASSIGN_OR_RETURN(const ObjectId id, client_.Put(bytes));
    const int64_t end_ns = NowNs();
    sample.Add(static_cast<double>(size_.bytes) / static_cast<double>(end_ns - start_ns));
    PENSTOCK_ASSIGN_OR_RETURN(const ObjectView view, client_.Get(id, absl::ZeroDuration()));
    places_.insert(view.data().data());
    if (view.data().size() != size_.bytes ||
        std::memcmp(view.data().data(), source_, size_.bytes) != 0) {
      verification_.Fail(fmt::format("put_{}_gbps: an object holds other bytes", size_.label));
    }
    kept_.push_back(id);
    if (kept_.size() < size_.slots) return absl::OkStatus();
    const ObjectId oldest = kept_.front();
    kept_.pop_front();
    return client_.Delete(oldest);
  }

  Client& client_;
  CopySize size_;
  std::byte* source_;
  Verification& verification_;
  std::deque<ObjectId> kept_;
  std::set<const std::byte*> places_;
  uint64_t stamp_ = 0;
};

absl::Status RunSize(const CopySize& size, const PrivateDaemon& daemon, Client& client,
                     const RunOptions& options, Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(const CopyArea source, CopyArea::Create("source", size.bytes));
  FillPattern(source.data(), size.bytes, size.bytes);
  PENSTOCK_ASSIGN_OR_RETURN(const auto floor, CopyFloor::Create(size, source.data()));
  if (floor->is_huge() != daemon.is_huge()) {
    report.notes.push_back(fmt::format("copy_{}_gbps and put lie on different kinds of pages",
                                       size.label));
  }
  LargePuts puts(client, size, source.data(), report.verification);
  PENSTOCK_RETURN_IF_ERROR(puts.WarmUp());
  Group group;
  group.floor = floor->AsSeries(report.verification);
  Series series;
  series.name = fmt::format("put_{}_gbps", size.label);
  series.unit = "GB/s";
  series.kind = Kind::kRate;
  series.take = [&puts](Sample& sample) { return puts.Take(sample); };
  series.describe = [&puts, &floor](nlohmann::ordered_json& more) {
    more["rotation_bytes"] = puts.rotation_bytes();
    more["floor_rotation_bytes"] = floor->rotation_bytes();
    more["floor_way"] = floor->way();
  };
  group.values.push_back(std::move(series));
  if (std::string_view(size.label) == "100MB") {
    group.values.push_back(FirstTouch(daemon, client, size.bytes, report.verification));
  }
  PENSTOCK_RETURN_IF_ERROR(RunGroup(group, options, report));
  return puts.DeleteAll();
}

}  // namespace

absl::Status RunPutLarge(const PrivateDaemon& daemon, const RunOptions& options,
                         Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(Client client, daemon.Connect());
  for (const char* label : {"1MiB", "16MiB", "100MB"}) {
    PENSTOCK_RETURN_IF_ERROR(
        RunSize(CopySizeOf(label), daemon, client, options, report));
  }
  return absl::OkStatus();
}

}  // namespace penstock::bench
