// The allocator's reserved window, extents that are taken away, and what rounding and stacks
// cost at most.
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "store/object/allocator.h"

namespace penstock {
namespace {

using Extent = Allocator::Extent;

TEST(AllocatorWindow, NothingInItIsHandedOutUntilItIsReleased) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    Allocator allocator;
    allocator.AddExtent(0, 4 * kMiB);
    std::vector<Extent> blocks;
    while (true) {
      const uint64_t bytes = BlockBytes((random() % 63 + 1) << (random() % 12));
      const auto offset = allocator.Allocate(bytes);
      if (!offset) break;
      blocks.push_back({*offset, bytes});
    }
    for (int i = 0; i < 30 && !blocks.empty(); ++i) {
      allocator.Free(blocks.back().offset, blocks.back().bytes);
      blocks.pop_back();
    }
    const uint64_t begin = random() % (kMiB / 4096) * 4096;
    const uint64_t end = begin + kMiB;
    const uint64_t free_before = allocator.free_bytes();
    allocator.ReserveWindow(begin, end);
    allocator.CheckInvariants();
    EXPECT_EQ(allocator.free_bytes() + allocator.reserved_bytes(), free_before);
    for (int i = 0; i < 200; ++i) {
      const uint64_t bytes = BlockBytes((random() % 63 + 1) << (random() % 8));
      if (const auto offset = allocator.Allocate(bytes)) {
        ASSERT_TRUE(*offset >= end || *offset + bytes <= begin) << "in the window";
        blocks.push_back({*offset, bytes});
      }
      std::swap(blocks[random() % blocks.size()], blocks.back());
      allocator.Free(blocks.back().offset, blocks.back().bytes);
      blocks.pop_back();
      if (i % 20 == 0) allocator.CheckInvariants();
    }
    // Emptied, it is one extent.
    std::erase_if(blocks, [&](const Extent& block) {
      const bool touches = block.offset < end && block.offset + block.bytes > begin;
      if (touches) allocator.Free(block.offset, block.bytes);
      return touches;
    });
    EXPECT_EQ(allocator.reserved_bytes(), kMiB);
    allocator.ReleaseWindow();
    allocator.CheckInvariants();
    EXPECT_TRUE(allocator.Allocate(kMiB).has_value());
  }
}

TEST(AllocatorExtents, OnlyWholeOnesAreTakenAndTheHighestFirst) {
  Allocator allocator;
  allocator.AddExtent(0, 10 * kMiB);
  ASSERT_EQ(allocator.Allocate(5 * kMiB), 0u);
  const std::vector<Extent> taken = allocator.TakeFreeExtents(2 * kMiB, 0);
  EXPECT_EQ(taken, (std::vector<Extent>{{6 * kMiB, 4 * kMiB}}));
  EXPECT_EQ(allocator.free_bytes(), 1 * kMiB);
  EXPECT_EQ(allocator.total_bytes(), 6 * kMiB);
  allocator.CheckInvariants();
  allocator.AddExtent(6 * kMiB, 4 * kMiB);
  EXPECT_EQ(allocator.Allocate(5 * kMiB), 5 * kMiB) << "not merged again";
  allocator.CheckInvariants();
}

TEST(AllocatorExtents, AsMuchAsWasAskedForStaysFree) {
  for (uint64_t keep = 0; keep <= 10; ++keep) {
    Allocator allocator;
    allocator.AddExtent(0, 10 * kMiB);
    allocator.TakeFreeExtents(2 * kMiB, keep * kMiB);
    EXPECT_GE(allocator.free_bytes(), keep * kMiB);
    EXPECT_LT(allocator.free_bytes(), keep * kMiB + 2 * kMiB);
    allocator.CheckInvariants();
  }
}

TEST(AllocatorWaste, RoundingIsBoundedForEverySize) {
  for (uint64_t bytes = 1; bytes <= 256 * kKiB; ++bytes) {
    const uint64_t waste = BlockBytes(bytes) - bytes;
    if (bytes <= kKiB) ASSERT_LT(waste, 64u) << bytes;
    else if (bytes <= kSmallBlockBytes) ASSERT_LT(waste, bytes / 8 + 1) << bytes;
    else ASSERT_LT(waste, 4 * kKiB) << bytes;
  }
}

TEST(AllocatorWaste, StacksKeepAtMostA1024thOfTheArenaForEachClassFromMerging) {
  constexpr uint64_t kArena = 16 * kMiB;
  for (const uint64_t block : {uint64_t{64}, kKiB, 12 * kKiB}) {
    Allocator allocator;
    allocator.AddExtent(0, kArena);
    std::vector<uint64_t> offsets;
    while (const auto offset = allocator.Allocate(block)) offsets.push_back(*offset);
    for (const uint64_t offset : offsets) allocator.Free(offset, block);
    EXPECT_EQ(allocator.free_bytes(), kArena);
    // And the line left out before each run of what is on the stack, and up to a page on
    // either side.
    EXPECT_GE(allocator.LargestPlace(), kArena - kArena / 1024 * 9 / 8 - block - 8 * kKiB)
        << block;
  }
}

TEST(AllocatorWaste, InAFullArenaSmallBlocksFillSmallGaps) {
  constexpr uint64_t kArena = 1024 * kMiB;  // runs of 64 KiB
  Allocator allocator;
  allocator.AddExtent(0, kArena);
  allocator.Allocate(800 * kMiB);
  const uint64_t gap = *allocator.Allocate(68 * kKiB);
  allocator.Allocate(68 * kKiB);
  allocator.Free(gap, 68 * kKiB);
  const uint64_t longest = allocator.LargestPlace();
  for (int i = 0; i < 17; ++i) {
    const auto offset = allocator.Allocate(4 * kKiB);
    ASSERT_TRUE(offset && *offset >= gap && *offset < gap + 68 * kKiB) << i;
  }
  EXPECT_EQ(allocator.LargestPlace(), longest);
}

}  // namespace
}  // namespace penstock
