// What a run found, as a table for people and as the JSON object of DESIGN section 15.
#ifndef PENSTOCK_BENCH_HARNESS_REPORT_H_
#define PENSTOCK_BENCH_HARNESS_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/harness/statistics.h"

namespace penstock::bench {

struct Result {
  std::string name;
  std::string unit;
  double value = 0;  // the median
  Quantiles quantiles;
  uint64_t operations = 0;
  std::optional<std::string> floor;  // name of the floor it was sampled against
  std::optional<double> ratio;       // value over floor
  double aa_ratio = 0;  // NaN: measured once
  bool noisy = false;
  nlohmann::ordered_json more = nlohmann::ordered_json::object();  // further fields
};

// One figure, not a distribution: a size, a share, or the worst of all.
Result Figure(std::string name, std::string unit, double value);

struct Host {
  int cpus = 0;
  std::string cpu;    // its model, what of it is used, its caches
  std::string copies; // kernels for large copies that this process ended with
  std::string kernel;
  std::string pages;  // kind of pages the benchmark's shared memory has
  std::string io;     // io_uring, epoll or none
};
// CPUs this process may use, their model, and the kernel's release. `pages` and `io` are the
// caller's; `copies` is known at the end.
Host DescribeHost();

// Whether all that was moved came out right. The first fault is kept for the reader.
class Verification {
 public:
  void Fail(std::string what) {
    if (ok_) fault_ = std::move(what);
    ok_ = false;
  }
  bool ok() const { return ok_; }
  const std::string& fault() const { return fault_; }

 private:
  bool ok_ = true;
  std::string fault_;
};

struct Report {
  std::string bench;
  bool quick = false;
  Host host;
  std::vector<std::pair<std::string, double>> floors;
  std::vector<Result> results;
  Verification verification;
  std::string verified = "every byte moved was compared";  // what that means
  std::string grid;  // lines for people, between the results and the notes
  std::vector<std::string> notes;

  nlohmann::ordered_json ToJson() const;
  std::string ToTable() const;
  Result* Find(const std::string& name);
  void AddNote(const char* note);
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_REPORT_H_
