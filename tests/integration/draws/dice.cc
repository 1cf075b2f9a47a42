// What the values are drawn from.
#include "tests/integration/draws/dice.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "absl/strings/escaping.h"
#include "store/base/units.h"

namespace penstock::draws {
namespace {

constexpr uint64_t kMost64 = std::numeric_limits<uint64_t>::max();
constexpr int64_t kMost63 = std::numeric_limits<int64_t>::max();
constexpr size_t kShownCharacters = 80;

}  // namespace

uint64_t Dice::Word() {
  switch (Roll(4)) {
    case 0: return engine_();
    case 1: return Roll(10);
    case 2: return kMost64 - Roll(3);
    default: return (uint64_t{1} << Roll(64)) - Roll(2);
  }
}

uint64_t Dice::Size(uint64_t most) {
  const uint64_t kind = Roll(1000);
  if (kind < 600) return Roll(256);
  if (kind < 800) return Roll(4 * kKiB);
  if (kind < 920) return Roll(64 * kKiB);
  if (kind < 960) return Roll(std::min(most, 1 * kMiB));
  if (kind < 965) return Roll(most);
  if (kind < 968) return most - 1 + Roll(2);
  if (kind < 980) return most + 1 + Roll(64);
  if (kind < 990) return OneOf({uint64_t{1} << 63, kMost64, kMost64 - 63, kMost64 - 64});
  return Word();
}

size_t Dice::Count() {
  const uint64_t kind = Roll(1000);
  if (kind < 200) return 0;
  if (kind < 500) return 1;
  if (kind < 900) return Roll(10);
  if (kind < 990) return Roll(100);
  if (kind < 998) return 1000;
  return 100'000;
}

size_t Dice::MetadataSize() {
  const uint64_t kind = Roll(1000);
  if (kind < 700) return 0;
  if (kind < 900) return Roll(65);
  if (kind < 970) return Roll(4 * kKiB);
  if (kind < 985) return 1 * kMiB - Roll(2);
  return 1 * kMiB + 1;
}

absl::Duration Dice::Deadline() {
  const uint64_t kind = Roll(1000);
  if (kind < 500) return absl::ZeroDuration();
  if (kind < 550) return -absl::InfiniteDuration();
  if (kind < 600) return absl::Nanoseconds(std::numeric_limits<int64_t>::min());
  // Not a number becomes an infinite duration of the same sign.
  if (kind < 630) return absl::Seconds(-std::numeric_limits<double>::quiet_NaN());
  if (kind < 700) return -absl::Seconds(static_cast<int64_t>(Roll(1'000'000)));
  if (kind < 800) return absl::Nanoseconds(static_cast<int64_t>(1 + Roll(1000)));
  if (kind < 995) return absl::Microseconds(static_cast<int64_t>(Roll(3000)));
  return absl::Milliseconds(static_cast<int64_t>(Roll(300)));
}

absl::Duration Dice::EndlessDeadline() {
  switch (Roll(6)) {
    case 0: return absl::Nanoseconds(kMost63);
    case 1: return absl::Seconds(kMost63);
    case 2: return absl::Milliseconds(std::numeric_limits<uint32_t>::max());
    case 3: return absl::Seconds(std::numeric_limits<double>::quiet_NaN());
    case 4: return absl::Hours(24 * 365);
    default: return absl::InfiniteDuration();
  }
}

std::string Dice::Name() {
  switch (Roll(8)) {
    case 0: return {};
    case 1: return Percent(3) ? std::string(1 * kMiB, 'n') : std::string(1000, 'n');
    case 2: return std::string("a\0b", 3);
    case 3: return std::string(1, static_cast<char>(Roll(256)));
    case 4: {
      std::string digits(48, '0');
      for (char& digit : digits) digit = "0123456789abcdefABCDEF"[Roll(22)];
      if (Percent(30)) digits[Roll(48)] = static_cast<char>(Roll(256));
      return digits;
    }
    default: return fmt::format("name {}", Roll(20));  // few, so that they meet
  }
}

std::string Dice::Dir(const std::string& right) {
  switch (Roll(16)) {
    case 0: return "/";
    case 1: return "/dev/null";
    case 2: return right + "/none";
    case 3: return std::string(93 + Roll(4), 'd');
    case 4: return Percent(3) ? std::string(1 * kMiB, '/') : std::string(1000, '/');
    case 5: return right + std::string("\0/other", 7);
    case 6: return {};  // that of the environment
    default: return right;
  }
}

int64_t Dice::Extent() {
  const uint64_t kind = Roll(100);
  if (kind < 60) return static_cast<int64_t>(Roll(9));
  if (kind < 90) return static_cast<int64_t>(Roll(70));
  return static_cast<int64_t>(Word());
}

std::vector<int64_t> Dice::Extents(size_t most_dimensions) {
  const size_t dimensions = Percent(1) ? 1000 : Percent(3) ? Roll(12) : Roll(4);
  std::vector<int64_t> extents(std::min(dimensions, most_dimensions));
  for (int64_t& extent : extents) extent = Extent();
  return extents;
}

std::string Shown(const std::string& text) {
  if (text.size() <= kShownCharacters) return absl::CHexEscape(text);
  return fmt::format("{}... of {} characters", absl::CHexEscape(text.substr(0, 20)), text.size());
}

std::string Shown(absl::Duration duration) { return absl::FormatDuration(duration); }

std::string Shown(const std::vector<int64_t>& numbers) {
  if (numbers.size() > 12) return fmt::format("{} numbers", numbers.size());
  return fmt::format("{{{}}}", fmt::join(numbers, ", "));
}

}  // namespace penstock::draws
