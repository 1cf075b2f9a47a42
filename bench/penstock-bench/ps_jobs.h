// The jobs that `penstock-bench ps` times, on a cluster that is up. Each is made once and
// run any number of times; after every run all elements are compared, untimed.
#ifndef PENSTOCK_BENCH_PS_JOBS_H_
#define PENSTOCK_BENCH_PS_JOBS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <penstock/parameter_server.h>

#include "bench/harness/paired_runner.h"
#include "bench/harness/ps_floor.h"
#include "bench/harness/report.h"

namespace penstock::bench {

// One way to hold the parameters and to work on them.
struct PsWay {
  std::string name;
  std::function<ObjectRef<int>(int iterations)> start_worker;  // it tells its updates
  std::function<std::vector<Array<double>>()> views;           // with every update sent so far
  std::function<std::vector<Array<double>>()> as_worked_on;    // the same as the workers see it
};
PsWay ServerWay(std::string name, const PsWorkload& workload, bool contiguous);
PsWay PlainActorsWay(std::string name, const PsWorkload& workload, bool contiguous);

// The reference workload: workers that wait for nobody, updates of ones.
class AsynchronousJob {
 public:
  // Does the self-check: one worker, one iteration.
  AsynchronousJob(PsWay way, Verification& verification);
  // Seconds of all workers at once, until every update has been applied.
  double Run(uint32_t workers, uint32_t iterations);

 private:
  void Check();

  const PsWay way_;
  Verification& verification_;
  int expected_ = 0;  // of every element: the updates so far
};

// Rounds: each worker makes an update from the same version, and all updates of a round
// make one version together.
class SynchronousJob {
 public:
  // Does one round as a self-check.
  SynchronousJob(std::string name, const PsWorkload& workload, Verification& verification);
  // Seconds of workload.iterations rounds. The elements are compared after each round.
  double Run();

 private:
  double RunRound();
  void CheckRound();

  const std::string name_;
  const PsWorkload workload_;
  Verification& verification_;
  ParameterServer server_;
  // Of every element. It grows by a factor of 1 + workers x kScale a round: with 4 workers
  // it stays finite for 170,000 rounds, hours of them.
  double expected_ = 0;
};

// A row of the seconds that `run` returns, one run a sample.
Series SecondsOf(std::string name, std::function<double()> run);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_PS_JOBS_H_
