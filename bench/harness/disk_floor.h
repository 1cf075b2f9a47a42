// DiskFloor: how fast this disk takes and gives one file, without any store: sequential
// O_DIRECT writes into a new file, and reads of it, in large blocks, several in flight.
//
// Block size, depth and whether the file's space is reserved first are the best of a first
// pass over a part of the file, for writes and for reads.
#ifndef PENSTOCK_BENCH_HARNESS_DISK_FLOOR_H_
#define PENSTOCK_BENCH_HARNESS_DISK_FLOOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/paired_runner.h"
#include "bench/harness/report.h"

namespace penstock::bench {

class DiskFloor {
 public:
  // A file of `bytes` (a multiple of 4 MiB) in `dir`, from and to memory of the floor's own.
  static absl::StatusOr<std::unique_ptr<DiskFloor>> Create(const std::string& dir,
                                                           uint64_t bytes);
  ~DiskFloor();

  // disk_write_gbps: a new file each time, deleted outside of the time taken.
  Series Writes();
  // disk_read_gbps: of the file written last, compared outside of the time taken.
  Series Reads(Verification& verification);
  // disk_write_dd_gbps, disk_read_dd_gbps: the same one block after the other, as dd with
  // bs=4M and oflag=direct or iflag=direct.
  Series WritesLikeDd();
  Series ReadsLikeDd(Verification& verification);

 private:
  struct Way {
    uint64_t block_bytes = 0;
    unsigned depth = 0;
    bool reserve = false;
    std::string ToString() const;
  };

  DiskFloor(std::string path, uint64_t bytes) : path_(std::move(path)), bytes_(bytes) {}
  absl::Status PickBest();
  absl::StatusOr<double> WriteOnce(const Way& way, uint64_t bytes);
  absl::StatusOr<double> ReadOnce(const Way& way, uint64_t bytes);
  Series WriteSeries(const char* name, const Way& way);
  Series ReadSeries(const char* name, const Way& way, Verification& verification);

  std::string path_;
  uint64_t bytes_;
  CopyArea from_;
  CopyArea to_;
  Way write_way_;
  Way read_way_;
  uint64_t stamp_ = 0;
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_DISK_FLOOR_H_
