// Byte counts as people write them: "4GiB", "64 MiB", "1048576".
#ifndef PENSTOCK_STORE_BASE_UNITS_H_
#define PENSTOCK_STORE_BASE_UNITS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace penstock {

inline constexpr uint64_t kKiB = uint64_t{1} << 10;
inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;
inline constexpr uint64_t kHugePageBytes = 2 * kMiB;

constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Accepts a number and one of B, KiB, MiB, GiB, TiB (binary) or kB, MB, GB, TB
// (decimal). InvalidArgument names the text and the accepted forms.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

// "3.50 GiB", "512 B".
std::string FormatBytes(uint64_t bytes);
// Both, of which one is too large for the other: with every byte where they would look the same.
std::pair<std::string, std::string> FormatBytesApart(uint64_t a, uint64_t b);

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_UNITS_H_
