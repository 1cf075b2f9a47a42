// What is read of the processor, and what is withheld of it.
#include "store/base/processor.h"

#include <gtest/gtest.h>

#include "store/base/units.h"

namespace penstock {
namespace {

TEST(Processor, HasAModelAndASecondLevelCache) {
  const Processor& processor = ThisProcessor();
  EXPECT_FALSE(processor.model.empty());
  EXPECT_GE(processor.l2_bytes, 128 * kKiB);
  EXPECT_LE(processor.l2_bytes, 64 * kMiB);
  EXPECT_NE(Describe(processor).find(processor.model), std::string::npos);
}

TEST(Processor, WithoutAvx2HasNoAvx512Either) {
  const auto both = ParseWithheld("avx2");
  ASSERT_TRUE(both.ok());
  EXPECT_TRUE(both->avx2 && both->avx512);
  const auto one = ParseWithheld("avx512");
  ASSERT_TRUE(one.ok());
  EXPECT_TRUE(!one->avx2 && one->avx512);
  EXPECT_TRUE(ParseWithheld("avx512,avx2").ok());
  EXPECT_TRUE(ParseWithheld("").ok());
}

TEST(Processor, AnUnknownFeatureIsRefusedByName) {
  for (const char* words : {"sse2", "avx512,sse9", "AVX2", "avx2,,avx512", " avx2"}) {
    const auto withheld = ParseWithheld(words);
    EXPECT_FALSE(withheld.ok()) << words;
  }
  EXPECT_NE(ParseWithheld("avx2,sse9").status().message().find("'sse9'"), std::string::npos);
}

}  // namespace
}  // namespace penstock
