// Bystander: a client that does a little all the time, beside a load. What its calls take is what
// others feel of that load.
#ifndef PENSTOCK_BENCH_BYSTANDER_H_
#define PENSTOCK_BENCH_BYSTANDER_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/harness/crew.h"

namespace penstock::bench {

inline constexpr int kBystanderMember = 0;
// A put, get and delete, and then a question, begin once in this time where they take less.
inline constexpr int64_t kBystanderPeriod_ns = 1'000'000;

// In microseconds.
struct BystanderTimes {
  std::vector<double> put_get_delete;
  std::vector<double> question;  // for an object that is not there: the daemon answers
};

// The bystander of the store in `dir`: for `quiet_ns` if that is not 0, or until the load is over
// (load_board.h).
Part BystanderPart(const std::string& dir, int64_t quiet_ns);
BystanderTimes TimesOf(std::span<const double> observations);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_BYSTANDER_H_
