// Parsing and printing of byte counts.
#include "store/base/units.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace penstock {
namespace {

struct Unit {
  std::string_view name;
  double bytes;
};

constexpr Unit kUnits[] = {{"", 1},        {"B", 1},      {"KiB", 1024.0},
                           {"MiB", 1048576.0}, {"GiB", 1073741824.0},
                           {"TiB", 1099511627776.0},      {"kB", 1e3},
                           {"MB", 1e6},    {"GB", 1e9},   {"TB", 1e12}};

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  size_t digits = 0;
  while (digits < text.size() &&
         (std::isdigit(static_cast<unsigned char>(text[digits])) || text[digits] == '.')) {
    ++digits;
  }
  std::string_view unit = text.substr(digits);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, number);
  if (error == std::errc() && end == text.data() + digits) {
    for (const Unit& known : kUnits) {
      if (known.name != unit) continue;
      const double bytes = number * known.bytes;
      if (bytes >= 9.2e18) break;
      return static_cast<uint64_t>(std::llround(bytes));
    }
  }
  return absl::InvalidArgumentError(
      fmt::format("'{}' is no byte count: write a number and one of B, KiB, MiB, GiB, TiB, "
                  "kB, MB, GB, TB, for example 4GiB", text));
}

std::string FormatBytes(uint64_t bytes) {
  if (bytes < kKiB) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  const char* name = "B";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (value < 1023.995) break;  // it would be printed as 1024.00
    value /= 1024;
    name = next;
  }
  return fmt::format("{:.2f} {}", value, name);
}

std::pair<std::string, std::string> FormatBytesApart(uint64_t a, uint64_t b) {
  std::pair<std::string, std::string> texts(FormatBytes(a), FormatBytes(b));
  if (a != b && texts.first == texts.second) {
    texts.first += fmt::format(" ({} B)", a);
    texts.second += fmt::format(" ({} B)", b);
  }
  return texts;
}

}  // namespace penstock
