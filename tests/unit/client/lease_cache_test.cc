// Magazines of leases: refills in time, more at a time while it helps, nothing lost.
#include "client/src/lease_cache.h"

#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "store/base/units.h"

namespace penstock::internal {
namespace {

TEST(LeaseCache, EmptyMagazineGivesNothingButAFreshSequence) {
  LeaseCache cache;
  std::set<uint64_t> sequences;
  for (int i = 0; i < 10; ++i) {
    const LeaseCache::Taken taken = cache.Take(64);
    EXPECT_FALSE(taken.lease.has_value());
    EXPECT_EQ(taken.refill, 0u) << "nothing is known of this size yet";
    EXPECT_TRUE(sequences.insert(taken.sequence).second);
  }
  for (const uint32_t count : {1u, 3u, 1u}) {
    const uint64_t first = cache.NextSequences(count);
    for (uint32_t i = 0; i < count; ++i) EXPECT_TRUE(sequences.insert(first + i).second);
  }
  EXPECT_FALSE(sequences.contains(0));
}

TEST(LeaseCache, LeasesComeBackForTheirOwnSizeOnly) {
  LeaseCache cache;
  cache.Add(64, {1, 640, 10});
  cache.Add(128 * kKiB, {2, 4096, 11});
  EXPECT_FALSE(cache.Take(128).lease.has_value());
  EXPECT_FALSE(cache.Take(132 * kKiB).lease.has_value());
  const auto small = cache.Take(64).lease;
  ASSERT_TRUE(small.has_value());
  EXPECT_EQ(small->slot, 10u);
  EXPECT_EQ(small->generation, 1u);
  EXPECT_EQ(small->offset, 640u);
  EXPECT_EQ(cache.Take(128 * kKiB).lease->slot, 11u);
  EXPECT_EQ(cache.taken(), 2u);
}

TEST(LeaseCache, RefillIsAskedOnceWhenTheMagazineRunsLow) {
  LeaseCache cache;
  const uint32_t wanted = cache.WantedCount(64);
  ASSERT_GT(wanted, 1u);
  for (uint32_t i = 1; i < wanted; ++i) cache.Add(64, {1, 0, i});
  uint32_t asked = 0;
  uint32_t asks = 0;
  for (uint32_t i = 1; i < wanted; ++i) {
    const LeaseCache::Taken taken = cache.Take(64);
    EXPECT_TRUE(taken.lease.has_value());
    asked += taken.refill;
    asks += taken.refill > 0;
  }
  EXPECT_EQ(asks, 1u);
  EXPECT_GT(asked, 0u);
  EXPECT_EQ(cache.Take(64).refill, 0u) << "one refill is on its way already";
  cache.Add(64, {1, 0, 50});
  EXPECT_GT(cache.Take(64).refill, 0u);
}

TEST(LeaseCache, MoreIsAskedEachTimeUpToALimit) {
  for (const uint64_t bytes : {uint64_t{64}, uint64_t{1024}, 64 * kKiB}) {
    LeaseCache cache;
    uint32_t last = 0;
    for (int round = 0; round < 20; ++round) {
      const uint32_t wanted = cache.WantedCount(bytes);
      EXPECT_GE(wanted, last);
      last = wanted;
      cache.Granted(bytes);
    }
    EXPECT_GT(last, 4u);
    EXPECT_LE(last, 2048u) << "more than the daemon grants at once";
    EXPECT_LE(last * bytes, std::max<uint64_t>(2 * kMiB, 4 * bytes));
  }
}

TEST(LeaseCache, LargeBlockIsNotLeasedAheadBeforeItIsAskedForAgain) {
  LeaseCache cache;
  EXPECT_EQ(cache.Take(8 * kMiB).refill, 0u);
  EXPECT_EQ(cache.WantedCount(8 * kMiB), 1u);
  cache.Granted(8 * kMiB);
  EXPECT_EQ(cache.Take(8 * kMiB).refill, 0u) << "who waits asks for more then";
  EXPECT_GT(cache.WantedCount(8 * kMiB), 1u) << "it came a second time";
  EXPECT_LE(cache.WantedCount(8 * kMiB), 3u) << "one to use, two ahead";
}

TEST(LeaseCache, LeasesOfLargeSizesThatWereDisplacedAreStillGivenBack) {
  LeaseCache cache;
  std::set<uint32_t> slots;
  for (uint32_t i = 1; i <= 10; ++i) {
    cache.Add(i * kMiB, {1, i * kMiB, i});
    slots.insert(i);
  }
  cache.Add(64, {1, 0, 11});
  slots.insert(11);
  std::set<uint32_t> returned;
  for (const HeldLease& lease : cache.TakeAll()) {
    EXPECT_TRUE(returned.insert(lease.slot).second);
  }
  EXPECT_EQ(returned, slots);
  EXPECT_TRUE(cache.TakeAll().empty());
}

TEST(LeaseCache, ThreadsNeverTakeTheSameLease) {
  constexpr uint32_t kLeases = 3000;
  LeaseCache cache;
  for (uint32_t i = 0; i < kLeases; ++i) cache.Add(64, {1, 0, i});
  std::vector<std::vector<uint32_t>> taken(3);
  std::vector<std::thread> threads;
  for (std::vector<uint32_t>& mine : taken) {
    threads.emplace_back([&cache, &mine] {
      while (const auto lease = cache.Take(64).lease) mine.push_back(lease->slot);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<uint32_t> all;
  for (const auto& mine : taken) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), kLeases);
  EXPECT_EQ(cache.taken(), kLeases);
}

}  // namespace
}  // namespace penstock::internal
