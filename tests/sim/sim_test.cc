// Ten thousand seeds show no violation. One that does prints its seed; PENSTOCK_TEST_SEED runs
// that one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/sim/seeds.h"

namespace penstock::testing {
namespace {

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

}  // namespace
}  // namespace penstock::testing
