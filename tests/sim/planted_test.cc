// With a bug planted in the core (CMakeLists.txt) the seeds must show a violation: the test
// passes when the bug is found.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/sim/seeds.h"

namespace penstock::testing {
namespace {

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

}  // namespace
}  // namespace penstock::testing
