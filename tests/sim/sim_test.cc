// Ten thousand seeds. A violation prints its seed; PENSTOCK_TEST_SEED runs that one.
//
// The same program, compiled with a planted bug (PENSTOCK_SIM_PLANTED, see CMakeLists.txt),
// must find a violation: that test passes when the bug is found.
#include <cstdlib>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/sim/simulation.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kSeeds = 10'000;
constexpr int kSteps = 250;

struct Outcome {
  uint64_t seeds = 0;
  uint64_t failed_seed = 0;
  std::string failure;
  SimulationCounts counts;
};

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

#ifndef PENSTOCK_SIM_PLANTED

TEST(Simulation, TenThousandSeedsShowNoViolation) {
  const Outcome outcome = RunSeeds();
  EXPECT_EQ(outcome.failure, "") << "PENSTOCK_TEST_SEED=" << outcome.failed_seed;
  const SimulationCounts& counts = outcome.counts;
  fmt::print("{} seeds, {} steps: {} objects sealed, {} got, {} deletes, {} evicted, {} to disk, "
             "{} back, {} deaths of clients, {} of daemons, {} hand-overs, {} extents given "
             "back; violations: {}\n",
             outcome.seeds, counts.steps, counts.sealed, counts.objects_got, counts.deleted,
             counts.evicted, counts.spilled, counts.restored, counts.client_deaths,
             counts.daemon_deaths, counts.hand_overs, counts.given_back,
             outcome.failure.empty() ? 0 : 1);
  // One that does nothing finds nothing.
  EXPECT_GT(counts.sealed, 10 * outcome.seeds);
  EXPECT_GT(counts.objects_got, 5 * outcome.seeds);
  EXPECT_GT(counts.daemon_deaths, outcome.seeds / 2);
  EXPECT_GT(counts.hand_overs, outcome.seeds / 2);
  EXPECT_GT(counts.client_deaths, outcome.seeds);
  EXPECT_GT(counts.given_back, outcome.seeds);
  EXPECT_GT(counts.spilled, outcome.seeds / 4);
  EXPECT_GT(counts.restored, outcome.seeds / 8);
}

#else

// A check of the core's own ends the program; that is finding it too.
TEST(SimulationDeathTest, FindsThePlantedBug) {
  EXPECT_EXIT(
      {
        const Outcome outcome = RunSeeds();
        if (!outcome.failure.empty()) {
          fmt::print(stderr, "violation found with seed {}: {}\n", outcome.failed_seed,
                     outcome.failure);
          _exit(7);
        }
        _exit(0);
      },
      [](int status) {
        return (WIFEXITED(status) && WEXITSTATUS(status) == 7) || WIFSIGNALED(status);
      },
      "violation found|check failed");
}

#endif

}  // namespace
}  // namespace penstock::testing
