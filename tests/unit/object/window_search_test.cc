// The search for the cheapest window against trying every place.
#include "store/object/window_search.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

struct Block {
  uint64_t offset;
  uint64_t bytes;
  bool movable;
};

std::optional<uint64_t> CheapestByTryingAll(const std::vector<Block>& blocks, uint64_t end,
                                            uint64_t bytes, uint64_t alignment) {
  std::optional<uint64_t> best;
  for (uint64_t begin = 0; begin + bytes <= end; begin += alignment) {
    uint64_t copied = 0;
    bool possible = true;
    for (const Block& block : blocks) {
      if (block.offset >= begin + bytes || block.offset + block.bytes <= begin) continue;
      possible = possible && block.movable;
      copied += block.bytes;
    }
    if (possible && (!best || copied < *best)) best = copied;
  }
  return best;
}

TEST(WindowSearch, FindsTheCheapestWindowOfAll) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<Block> blocks;
    uint64_t at = random() % 3;
    while (at < 60) {
      const uint64_t bytes = 1 + random() % 8;
      blocks.push_back({at, bytes, random() % 5 != 0});
      at += bytes + (random() % 2 == 0 ? 0 : random() % 6);
    }
    const uint64_t end = at + random() % 4;
    const uint64_t bytes = 1 + random() % 20;
    const uint64_t alignment = uint64_t{1} << random() % 4;
    WindowSearch search(bytes, alignment);
    search.BeginRange(0);
    for (const Block& block : blocks) search.AddBlock(block.offset, block.bytes, block.movable);
    search.EndRange(end);
    const auto expected = CheapestByTryingAll(blocks, end, bytes, alignment);
    ASSERT_EQ(search.best().has_value(), expected.has_value()) << "seed " << seed;
    if (!expected) continue;
    EXPECT_EQ(search.best()->copied_bytes, *expected) << "seed " << seed;
    EXPECT_EQ(search.best()->begin % alignment, 0u) << "seed " << seed;
    uint64_t copied = 0;
    for (const Block& block : blocks) {
      if (block.offset >= search.best()->begin + bytes ||
          block.offset + block.bytes <= search.best()->begin) {
        continue;
      }
      EXPECT_TRUE(block.movable);
      copied += block.bytes;
    }
    EXPECT_EQ(copied, *expected) << "seed " << seed;
  }
}

TEST(WindowSearch, NoWindowReachesFromOneRangeIntoTheNext) {
  WindowSearch search(100, 1);
  search.BeginRange(0);
  search.AddBlock(0, 10, true);
  search.EndRange(90);
  search.BeginRange(90);
  search.EndRange(180);
  EXPECT_FALSE(search.best().has_value());
}

TEST(WindowSearch, WhatBeginsInTheMiddleOfARangeIsNotTrustedBeforeItsFirstBlockEnds) {
  WindowSearch search(100, 1);
  search.Forget();
  search.AddBlock(200, 10, true);  // of what lies before it nothing is known
  search.EndRange(309);
  EXPECT_FALSE(search.best().has_value());
  search.Forget();
  search.AddBlock(200, 10, true);
  search.EndRange(310);
  ASSERT_TRUE(search.best().has_value());
  EXPECT_EQ(search.best()->begin, 210u);
}

}  // namespace
}  // namespace penstock
