// The hash table: two buckets for each id, words that are hints, no tombstones.
#include "store/shm/hash_index.h"

#include <random>
#include <set>

#include <gtest/gtest.h>

#include "tests/unit/shm/test_index.h"

namespace penstock {
namespace {

using testing::TestIndex;

std::set<uint32_t> Candidates(const IndexSegment& index, uint64_t hash) {
  std::set<uint32_t> slots;
  ForEachCandidate(index, hash, [&slots](uint32_t slot) {
    slots.insert(slot);
    return false;
  });
  return slots;
}

// Hashes that fall into the same two buckets, the one of `tag` first.
uint64_t HashInto(uint32_t bucket, uint32_t tag) { return (uint64_t{tag} << 32) | bucket; }

TEST(HashIndex, WhatWasInsertedIsACandidateUntilItIsErased) {
  TestIndex memory(1024);
  HashIndex hash(memory.index);
  std::mt19937_64 random(1);
  std::vector<uint64_t> hashes;
  for (uint32_t slot = 0; slot < 1024; ++slot) {
    hashes.push_back(random());
    ASSERT_TRUE(hash.Insert(hashes.back(), slot));  // half the words are used at most
  }
  for (uint32_t slot = 0; slot < 1024; ++slot) {
    EXPECT_TRUE(Candidates(memory.index, hashes[slot]).contains(slot));
  }
  for (uint32_t slot = 0; slot < 1024; slot += 2) EXPECT_TRUE(hash.Erase(hashes[slot], slot));
  for (uint32_t slot = 0; slot < 1024; ++slot) {
    EXPECT_EQ(Candidates(memory.index, hashes[slot]).contains(slot), slot % 2 == 1);
  }
  EXPECT_FALSE(hash.Erase(hashes[0], 0));
}

TEST(HashIndex, IdMayLieOnlyInItsTwoBuckets) {
  TestIndex memory(1024);
  HashIndex hash(memory.index);
  const uint64_t value = HashInto(5, 0x10002);
  const uint32_t second = (5 ^ (0x10002 | 1)) & memory.index.bucket_mask();
  for (uint32_t slot = 0; slot < 2 * kBucketWords; ++slot) {
    ASSERT_TRUE(hash.Insert(value, slot));
  }
  for (uint32_t bucket = 0; bucket <= memory.index.bucket_mask(); ++bucket) {
    for (const auto& word : memory.index.bucket(bucket).words) {
      EXPECT_EQ(word.load() != 0, bucket == 5 || bucket == second) << bucket;
    }
  }
}

TEST(HashIndex, TwoFullBucketsTakeNoMoreUntilAWordIsErased) {
  TestIndex memory(1024);
  HashIndex hash(memory.index);
  const uint64_t value = HashInto(9, 0xabcd0000);
  for (uint32_t slot = 0; slot < 2 * kBucketWords; ++slot) {
    ASSERT_TRUE(hash.Insert(value, slot));
  }
  EXPECT_FALSE(hash.Insert(value, 100));
  EXPECT_EQ(Candidates(memory.index, value).size(), 2 * kBucketWords);
  EXPECT_FALSE(hash.Erase(value, 100));
  EXPECT_TRUE(hash.Erase(value, 3));
  EXPECT_TRUE(hash.Insert(value, 100));
  EXPECT_TRUE(Candidates(memory.index, value).contains(100));
}

TEST(HashIndex, ErasingOneLeavesEqualHashesOfOtherSlots) {
  TestIndex memory(64);
  HashIndex hash(memory.index);
  const uint64_t value = HashInto(1, 77);
  ASSERT_TRUE(hash.Insert(value, 10));
  ASSERT_TRUE(hash.Insert(value, 11));
  ASSERT_TRUE(hash.Erase(value, 10));
  EXPECT_EQ(Candidates(memory.index, value), std::set<uint32_t>{11});
}

TEST(HashIndex, TagZeroIsATagLikeAnyOther) {
  TestIndex memory(64);
  HashIndex hash(memory.index);
  EXPECT_TRUE(Candidates(memory.index, HashInto(0, 0)).empty());
  ASSERT_TRUE(hash.Insert(HashInto(0, 0), 0));
  EXPECT_EQ(Candidates(memory.index, HashInto(0, 0)), std::set<uint32_t>{0});
  EXPECT_TRUE(hash.Erase(HashInto(0, 0), 0));
}

TEST(HashIndex, OtherTagsInTheSameBucketAreNoCandidates) {
  TestIndex memory(64);
  HashIndex hash(memory.index);
  ASSERT_TRUE(hash.Insert(HashInto(3, 1000), 10));
  EXPECT_TRUE(Candidates(memory.index, HashInto(3, 1001)).empty());
}

TEST(HashIndex, SlotBeyondTheTableIsNeverVisited) {
  TestIndex memory(64);
  memory.index.bucket(3).words[0].store((uint64_t{8} << 32) | 65);  // slot 64 of 64
  memory.index.bucket(3).words[1].store((uint64_t{8} << 32) | 0xffffffff);
  EXPECT_TRUE(Candidates(memory.index, HashInto(3, 8)).empty());
}

TEST(HashIndex, SearchEndsWithTheFirstSlotThatIsAccepted) {
  TestIndex memory(64);
  HashIndex hash(memory.index);
  ASSERT_TRUE(hash.Insert(HashInto(3, 8), 10));
  ASSERT_TRUE(hash.Insert(HashInto(3, 8), 11));
  int visits = 0;
  EXPECT_TRUE(ForEachCandidate(memory.index, HashInto(3, 8), [&](uint32_t) {
    ++visits;
    return true;
  }));
  EXPECT_EQ(visits, 1);
}

TEST(HashIndex, SuccessiveIdsOfSessionsHardlyEverFindBothBucketsFull) {
  constexpr uint32_t kIds = 1 << 16;
  for (const uint64_t sessions : {uint64_t{1}, uint64_t{2}, uint64_t{64}, uint64_t{4096}}) {
    TestIndex memory(kIds);
    HashIndex hash(memory.index);
    uint32_t refused = 0;
    for (uint32_t slot = 0; slot < kIds; ++slot) {
      const ObjectId id{0x9d8f3c21aa5511ef, 1 + slot % sessions, 1 + slot / sessions};
      refused += !hash.Insert(id.Hash(), slot);
    }
    EXPECT_LT(refused, kIds / 100) << sessions << " sessions";
  }
}

TEST(HashIndex, SmallestTableWorks) {
  TestIndex memory(1);
  HashIndex hash(memory.index);
  for (uint64_t value = 0; value < 100; ++value) {
    const uint64_t spread = value * 0x9e3779b97f4a7c15;
    ASSERT_TRUE(hash.Insert(spread, 0));
    EXPECT_EQ(Candidates(memory.index, spread), std::set<uint32_t>{0});
    ASSERT_TRUE(hash.Erase(spread, 0));
  }
}

}  // namespace
}  // namespace penstock
