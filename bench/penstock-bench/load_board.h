// LoadBoard: how the two sides of `turns` know of each other, and what a load tells of itself.
// Plain data in the note of the stage.
#ifndef PENSTOCK_BENCH_LOAD_BOARD_H_
#define PENSTOCK_BENCH_LOAD_BOARD_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "bench/harness/crew.h"

namespace penstock::bench {

// Words of the stage.
inline constexpr size_t kBystanderIsReady = 0;
inline constexpr size_t kLoadIsOver = 1;

// Something that a scenario has to reach, or its figures are of another scenario.
struct Count {
  char name[40] = {};
  uint64_t reached = 0;
  uint64_t wanted = 0;  // 0: only told
};

// Calls with a deadline: how much later than that they came back.
struct LateCalls {
  uint64_t calls = 0;
  uint64_t passed = 0;         // of them: came back because the deadline had passed
  uint64_t beyond_50ms = 0;
  double p999_ms = 0;
  double worst_ms = 0;
  double longest_pause_ms = 0;  // of a thread that only sleeps, beside them
};

struct LoadBoard {
  uint32_t count_count = 0;
  std::array<Count, 12> counts;
  LateCalls late;
  double seconds = 0;

  void Add(std::string_view name, uint64_t reached, uint64_t wanted = 0) {
    if (count_count == counts.size()) return;
    Count& count = counts[count_count++];
    std::memcpy(count.name, name.data(), std::min(name.size(), sizeof(count.name) - 1));
    count.reached = reached;
    count.wanted = wanted;
  }
};
static_assert(std::is_trivially_copyable_v<LoadBoard>);
static_assert(sizeof(LoadBoard) <= Stage::kNoteBytes);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_LOAD_BOARD_H_
