// Copy floors: cached and streaming, the best of them.
#include "bench/harness/copy_floor.h"

#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "store/base/check.h"
#include "store/base/errors.h"
#include "store/base/copy_kernels.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr int kTrialBatches = 9;

}  // namespace

const CopySize& CopySizeOf(std::string_view label) {
  for (const CopySize& size : kCopySizes) {
    if (label == size.label) return size;
  }
  PENSTOCK_CHECK(false) << "no copy size " << label;
  return kCopySizes[0];
}

std::string NameOf(const CopySize& size) { return fmt::format("copy_{}_gbps", size.label); }

absl::StatusOr<std::unique_ptr<CopyFloor>> CopyFloor::Create(const CopySize& size,
                                                             std::byte* source) {
  std::unique_ptr<CopyFloor> floor(new CopyFloor(size, source));
  const uint64_t stride = RoundUp(size.bytes, 64);
  PENSTOCK_ASSIGN_OR_RETURN(floor->area_, CopyArea::Create("copy-floor", stride * size.slots));
  floor->PickBest();
  return floor;
}

std::byte* CopyFloor::Slot(uint64_t number) {
  return area_.data() + (number % size_.slots) * RoundUp(size_.bytes, 64);
}

bool CopyFloor::CopyBatch(Copy copy, double& gb_per_s) {
  ++stamp_;
  std::memcpy(source_, &stamp_, sizeof(stamp_));
  const uint64_t first = next_slot_;
  next_slot_ += size_.copies_a_batch;
  const int64_t start_ns = NowNs();
  for (uint64_t i = first; i < next_slot_; ++i) copy(Slot(i), source_, size_.bytes);
  gb_per_s = static_cast<double>(size_.bytes * size_.copies_a_batch) /
             static_cast<double>(NowNs() - start_ns);
  // A slot that an earlier batch filled has an older stamp.
  for (uint64_t i = first; i < next_slot_; ++i) {
    if (std::memcmp(Slot(i), source_, size_.bytes) != 0) return false;
  }
  return true;
}

void CopyFloor::PickBest() {
  std::vector<Way> ways;
  for (const CopyKernel& kernel : CopyKernels()) ways.push_back({kernel.name, kernel.copy});
  // Alternating, so that a slow second of the machine hits all of them.
  std::vector<std::vector<double>> seen(ways.size());
  for (int trial = 0; trial < kTrialBatches; ++trial) {
    for (size_t i = 0; i < ways.size(); ++i) {
      double gb_per_s = 0;
      CopyBatch(ways[i].copy, gb_per_s);
      seen[i].push_back(gb_per_s);
    }
  }
  size_t best = 0;
  for (size_t i = 1; i < ways.size(); ++i) {
    if (Median(seen[i]) > Median(seen[best])) best = i;
  }
  best_ = ways[best];
}

Series CopyFloor::AsSeries(Verification& verification) {
  Series series;
  series.name = NameOf(size_);
  series.unit = "GB/s";
  series.kind = Kind::kRate;
  series.more["way"] = best_.name;
  series.more["rotation_bytes"] = rotation_bytes();
  series.take = [this, &verification](Sample& sample) {
    for (uint64_t batch = 0; batch < size_.batches; ++batch) {
      double gb_per_s = 0;
      if (!CopyBatch(best_.copy, gb_per_s)) {
        verification.Fail(fmt::format("a copy of {} differs from its source", size_.label));
      }
      sample.Add(gb_per_s, size_.copies_a_batch);
    }
    return absl::OkStatus();
  };
  return series;
}

}  // namespace penstock::bench
