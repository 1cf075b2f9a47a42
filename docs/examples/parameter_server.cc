// The smallest parameter server: one actor holds the parameters, workers get them and send
// back updates of ones, and the driver watches while they run.
//
//   parameter-server [--dim 10] [--workers 2] [--iterations 100]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include <penstock/runtime.h>

// The actor: a plain class, and a function that makes one.
class ParameterServer {
 public:
  explicit ParameterServer(int dim) : parameters_(dim) {}
  std::vector<double> GetParameters() const { return parameters_; }
  void UpdateParameters(const std::vector<double>& update) {
    for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i] += update.at(i);
  }

 private:
  std::vector<double> parameters_;
};
ParameterServer* MakeParameterServer(int dim) { return new ParameterServer(dim); }

// A worker: so many updates, and then the parameters with all of them.
std::vector<double> Work(penstock::ActorHandle<ParameterServer> server, int iterations) {
  const auto get = [&] { return *server.Task(&ParameterServer::GetParameters).Remote().Get(); };
  for (int i = 0; i < iterations; ++i) {
    const std::vector<double> update(get().size(), 1.0);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // where a model would think
    server.Task(&ParameterServer::UpdateParameters).Remote(update);
  }
  return get();
}
PENSTOCK_REMOTE(MakeParameterServer, &ParameterServer::GetParameters,
                &ParameterServer::UpdateParameters, Work);

int main(int argc, char** argv) try {
  int dim = 10, workers = 2, iterations = 100;
  CLI::App app{"A parameter server on this machine, watched while it runs"};
  app.option_defaults()->always_capture_default();
  app.add_option("--dim", dim, "parameters")->check(CLI::Range(1, 1'000'000));
  app.add_option("--workers", workers, "tasks")->check(CLI::Range(1, 256));
  app.add_option("--iterations", iterations, "of each")->check(CLI::Range(1, 1'000'000));
  CLI11_PARSE(app, argc, argv);
  // All workers run, on however many cores. In a worker Init serves and does not return.
  penstock::Init({.num_cpus = uint32_t(workers), .max_workers = uint32_t(workers + 1)});

  const auto server = penstock::Actor(MakeParameterServer).Remote(dim);
  std::vector<penstock::ObjectRef<std::vector<double>>> running;
  for (int i = 0; i < workers; ++i) {
    running.push_back(penstock::Task(Work).Remote(server, iterations));
  }
  const double expected = double(workers) * iterations;
  double next = 0;  // a line at every twentieth of the way
  for (bool done = false; !done;) {
    done = penstock::Wait(running, workers, absl::Milliseconds(5)).unready.empty();
    const double first = server.Task(&ParameterServer::GetParameters).Remote().Get()->front();
    if (first < next && !done) continue;
    std::printf("the first parameter is %g of %g\n", first, expected);
    next = first + expected / 20;
  }
  for (const auto& ref : running) ref.Get();  // throws what the worker threw

  const auto last = penstock::Get(server.Task(&ParameterServer::GetParameters).Remote());
  const bool right = std::ranges::count(*last, expected) == dim;
  std::printf(right ? "every one of %d parameters is %g, the number of updates\n"
                    : "WRONG: not every one of %d parameters is %g\n", dim, expected);
  penstock::Shutdown();
  return right ? 0 : 1;
} catch (const penstock::Error& error) {
  std::fprintf(stderr, "parameter-server: %s\n", error.what());
  return 2;
}
