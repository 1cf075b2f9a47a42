// The word of the plan, and what becomes of a word that names what cannot be run.
#include "store/base/copy_plan.h"

#include <gtest/gtest.h>

#include "store/base/streaming_copy.h"
#include "store/base/units.h"

namespace penstock {
namespace {

Processor MadeUp(const char* vendor, bool avx2, bool avx512) {
  return {.model = "made up", .vendor = vendor, .avx2 = avx2, .avx512 = avx512,
          .l2_bytes = kMiB, .l3_bytes = 0};
}

TEST(CopyPlan, AWordHoldsAKernelForEachClass) {
  const CopyPlan plan = {kCopyAvx512Places, kCopyAvx2, kCopyMemcpy, 0};
  EXPECT_EQ(UnpackCopyPlan(PackCopyPlan(plan)), plan);
  EXPECT_EQ(PackCopyPlan({}), 0u);
  EXPECT_EQ(CopyClassOf(0), 0);
  EXPECT_EQ(CopyClassOf(2 * kMiB - 1), 0);
  EXPECT_EQ(CopyClassOf(2 * kMiB), 1);
  EXPECT_EQ(CopyClassOf(8 * kMiB), 2);
  EXPECT_EQ(CopyClassOf(32 * kMiB), 3);
  EXPECT_EQ(CopyClassOf(~uint64_t{0}), 3);
}

TEST(CopyPlan, TheDefaultOfEveryProcessorCanBeRunOnIt) {
  for (const char* vendor : {"GenuineIntel", "AuthenticAMD", "CentaurHauls", ""}) {
    for (const auto& [avx2, avx512] : {std::pair(false, false), {true, false}, {true, true}}) {
      const Processor processor = MadeUp(vendor, avx2, avx512);
      for (const uint8_t number : DefaultCopyPlan(processor)) {
        const CopyKernel* const kernel = FindCopyKernel(number);
        ASSERT_NE(kernel, nullptr) << vendor << " " << int{number};
        EXPECT_TRUE(CanRun(*kernel, processor)) << vendor << " " << kernel->name;
      }
    }
  }
}

// Found on an EPYC: the kernel that visits four places in turn reaches a fifth of the other.
TEST(CopyPlan, OfAnotherVendorWithoutAvx512GoesStraightOn) {
  for (const uint8_t number : DefaultCopyPlan(MadeUp("AuthenticAMD", true, false))) {
    EXPECT_EQ(FindCopyKernel(number)->places, 1);
  }
}

TEST(CopyPlan, WhatCannotBeRunIsReplacedByTheDefault) {
  const Processor old = MadeUp("GenuineIntel", false, false);
  const CopyPlan usual = DefaultCopyPlan(old);
  EXPECT_EQ(Completed({kCopyAvx512Places, kCopyAvx2, 0, 255}, old), usual);
  EXPECT_EQ(Completed({kCopyMemcpy, kCopyAvx2, 0, 255}, old)[0], kCopyMemcpy);
}

TEST(CopyPlan, AnyWordInSharedMemoryLeavesKernelsThatCopy) {
  for (uint32_t word : {0u, ~0u, 0x01020304u, 0x00000100u, 0xFF00FF00u}) {
    UseCopyPlan(word);
    EXPECT_EQ(CopyPlanInUse(), word);
    for (const CopyClass& of : kCopyClassTable) {
      EXPECT_TRUE(CanRun(CopyKernelFor(of.trial_bytes), ThisProcessor())) << word;
    }
  }
  UseCopyPlan(PackCopyPlan({kCopyMemcpy, kCopyMemcpy, kCopyMemcpy, kCopyMemcpy}));
  EXPECT_STREQ(CopyKernelFor(kMiB).name, "memcpy");
  UseCopyPlan(0);
}

TEST(StreamingBytes, FollowTheSecondLevelCacheWithinLimits) {
  EXPECT_EQ(StreamingBytesFor(1280 * kKiB), 256 * kKiB);  // Ice Lake, where it was measured
  EXPECT_EQ(StreamingBytesFor(512 * kKiB), 100 * kKiB);   // Zen
  EXPECT_EQ(StreamingBytesFor(2 * kMiB), 408 * kKiB);     // Sapphire Rapids
  EXPECT_EQ(StreamingBytesFor(0), kLeastStreamingBytes);
  EXPECT_EQ(StreamingBytesFor(64 * kMiB), kMostStreamingBytes);
}

}  // namespace
}  // namespace penstock
