// LogBudget: so many lines a second and no more, for what anybody can cause at will. The
// lines left out are counted, and the next line says how many they were.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_LOG_BUDGET_H_
#define PENSTOCK_TOOLS_PENSTOCKD_LOG_BUDGET_H_

#include <cstdint>
#include <optional>
#include <utility>

namespace penstock {

// Thread safety: one thread.
class LogBudget {
 public:
  explicit LogBudget(uint32_t lines_per_second) : most_(lines_per_second) {}

  // Whether a line may be written now: how many were left out before it.
  std::optional<uint64_t> Take(int64_t now_ns) {
    if (now_ns - second_began_ns_ >= 1'000'000'000) {
      second_began_ns_ = now_ns;
      written_ = 0;
    }
    if (written_ >= most_) {
      ++left_out_;
      return std::nullopt;
    }
    ++written_;
    return std::exchange(left_out_, 0);
  }

 private:
  const uint32_t most_;
  int64_t second_began_ns_ = 0;
  uint32_t written_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_LOG_BUDGET_H_
