// The allocator against a plain map of blocks: no two overlap, and all bytes come back.
#include "store/object/allocator.h"

#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

// Blocks handed out, offset -> bytes.
class Model {
 public:
  explicit Model(uint64_t arena_bytes) : arena_bytes_(arena_bytes) {}
  void Add(uint64_t offset, uint64_t bytes) {
    ASSERT_EQ(offset % 64, 0u);
    ASSERT_LE(offset + bytes, arena_bytes_);
    const auto next = blocks_.lower_bound(offset);
    ASSERT_TRUE(next == blocks_.end() || offset + bytes <= next->first);
    ASSERT_TRUE(next == blocks_.begin() ||
                std::prev(next)->first + std::prev(next)->second <= offset);
    blocks_[offset] = bytes;
    used_ += bytes;
  }
  std::pair<uint64_t, uint64_t> Take(uint64_t which) {
    auto at = blocks_.begin();
    std::advance(at, which % blocks_.size());
    const auto block = *at;
    blocks_.erase(at);
    used_ -= block.second;
    return block;
  }
  bool empty() const { return blocks_.empty(); }
  uint64_t used() const { return used_; }

 private:
  const uint64_t arena_bytes_;
  std::map<uint64_t, uint64_t> blocks_;
  uint64_t used_ = 0;
};

uint64_t RandomSize(std::mt19937_64& random) {
  // Log-uniform from 1 byte to 512 KiB.
  return BlockBytes((random() % 63 + 1) << (random() % 14));
}

TEST(Allocator, RandomBlocksNeverOverlapAndAllBytesReturn) {
  constexpr uint64_t kArena = 8 * kMiB;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    Allocator allocator;
    allocator.AddExtent(0, kArena / 2);
    allocator.AddExtent(kArena / 2, kArena / 2);
    Model model(kArena);
    for (int step = 0; step < 3000; ++step) {
      // Phases of growing and of shrinking.
      const bool grow = (step / 500) % 2 == 0 ? random() % 4 != 0 : random() % 4 == 0;
      if (grow) {
        const uint64_t bytes = RandomSize(random);
        if (const auto offset = allocator.Allocate(bytes)) {
          ASSERT_EQ(*offset % BlockAlignment(bytes), 0u);
          ASSERT_NO_FATAL_FAILURE(model.Add(*offset, bytes));
        } else {
          ASSERT_LT(allocator.LargestPlace(), bytes);
        }
      } else if (!model.empty()) {
        const auto [offset, bytes] = model.Take(random());
        allocator.Free(offset, bytes);
      }
      ASSERT_EQ(allocator.free_bytes(), kArena - model.used());
      if (step % 50 == 0) allocator.CheckInvariants();
    }
    while (!model.empty()) {
      const auto [offset, bytes] = model.Take(0);
      allocator.Free(offset, bytes);
    }
    allocator.CheckInvariants();
    EXPECT_EQ(allocator.free_bytes(), kArena);
    EXPECT_EQ(allocator.Allocate(kArena), 0u) << "not merged into one extent again";
  }
}

TEST(Allocator, EveryByteCanBeHandedOutInTheSmallestBlocks) {
  Allocator allocator;
  allocator.AddExtent(4096, 192 * kKiB);
  Model model(4096 + 192 * kKiB);
  for (uint64_t i = 0; i < 192 * kKiB / 64; ++i) {
    const auto offset = allocator.Allocate(64);
    ASSERT_TRUE(offset.has_value()) << i;
    ASSERT_GE(*offset, 4096u);
    ASSERT_NO_FATAL_FAILURE(model.Add(*offset, 64));
  }
  EXPECT_FALSE(allocator.Allocate(64).has_value());
  EXPECT_EQ(allocator.free_bytes(), 0u);
}

TEST(Allocator, StackedBlocksAreMergedWhenALargeBlockNeedsThem) {
  Allocator allocator;
  allocator.AddExtent(0, 256 * kKiB);
  std::vector<uint64_t> offsets;
  for (int i = 0; i < 4096; ++i) offsets.push_back(*allocator.Allocate(64));
  for (const uint64_t offset : offsets) allocator.Free(offset, 64);
  EXPECT_EQ(allocator.Allocate(256 * kKiB), 0u);
  allocator.CheckInvariants();
}

TEST(Allocator, StacksOfEveryClassAreMergedBack) {
  Allocator allocator;
  allocator.AddExtent(0, 16 * kMiB);
  for (uint64_t bytes = 64; bytes <= kSmallBlockBytes; bytes = BlockBytes(bytes + 1)) {
    allocator.Free(*allocator.Allocate(bytes), bytes);
  }
  allocator.CheckInvariants();
  EXPECT_EQ(allocator.Allocate(16 * kMiB), 0u);
  allocator.CheckInvariants();
}

TEST(Allocator, BestFitLeavesTheLargeExtentWhole) {
  Allocator allocator;
  allocator.AddExtent(0, 1 * kMiB);
  allocator.AddExtent(2 * kMiB, 128 * kKiB);
  EXPECT_EQ(allocator.Allocate(100 * kKiB), 2 * kMiB);
  EXPECT_EQ(allocator.LargestPlace(), 1 * kMiB);
}

TEST(Allocator, LargeBlocksBeginAtPagesAndSmallOnesFillTheGapsBeforeThem) {
  Allocator allocator;
  allocator.AddExtent(0, 1 * kMiB);
  EXPECT_EQ(allocator.Allocate(192), 0u);
  EXPECT_EQ(allocator.Allocate(128 * kKiB), 4096u);
  EXPECT_EQ(allocator.Allocate(68 * kKiB), 4096 + 128 * kKiB);
  EXPECT_EQ(allocator.Allocate(2304), 192u) << "not into the gap";
  allocator.CheckInvariants();
}

TEST(Allocator, AnExtentThatIsLongEnoughAndBeginsBesideAPageIsPassedOver) {
  Allocator allocator;
  allocator.AddExtent(64, 128 * kKiB);
  EXPECT_FALSE(allocator.Allocate(128 * kKiB).has_value());
  allocator.AddExtent(1 * kMiB + 64, 128 * kKiB + 4096 - 64);
  EXPECT_EQ(allocator.Allocate(128 * kKiB), 1 * kMiB + 4096);
  EXPECT_EQ(allocator.free_bytes(), 128 * kKiB + 4096 - 64);
  allocator.CheckInvariants();
}

TEST(Allocator, ExtentsThatDoNotTouchAreNotJoined) {
  Allocator allocator;
  allocator.AddExtent(0, 128 * kKiB);
  allocator.AddExtent(256 * kKiB, 128 * kKiB);
  EXPECT_FALSE(allocator.Allocate(256 * kKiB).has_value());
  allocator.AddExtent(128 * kKiB, 128 * kKiB);
  EXPECT_EQ(allocator.Allocate(384 * kKiB), 0u);
}

TEST(AllocatorDeathTest, BlockFreedTwiceIsOurBugAndSaysWhere) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Allocator allocator;
  allocator.AddExtent(0, 1 * kMiB);
  const uint64_t offset = *allocator.Allocate(128 * kKiB);
  allocator.Free(offset, 128 * kKiB);
  EXPECT_DEATH(allocator.Free(offset, 128 * kKiB), "freed twice");
}

}  // namespace
}  // namespace penstock
