// PsFloor: how fast this machine moves the bytes of the sharded parameter server, without
// any store, process or message: the same traffic as loops over mapped memory.
//
// One worker iteration over N bytes of parameters is
//
//   views        the update written (N); read, with the version before, and a new version
//                written (2 N read, N written)
//   contiguous   the version first copied into one array (N read, N written), then the same
//   views_read   the update computed from the version (N read more): 1e-3 x version + b
//
// Nothing is fused: each pass ends before the next begins. The work is divided among as
// many threads as the real thing can use cores, each on a core of its own with an equal
// share of the elements, so that nobody waits for anybody: less than that is no floor.
//
// Memory goes round as the real thing's does, on the same kind of pages, mapped and touched
// beforehand: an update and a contiguous array for each worker, and three versions (the one
// that readers hold, the current one, the one that is made).
#ifndef PENSTOCK_BENCH_HARNESS_PS_FLOOR_H_
#define PENSTOCK_BENCH_HARNESS_PS_FLOOR_H_

#include <array>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/harness/paired_runner.h"
#include "bench/harness/report.h"

namespace penstock::bench {

enum class PsTraffic { kViews, kContiguous, kViewsRead };
inline constexpr PsTraffic kPsTraffics[] = {PsTraffic::kViews, PsTraffic::kContiguous,
                                            PsTraffic::kViewsRead};

// ps_views_floor_s, ps_contiguous_floor_s or ps_views_read_floor_s.
std::string NameOf(PsTraffic traffic);

// The reference workload of DESIGN section 8.
struct PsWorkload {
  uint64_t bytes = 100'000'000;  // of float64 parameters, all shards together
  uint32_t shards = 2;
  uint32_t workers = 4;
  uint32_t iterations = 5;  // of each worker
};

inline constexpr int kPsTrials = 3;

// Thread safety: one thread at a time; a sample runs on threads of its own.
class PsFloor {
 public:
  // One thread on each of the first `cpus`, of at most as many as there are workers and
  // shards. `trials`: how often each way to do a traffic is tried before its first sample.
  // Errors: ResourceExhausted (with 4 workers 7 x workload.bytes of memory),
  // InvalidArgument. Cost: a second or two for the reference workload.
  static absl::StatusOr<std::unique_ptr<PsFloor>> Create(const PsWorkload& workload,
                                                         std::vector<int> cpus,
                                                         int trials = kPsTrials);
  ~PsFloor();
  PsFloor(const PsFloor&) = delete;
  PsFloor& operator=(const PsFloor&) = delete;

  // Seconds from the first thread's start to the last one's end for all worker iterations,
  // done in the best way for this traffic (sought before the first sample: a second or
  // two). Afterwards every byte of the last version, of the updates and of the contiguous
  // arrays is compared, and what differs is told to `verification`; no two samples have the
  // same values. Errors: a thread could not be placed; ResourceExhausted (the first
  // contiguous sample takes memory for the contiguous arrays, one for each worker).
  absl::StatusOr<double> TakeSample(PsTraffic traffic, Verification& verification);

  // Called NameOf(traffic); outlived by the floor and by `verification`.
  Series AsSeries(PsTraffic traffic, Verification& verification);
  bool is_huge() const;

 private:
  struct Way;
  struct Order;  // what all threads of one run are told
  class Share;   // the elements of one thread

  PsFloor(const PsWorkload& workload, std::vector<int> cpus, int trials);
  static std::vector<Way> AllWays();
  absl::StatusOr<const Way*> BestWay(PsTraffic traffic, Verification& verification);
  absl::StatusOr<double> RunAll(PsTraffic traffic, const Way& way, uint32_t iterations,
                                Verification& verification);

  PsWorkload workload_;
  std::vector<int> cpus_;
  int trials_;
  std::vector<std::unique_ptr<Share>> shares_;  // one for each of cpus_
  std::vector<Way> ways_;
  std::array<const Way*, std::size(kPsTraffics)> best_{};  // null: not sought yet
  uint64_t runs_ = 0;
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_PS_FLOOR_H_
