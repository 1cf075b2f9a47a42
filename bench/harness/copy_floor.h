// CopyFloor: how fast this machine copies a block of one size, without any store.
//
// The destination rotates over as many bytes as that of the operation it is compared with,
// on the same kind of pages, so that both find their destination equally far from the
// caches. Of all ways to copy the best in a first pass is taken.
#ifndef PENSTOCK_BENCH_HARNESS_COPY_FLOOR_H_
#define PENSTOCK_BENCH_HARNESS_COPY_FLOOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/paired_runner.h"
#include "bench/harness/report.h"

namespace penstock::bench {

struct CopySize {
  const char* label;        // "1MiB"
  uint64_t bytes;
  uint64_t slots;           // objects over which the destination rotates
  uint64_t copies_a_batch;  // timed together, one observation
  uint64_t batches;         // of one sample
};
inline constexpr CopySize kCopySizes[] = {
    {"1KiB", uint64_t{1} << 10, 16384, 1024, 16},
    {"1MiB", uint64_t{1} << 20, 256, 1, 16},
    {"16MiB", uint64_t{16} << 20, 16, 1, 2},
    {"100MB", 100'000'000, 4, 1, 1},
};
const CopySize& CopySizeOf(std::string_view label);
std::string NameOf(const CopySize& size);  // copy_<label>_gbps

class CopyFloor {
 public:
  // `source` has size.bytes bytes and outlives the floor; the same source is to be used
  // by the operation compared. The first 8 bytes of it are overwritten before each batch.
  static absl::StatusOr<std::unique_ptr<CopyFloor>> Create(const CopySize& size,
                                                           std::byte* source);

  // Called NameOf(size); every copy is compared afterwards, outside of the time taken.
  Series AsSeries(Verification& verification);
  bool is_huge() const { return area_.is_huge(); }
  uint64_t rotation_bytes() const { return size_.slots * size_.bytes; }
  const std::string& way() const { return best_.name; }

 private:
  using Copy = void (*)(std::byte*, const std::byte*, size_t);
  struct Way {
    std::string name;
    Copy copy;
  };

  CopyFloor(const CopySize& size, std::byte* source) : size_(size), source_(source) {}
  std::byte* Slot(uint64_t number);
  void PickBest();
  // GB/s of one batch. False when a copy came out wrong.
  bool CopyBatch(Copy copy, double& gb_per_s);

  CopySize size_;
  std::byte* source_;
  CopyArea area_;
  Way best_{"", nullptr};
  uint64_t next_slot_ = 0;
  uint64_t stamp_ = 0;
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_COPY_FLOOR_H_
