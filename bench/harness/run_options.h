// What every subcommand lets its user choose.
#ifndef PENSTOCK_BENCH_HARNESS_RUN_OPTIONS_H_
#define PENSTOCK_BENCH_HARNESS_RUN_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace penstock::bench {

inline constexpr uint32_t kManySessions = 4096;

struct RunOptions {
  bool json = false;   // one JSON object on standard output instead of a table
  bool quick = false;  // smoke test: few pairs, small counts; proves nothing
  // Longest time for one result; past it a result that has not settled is noisy.
  double seconds = 180;
  // ps: the table over shards and workers instead of the rows.
  bool table = false;
  // spill: where to make the files, empty for /var/tmp; the arena's size, a quarter of what
  // is put; sizes of objects, which take turns.
  std::string dir = {};
  std::string spill_memory = "512MiB";
  std::vector<std::string> object_bytes = {"4MiB", "32MiB"};
  // churn: the arena's size, how much is created in it, which part of it is pinned.
  std::string memory = "8GiB";
  uint64_t creates = 10'000'000;
  double pinned = 0;
  uint64_t seed = 1;
  // restart: what is stored, who works, how often the daemon dies and is handed over.
  std::optional<uint64_t> objects = {};
  int clients = 16;
  int kills = 50;
  int take_overs = 20;
  // turns: letters or names of the scenarios, empty for all. turns, sessions: how many sessions
  // there are where there are many.
  std::vector<std::string> scenarios = {};
  uint32_t sessions = kManySessions;
  // put: what of the processor is not to be used ("avx512,avx2"), by the floor neither.
  std::string withhold = {};
  // copies: how often the choice is made.
  int repeats = 10;
  // floor: the names of those to measure; empty for all.
  std::vector<std::string> only = {};
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_RUN_OPTIONS_H_
