// Plain reads and writes of one file.
#include "bench/harness/disk_floor.h"

#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/statistics.h"
#include "store/base/errors.h"
#include "store/base/unique_fd.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr int kTrials = 3;
constexpr uint64_t kMostTrialBytes = 256 * kMiB;
constexpr uint64_t kDdBlockBytes = 4 * kMiB;

// Moves the whole file, `depth` blocks in flight. Where io_uring is refused there is no
// floor, and no figure.
absl::Status Move(int fd, bool is_write, std::byte* memory, uint64_t bytes,
                  uint64_t block_bytes, unsigned depth) {
  io_uring ring;
  if (const int result = io_uring_queue_init(depth, &ring, 0); result < 0) {
    return ErrnoStatus(-result, "io_uring of the disk floor");
  }
  uint64_t asked = 0, done = 0;
  int error = 0;
  while (done < bytes && error == 0) {
    while (asked < bytes && asked - done < block_bytes * depth) {
      io_uring_sqe* entry = io_uring_get_sqe(&ring);
      const auto block = static_cast<unsigned>(block_bytes);
      if (is_write) {
        io_uring_prep_write(entry, fd, memory + asked, block, asked);
      } else {
        io_uring_prep_read(entry, fd, memory + asked, block, asked);
      }
      asked += block_bytes;
    }
    io_uring_submit_and_wait(&ring, 1);
    io_uring_cqe* completion = nullptr;
    while (io_uring_peek_cqe(&ring, &completion) == 0) {
      if (completion->res != static_cast<int>(block_bytes)) {
        error = completion->res < 0 ? -completion->res : EIO;
      }
      done += block_bytes;
      io_uring_cqe_seen(&ring, completion);
    }
  }
  io_uring_queue_exit(&ring);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "the disk floor's file");
}

}  // namespace

std::string DiskFloor::Way::ToString() const {
  return fmt::format("{} blocks, {} in flight{}", FormatBytes(block_bytes), depth,
                     reserve ? ", space reserved" : "");
}

absl::StatusOr<std::unique_ptr<DiskFloor>> DiskFloor::Create(const std::string& dir,
                                                             uint64_t bytes) {
  std::unique_ptr<DiskFloor> floor(new DiskFloor(dir + "/disk-floor", bytes));
  PENSTOCK_ASSIGN_OR_RETURN(floor->from_, CopyArea::Create("disk-floor-from", bytes));
  PENSTOCK_ASSIGN_OR_RETURN(floor->to_, CopyArea::Create("disk-floor-to", bytes));
  FillPattern(floor->from_.data(), bytes, 1);
  PENSTOCK_RETURN_IF_ERROR(floor->PickBest());
  return floor;
}

DiskFloor::~DiskFloor() { unlink(path_.c_str()); }

absl::StatusOr<double> DiskFloor::WriteOnce(const Way& way, uint64_t bytes) {
  unlink(path_.c_str());
  ++stamp_;
  std::memcpy(from_.data(), &stamp_, sizeof(stamp_));
  const int64_t start_ns = NowNs();
  const UniqueFd fd(open(path_.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, "making " + path_, "Give --dir a disk");
  if (way.reserve && fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) != 0) {
    return ErrnoStatus(errno, "reserving space for " + path_);
  }
  PENSTOCK_RETURN_IF_ERROR(
      Move(fd.get(), /*is_write=*/true, from_.data(), bytes, way.block_bytes, way.depth));
  return static_cast<double>(bytes) / static_cast<double>(NowNs() - start_ns);
}

absl::StatusOr<double> DiskFloor::ReadOnce(const Way& way, uint64_t bytes) {
  const int64_t start_ns = NowNs();
  const UniqueFd fd(open(path_.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "opening " + path_);
  PENSTOCK_RETURN_IF_ERROR(
      Move(fd.get(), /*is_write=*/false, to_.data(), bytes, way.block_bytes, way.depth));
  return static_cast<double>(bytes) / static_cast<double>(NowNs() - start_ns);
}

absl::Status DiskFloor::PickBest() {
  std::vector<Way> ways;
  for (const uint64_t block_bytes : {1 * kMiB, 4 * kMiB}) {
    for (const unsigned depth : {1u, 4u, 16u}) {
      ways.push_back({block_bytes, depth, false});
      ways.push_back({block_bytes, depth, true});
    }
  }
  const uint64_t bytes = std::min(bytes_, kMostTrialBytes);
  std::vector<std::vector<double>> writes(ways.size()), reads(ways.size());
  for (int trial = 0; trial < kTrials; ++trial) {
    for (size_t i = 0; i < ways.size(); ++i) {
      PENSTOCK_ASSIGN_OR_RETURN(const double write, WriteOnce(ways[i], bytes));
      PENSTOCK_ASSIGN_OR_RETURN(const double read, ReadOnce(ways[i], bytes));
      writes[i].push_back(write);
      reads[i].push_back(read);
    }
  }
  const auto best = [&](const std::vector<std::vector<double>>& seen) {
    size_t at = 0;
    for (size_t i = 1; i < ways.size(); ++i) {
      if (Median(seen[i]) > Median(seen[at])) at = i;
    }
    return ways[at];
  };
  write_way_ = best(writes);
  read_way_ = best(reads);
  read_way_.reserve = false;  // of no meaning for a read
  return absl::OkStatus();
}

Series DiskFloor::WriteSeries(const char* name, const Way& way) {
  Series series;
  series.name = name;
  series.unit = "GB/s";
  series.kind = Kind::kRate;
  series.more["way"] = way.ToString();
  series.more["bytes"] = bytes_;
  series.take = [this, way](Sample& sample) -> absl::Status {
    PENSTOCK_ASSIGN_OR_RETURN(const double rate, WriteOnce(way, bytes_));
    sample.Add(rate);
    return absl::OkStatus();
  };
  return series;
}

Series DiskFloor::ReadSeries(const char* name, const Way& way, Verification& verification) {
  Series series;
  series.name = name;
  series.unit = "GB/s";
  series.kind = Kind::kRate;
  series.more["way"] = way.ToString();
  series.more["bytes"] = bytes_;
  series.take = [this, name, way, &verification](Sample& sample) -> absl::Status {
    PENSTOCK_ASSIGN_OR_RETURN(const double rate, ReadOnce(way, bytes_));
    sample.Add(rate);
    if (std::memcmp(from_.data(), to_.data(), bytes_) != 0) {
      verification.Fail(fmt::format("{}: the file holds other bytes", name));
    }
    return absl::OkStatus();
  };
  return series;
}

Series DiskFloor::Writes() { return WriteSeries("disk_write_gbps", write_way_); }
Series DiskFloor::Reads(Verification& verification) {
  return ReadSeries("disk_read_gbps", read_way_, verification);
}
Series DiskFloor::WritesLikeDd() {
  return WriteSeries("disk_write_dd_gbps", {kDdBlockBytes, 1, false});
}
Series DiskFloor::ReadsLikeDd(Verification& verification) {
  return ReadSeries("disk_read_dd_gbps", {kDdBlockBytes, 1, false}, verification);
}

}  // namespace penstock::bench
