// The sharded parameter server: actors hold shards of a vector of float64; workers get all
// of it, make an update, and send each shard its piece.
//
//   sharded-parameter-server [--params 12500000] [--shards 2] [--workers 4]
//                            [--iterations 5] [--gather views|contiguous]
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>

#include <penstock/parameter_server.h>
#include <penstock/runtime.h>

using penstock::Array;
using penstock::ParameterServer;

// A worker: so many rounds, each with an update of ones written anew.
int Work(ParameterServer server, uint64_t params, int iterations, bool contiguous) {
  for (int i = 0; i < iterations; ++i) {
    if (contiguous) {
      server.Contiguous();
    } else {
      server.Views();
    }
    server.Update(Array<double>::Ones(params));
  }
  server.Views();  // each shard has taken what this worker sent
  return iterations;
}
PENSTOCK_REMOTE(Work);

int main(int argc, char** argv) {
  penstock::Config config;
  uint64_t params = 12'500'000;
  int shards = 2, workers = 4, iterations = 5;
  std::string gather = "views";
  CLI::App app{"A sharded parameter server on this machine"};
  app.add_option("--params", params, "parameters, 8 bytes each")->capture_default_str();
  app.add_option("--shards", shards, "actors that hold them")->capture_default_str();
  app.add_option("--workers", workers, "tasks that update them")->capture_default_str();
  app.add_option("--iterations", iterations, "rounds of each worker")->capture_default_str();
  app.add_option("--gather", gather, "views or contiguous")
      ->check(CLI::IsMember({"views", "contiguous"}))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  // As many as the workers, so that all of them run, on however many cores.
  config.num_cpus = static_cast<uint32_t>(workers);
  penstock::Init(config, argc, argv);  // a worker serves in here, and does not return

  const bool contiguous = gather == "contiguous";
  const ParameterServer server(params, static_cast<uint32_t>(shards));
  std::printf("self-check: one worker, one iteration\n");
  int expected = *penstock::Task(Work).Remote(server, params, 1, contiguous).Get();

  const auto start = std::chrono::steady_clock::now();
  std::vector<penstock::ObjectRef<int>> running;
  for (int i = 0; i < workers; ++i) {
    running.push_back(penstock::Task(Work).Remote(server, params, iterations, contiguous));
  }
  while (!running.empty()) {
    auto waited = penstock::Wait(running, 1);
    for (const auto& ref : waited.ready) expected += *ref.Get();
    running = std::move(waited.unready);
    std::printf("%d of %d workers are done\n", workers - static_cast<int>(running.size()),
                workers);
  }
  const auto views = server.Views();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  for (const auto& view : views) {
    if (!view.AllEqual(expected)) {
      std::printf("WRONG: not every parameter is %d\n", expected);
      return 1;
    }
  }
  std::printf("every one of %zu parameters is %d, the number of updates\n", size_t{params},
              expected);
  std::printf("This took %.3f seconds.\n", took.count());
  penstock::Shutdown();
}
