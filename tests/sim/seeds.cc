// Ten thousand seeds.
#include "tests/sim/seeds.h"

#include <cstdlib>

namespace penstock::testing {
namespace {

constexpr uint64_t kSeeds = 10'000;
constexpr int kSteps = 250;

}  // namespace

Outcome RunSeeds() {
  const char* const chosen = std::getenv("PENSTOCK_TEST_SEED");
  const uint64_t first = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  const uint64_t last = chosen != nullptr ? first : kSeeds;
  Outcome outcome;
  for (uint64_t seed = first; seed <= last && outcome.failure.empty(); ++seed) {
    Simulation simulation(seed);
    outcome.failure = simulation.Run(kSteps);
    outcome.failed_seed = seed;
    ++outcome.seeds;
    const SimulationCounts& counts = simulation.counts();
    outcome.counts.steps += counts.steps;
    outcome.counts.sealed += counts.sealed;
    outcome.counts.deleted += counts.deleted;
    outcome.counts.objects_got += counts.objects_got;
    outcome.counts.client_deaths += counts.client_deaths;
    outcome.counts.daemon_deaths += counts.daemon_deaths;
    outcome.counts.hand_overs += counts.hand_overs;
    outcome.counts.spilled += counts.spilled;
    outcome.counts.restored += counts.restored;
    outcome.counts.evicted += counts.evicted;
    outcome.counts.given_back += counts.given_back;
  }
  return outcome;
}

}  // namespace penstock::testing
