// Byte counts as people write them.
#include "store/base/units.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Units, EveryUnitIsRead) {
  const std::pair<const char*, uint64_t> cases[] = {
      {"0", 0},           {"1", 1},          {"1048576", kMiB},   {"512B", 512},
      {"4KiB", 4096},     {"64 MiB", 64 * kMiB}, {"4GiB", 4 * kGiB}, {"1TiB", 1024 * kGiB},
      {"1kB", 1000},      {"2MB", 2'000'000},    {"3GB", 3'000'000'000},
      {"1TB", 1'000'000'000'000}, {"1.5KiB", 1536},  {"0.25MiB", 256 * kKiB}};
  for (const auto& [text, bytes] : cases) {
    const auto parsed = ParseBytes(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, bytes) << text;
  }
}

TEST(Units, NonsenseIsRefusedByName) {
  for (const char* text : {"", " ", "GiB", "-1", "+1", "4gib", "4 G", "4GiBs", "1e3", "1..2",
                           ".", "0x10", "nan", "inf", "1,5MiB", " 4GiB", "4GiB ",
                           "99999999999999999999", "9223372036854775808", "9999999TiB"}) {
    const auto parsed = ParseBytes(text);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
    if (*text != '\0') {
      EXPECT_NE(parsed.status().message().find(text), absl::string_view::npos);
    }
    EXPECT_NE(parsed.status().message().find("GiB"), absl::string_view::npos);
  }
}

TEST(Units, PrintedInTheLargestFittingUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.00 KiB");
  EXPECT_EQ(FormatBytes(7 * kGiB / 2), "3.50 GiB");
  EXPECT_EQ(FormatBytes(5000 * kGiB), "4.88 TiB");
  EXPECT_EQ(FormatBytes(~uint64_t{0}), "16777216.00 TiB");
}

TEST(Units, OfWhatWouldLookTheSameEveryByteIsPrinted) {
  EXPECT_EQ(FormatBytesApart(2 * kMiB, kMiB),
            std::pair(std::string("2.00 MiB"), std::string("1.00 MiB")));
  EXPECT_EQ(FormatBytesApart(kMiB + 1, kMiB),
            std::pair(std::string("1.00 MiB (1048577 B)"), std::string("1.00 MiB (1048576 B)")));
  EXPECT_EQ(FormatBytesApart(kMiB, kMiB).first, "1.00 MiB");
  // Not 1024.00 MiB.
  EXPECT_EQ(FormatBytesApart(kGiB - 64, kGiB).first, "1.00 GiB (1073741760 B)");
}

TEST(Units, RoundUpGivesTheNextMultiple) {
  EXPECT_EQ(RoundUp(0, 64), 0u);
  EXPECT_EQ(RoundUp(1, 64), 64u);
  EXPECT_EQ(RoundUp(64, 64), 64u);
  EXPECT_EQ(RoundUp(65, 64), 128u);
}

}  // namespace
}  // namespace penstock
