// Which slots have a block in each part of the arena.
#include "store/object/block_regions.h"

#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint64_t kRegion = BlockRegions::kLeastRegionBytes;

TEST(BlockRegions, ListsEverySlotOnceWhereItsBlockBeginsNow) {
  std::mt19937_64 random(1);
  BlockRegions regions;
  regions.Activate(4 * kRegion, 100);
  std::map<uint32_t, uint64_t> where;
  for (int i = 0; i < 20000; ++i) {
    const auto slot = static_cast<uint32_t>(random() % 100);
    if (random() % 4 == 0) {
      where.erase(slot);
    } else {
      where[slot] = random() % (4 * kRegion);
      regions.Note(slot, where[slot]);
    }
    if (i % 100 != 0) continue;
    std::set<uint32_t> seen;
    for (uint64_t region = 0; region < regions.size(); ++region) {
      regions.ForEach(region, [&](uint32_t visited) {
        const auto found = where.find(visited);
        if (found == where.end() || found->second / kRegion != region) return false;
        EXPECT_TRUE(seen.insert(visited).second) << "twice";
        return true;
      });
    }
    ASSERT_EQ(seen.size(), where.size());
  }
}

TEST(BlockRegions, EntriesOutOfDateNeverPileUp) {
  BlockRegions regions;
  regions.Activate(2 * kRegion, 10);
  for (uint32_t i = 0; i < 100000; ++i) regions.Note(i % 10, (i / 10 % 2) * kRegion);
  EXPECT_LE(regions.EntriesIn(0) + regions.EntriesIn(1), 2u * (2 * 10 + 64));
}

TEST(BlockRegions, NothingIsKeptBeforeItIsNeeded) {
  BlockRegions regions;
  regions.Note(3, 0);
  EXPECT_FALSE(regions.active());
  EXPECT_EQ(regions.size(), 0u);
}

}  // namespace
}  // namespace penstock
