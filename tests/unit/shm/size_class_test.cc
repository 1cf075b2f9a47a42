// Size classes: daemon and clients must agree on every size, so every size is tried.
#include "store/shm/size_class.h"

#include <set>

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(SizeClass, BlockHoldsItsBytesAndRoundsToItself) {
  uint64_t last = 0;
  for (uint64_t bytes = 0; bytes <= 512 * kKiB; ++bytes) {
    const uint64_t block = BlockBytes(bytes);
    ASSERT_GE(block, bytes);
    ASSERT_GE(block, 64u);
    ASSERT_EQ(block % 64, 0u);
    ASSERT_EQ(BlockBytes(block), block);
    ASSERT_GE(block, last) << "not monotonic";
    last = block;
  }
}

TEST(SizeClass, WasteStaysBelowTheStatedBounds) {
  for (uint64_t bytes = 1; bytes <= 512 * kKiB; ++bytes) {
    const uint64_t block = BlockBytes(bytes);
    const uint64_t waste = block - bytes;
    if (bytes <= kKiB) {
      ASSERT_LE(waste, 63u) << bytes;
    } else if (bytes <= kSmallBlockBytes) {
      ASSERT_LT(8 * waste, block) << bytes;    // 12.5%
    } else {
      ASSERT_LT(1000 * waste, 62 * block) << bytes;  // 6.2%
    }
  }
}

TEST(SizeClass, SmallBlocksAndClassNumbersBelongOneToOne) {
  std::set<uint64_t> blocks;
  for (uint64_t bytes = 0; bytes <= kSmallBlockBytes; ++bytes) blocks.insert(BlockBytes(bytes));
  ASSERT_EQ(blocks.size(), kSizeClasses);
  uint32_t expected = 0;
  for (const uint64_t block : blocks) {
    EXPECT_TRUE(IsSmallBlock(block));
    EXPECT_EQ(SizeClassOf(block), expected++) << block;
  }
  EXPECT_FALSE(IsSmallBlock(BlockBytes(kSmallBlockBytes + 1)));
}

TEST(SizeClass, LargeBlocksAreWholePages) {
  for (uint64_t bytes = kSmallBlockBytes + 1; bytes < 64 * kGiB; bytes = bytes * 5 / 4 + 1) {
    const uint64_t block = BlockBytes(bytes);
    EXPECT_EQ(block % (4 * kKiB), 0u);
    EXPECT_LT(block - bytes, 4 * kKiB);
  }
}

}  // namespace
}  // namespace penstock
