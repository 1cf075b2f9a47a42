// The sharded parameter server: actors hold shards of a vector of float64; workers get all
// of it, make an update, and each shard is sent its piece.
//   sharded-parameter-server [--params 12500000] [--shards 2] [--workers 4] [--iterations 5]
//                            [--gather views|contiguous] [--mode async|sync]
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <penstock/parameter_server.h>

using penstock::Array, penstock::ObjectRef, penstock::ParameterServer, penstock::Task;

// A worker's part of one iteration: all parameters in; an update of ones, written anew, out.
Array<double> Compute(const ParameterServer& server, uint64_t params, bool whole) {
  whole ? void(server.Contiguous()) : void(server.Views());
  return Array<double>::Ones(params);
}
// Asynchronous: every worker goes at its own pace.
int Work(ParameterServer server, uint64_t params, bool whole, int iterations) {
  for (int i = 0; i < iterations; ++i) server.Update(Compute(server, params, whole));
  server.Flush();  // the shards have all that was sent
  return iterations;
}
PENSTOCK_REMOTE(Compute, Work);

void RunAsync(ParameterServer& server, uint64_t params, bool whole, int workers, int n) {
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < workers; ++i) refs.push_back(Task(Work).Remote(server, params, whole, n));
  for (int i = 0; i < workers; ++i) {
    refs[i].Get();  // throws what the worker threw
    std::printf("worker %d of %d is done\n", i + 1, workers);
  }
}
// Synchronous: in each round the shards take the updates of all workers together.
void RunSync(ParameterServer& server, uint64_t params, bool whole, int workers, int n) {
  for (int round = 1; round <= n; ++round) {
    std::vector<ObjectRef<Array<double>>> refs;
    for (int i = 0; i < workers; ++i) refs.push_back(Task(Compute).Remote(server, params, whole));
    server.UpdateTogether(refs);
    std::printf("round %d of %d is done\n", round, n);
  }
}

int main(int argc, char** argv) try {
  uint64_t params = 12'500'000;
  int shards = 2, workers = 4, iterations = 5;
  std::string gather = "views", mode = "async";
  CLI::App app{"A sharded parameter server on this machine"};
  app.option_defaults()->always_capture_default();
  app.add_option("--params", params, "8 bytes each")->check(CLI::Range(1, 1'000'000'000));
  app.add_option("--shards", shards, "actors that hold them")->check(CLI::Range(1, 256));
  app.add_option("--workers", workers, "tasks that update them")->check(CLI::Range(1, 256));
  app.add_option("--iterations", iterations, "of each worker")->check(CLI::Range(1, 1'000'000));
  app.add_option("--gather", gather)->check(CLI::IsMember({"views", "contiguous"}));
  app.add_option("--mode", mode)->check(CLI::IsMember({"async", "sync"}));
  CLI11_PARSE(app, argc, argv);
  const int vectors = (gather == "contiguous" ? 3 : 2) * workers + 4;  // alive at a time
  // All workers run, on however many cores. In a worker Init serves and does not return.
  penstock::Init({.num_cpus = uint32_t(workers), .max_workers = uint32_t(workers + shards),
                  .memory = params * 8 * uint64_t(vectors) + (64 << 20), .prefault = true});
  ParameterServer server(params, uint32_t(shards));
  const auto run = mode == "sync" ? RunSync : RunAsync;
  std::printf("self-check: one worker, one iteration\n");
  run(server, params, gather == "contiguous", 1, 1);
  bool right = server.Contiguous().AllEqual(1);
  const auto start = std::chrono::steady_clock::now();
  run(server, params, gather == "contiguous", workers, iterations);
  const auto views = server.Views();  // every update is in them
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const int expected = 1 + workers * iterations;
  for (const auto& view : views) right = right && view.AllEqual(expected);
  std::printf(right ? "every one of %zu parameters is %d, the number of updates\n"
                    : "WRONG: not every one of %zu parameters is %d\n", params, expected);
  std::printf("This took %.3f seconds.\n", took.count());
  return right ? 0 : 1;
} catch (const penstock::Error& error) {
  std::fprintf(stderr, "sharded-parameter-server: %s\n", error.what());
  return 2;
}
