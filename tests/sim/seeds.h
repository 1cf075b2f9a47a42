// The seeds that every simulator program runs, until one shows a violation.
#ifndef PENSTOCK_TESTS_SIM_SEEDS_H_
#define PENSTOCK_TESTS_SIM_SEEDS_H_

#include <cstdint>
#include <string>

#include "tests/sim/simulation.h"

namespace penstock::testing {

struct Outcome {
  uint64_t seeds = 0;
  uint64_t failed_seed = 0;
  std::string failure;
  SimulationCounts counts;
};

// All of them, or the one that PENSTOCK_TEST_SEED names.
Outcome RunSeeds();

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_SIM_SEEDS_H_
