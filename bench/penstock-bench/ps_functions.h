// What the actors and workers of `penstock-bench ps` run. Registered in every copy of this
// program.
#ifndef PENSTOCK_BENCH_PS_FUNCTIONS_H_
#define PENSTOCK_BENCH_PS_FUNCTIONS_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <penstock/parameter_server.h>
#include <penstock/runtime.h>

namespace penstock::bench {

// A worker of the reference workload: so many rounds, every update written anew.
int WorkOnParameters(ParameterServer server, uint64_t count, int iterations, bool contiguous);

// A shard as somebody writes it who knows actors and arrays only: each update makes a
// version of its own.
class PlainShard {
 public:
  explicit PlainShard(uint64_t count) : parameters_(Array<double>::Zeros(count)) {}
  Array<double> Get() { return parameters_; }
  void Add(Array<double> update) {
    parameters_ = Array<double>::Sum(parameters_, std::span(&update, 1));
  }

 private:
  Array<double> parameters_;
};
PlainShard* MakePlainShard(uint64_t count);

using PlainShards = std::vector<ActorHandle<PlainShard>>;
std::vector<Array<double>> ViewsOf(const PlainShards& shards);
// The same worker for plain shards.
int WorkOnPlainShards(PlainShards shards, uint64_t count, int iterations, bool contiguous);

// A worker of one synchronous round: kScale x parameters + kSummand, one pass, no
// contiguous copy.
inline constexpr double kScale = 1e-3;
inline constexpr double kSummand = 1;
Array<double> UpdateFromViews(std::vector<Array<double>> views);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_PS_FUNCTIONS_H_
