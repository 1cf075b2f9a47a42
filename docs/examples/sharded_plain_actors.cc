// The sharded parameter server once more, from plain actors and arrays: no ParameterShard.
//   sharded-plain-actors [--params 12500000] [--shards 2] [--workers 4] [--iterations 5]
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <vector>
#include <penstock/array_value.h>
#include <penstock/runtime.h>

using penstock::Actor, penstock::Array, penstock::ObjectRef, penstock::Task;

// The actor: a plain struct, and a function that makes one.
struct Shard {
  Array<double> parameters;
  Array<double> GetParameters() const { return parameters; }  // no copy
  void UpdateParameters(const Array<double>& update) {
    parameters = Array<double>::Sum(parameters, std::vector{update});
  }
};
Shard* MakeShard(uint64_t count) { return new Shard{Array<double>::Zeros(count)}; }
using Shards = std::vector<penstock::ActorHandle<Shard>>;

// The full vector: all shards are asked at once.
Array<double> GetAll(const Shards& shards) {
  std::vector<ObjectRef<Array<double>>> refs;
  for (const auto& shard : shards) refs.push_back(shard.Task(&Shard::GetParameters).Remote());
  std::vector<Array<double>> parts;
  for (const auto& ref : refs) parts.push_back(*ref.Get());
  return Array<double>::Concatenate(parts);
}
int Work(const Shards& shards, int iterations) {
  for (int i = 0; i < iterations; ++i) {
    const auto pieces = Array<double>::Ones(GetAll(shards).size()).Split(shards.size());
    for (size_t k = 0; k < shards.size(); ++k) {
      shards[k].Task(&Shard::UpdateParameters).Remote(pieces[k]);
    }
  }
  // A caller's calls run in order: when these are answered, its updates are in.
  for (const auto& shard : shards) shard.Task(&Shard::GetParameters).Remote().Get();
  return iterations;
}
PENSTOCK_REMOTE(MakeShard, &Shard::GetParameters, &Shard::UpdateParameters, Work);

int main(int argc, char** argv) try {
  uint64_t params = 12'500'000;
  int count = 2, workers = 4, iterations = 5;
  CLI::App app{"A sharded parameter server from plain actors"};
  app.option_defaults()->always_capture_default();
  app.add_option("--params", params, "8 bytes each")->check(CLI::Range(1, 1'000'000'000));
  app.add_option("--shards", count, "actors that hold them")->check(CLI::Range(1, 256));
  app.add_option("--workers", workers, "tasks that update them")->check(CLI::Range(1, 256));
  app.add_option("--iterations", iterations, "of each worker")->check(CLI::Range(1, 1'000'000));
  CLI11_PARSE(app, argc, argv);
  if (params % count != 0) throw penstock::UsageError("--shards does not divide --params");
  // All workers run, on however many cores. In a worker Init serves and does not return.
  penstock::Init({.num_cpus = uint32_t(workers), .max_workers = uint32_t(workers + count)});
  Shards shards;
  for (int i = 0; i < count; ++i) shards.push_back(Actor(MakeShard).Remote(params / count));
  std::printf("self-check: one worker, one iteration\n");
  Task(Work).Remote(shards, 1).Get();
  const bool checked = GetAll(shards).AllEqual(1);
  const auto start = std::chrono::steady_clock::now();
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < workers; ++i) refs.push_back(Task(Work).Remote(shards, iterations));
  for (int i = 0; i < workers; ++i) {
    refs[i].Get();  // throws what the worker threw
    std::printf("worker %d of %d is done\n", i + 1, workers);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const int expected = 1 + workers * iterations;
  const bool right = checked && GetAll(shards).AllEqual(expected);
  std::printf(right ? "every one of %zu parameters is %d, the number of updates\n"
                    : "WRONG: not every one of %zu parameters is %d\n", params, expected);
  std::printf("This took %.3f seconds.\n", took.count());
  return right ? 0 : 1;
} catch (const penstock::Error& error) {
  std::fprintf(stderr, "sharded-plain-actors: %s\n", error.what());
  return 2;
}
