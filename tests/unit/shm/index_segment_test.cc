// The index segment: places, and what a client refuses to attach to.
#include "store/shm/index_segment.h"

#include <limits>

#include <gtest/gtest.h>

#include "store/shm/session_layout.h"
#include "tests/unit/shm/test_index.h"

namespace penstock {
namespace {

using testing::TestIndex;

TEST(IndexSegment, FormattedIndexIsAcceptedAndSaysTheSame) {
  TestIndex memory(1000);
  const auto attached = IndexSegment::Attach(memory.memory.data(), memory.memory.bytes());
  ASSERT_TRUE(attached.ok()) << attached.status();
  EXPECT_EQ(attached->capacity(), 1000u);
  EXPECT_EQ(attached->header().incarnation, 42u);
  EXPECT_EQ(attached->header().arena_bytes, 1 * kMiB);
  EXPECT_EQ(&attached->slot(999), &memory.index.slot(999));
  EXPECT_EQ(&attached->bucket(attached->bucket_mask()),
            &memory.index.bucket(memory.index.bucket_mask()));
}

TEST(IndexSegment, OtherMagicIsRefused) {
  TestIndex memory(1000);
  memory.index.header().magic ^= 1;
  EXPECT_EQ(IndexSegment::Attach(memory.memory.data(), memory.memory.bytes()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(IndexSegment, OtherVersionIsRefusedWithBothNumbers) {
  TestIndex memory(1000);
  memory.index.header().layout_version = 77;
  const absl::Status status =
      IndexSegment::Attach(memory.memory.data(), memory.memory.bytes()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("77"), absl::string_view::npos);
  EXPECT_NE(status.message().find(std::to_string(kIndexLayoutVersion)),
            absl::string_view::npos);
}

TEST(IndexSegment, TooShortMemoryIsRefused) {
  TestIndex memory(1000);
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{sizeof(IndexHeader) - 1},
                               uint64_t{sizeof(IndexHeader)}, uint64_t{4096},
                               memory.geometry.total_bytes - 1}) {
    EXPECT_FALSE(IndexSegment::Attach(memory.memory.data(), bytes).ok()) << bytes;
  }
}

TEST(IndexSegment, TablesElsewhereAreRefused) {
  constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
  const auto refused_after = [](auto&& change) {
    TestIndex memory(1000);
    change(memory.index.header());
    return !IndexSegment::Attach(memory.memory.data(), memory.memory.bytes()).ok();
  };
  for (const uint64_t offset : {uint64_t{0}, uint64_t{64}, 4 * kMiB, kHuge, kHuge - 63}) {
    EXPECT_TRUE(refused_after([&](IndexHeader& h) { h.slots_offset = offset; }));
    EXPECT_TRUE(refused_after([&](IndexHeader& h) { h.buckets_offset = offset + 1; }));
  }
  for (const uint32_t count : {0u, 1u, 3u, 1u << 31, 0xffffffffu}) {
    EXPECT_TRUE(refused_after([&](IndexHeader& h) { h.bucket_count = count; }));
  }
  for (const uint32_t capacity : {0u, 999'999u, kMaxSlots, 1u << 31, 0xffffffffu}) {
    EXPECT_TRUE(refused_after([&](IndexHeader& h) { h.capacity = capacity; })) << capacity;
  }
}

TEST(IndexSegment, HalfTheBucketWordsSufficeForEverySlot) {
  for (const uint32_t capacity : {1u, 7u, 64u, 1000u, 1u << 20, kMaxSlots}) {
    const IndexGeometry geometry = IndexGeometry::For(capacity);
    EXPECT_GE(uint64_t{geometry.bucket_count} * kBucketWords, 2 * uint64_t{capacity});
    EXPECT_EQ(geometry.bucket_count & (geometry.bucket_count - 1), 0u);
    EXPECT_EQ(geometry.slots_offset % kHugePageBytes, 0u);
    EXPECT_EQ(geometry.buckets_offset % kHugePageBytes, 0u);
    EXPECT_GE(geometry.slots_offset, sizeof(IndexHeader));
    EXPECT_GE(geometry.buckets_offset,
              geometry.slots_offset + uint64_t{capacity} * sizeof(Slot));
    EXPECT_GE(geometry.total_bytes,
              geometry.buckets_offset + uint64_t{geometry.bucket_count} * sizeof(Bucket));
  }
}

}  // namespace
}  // namespace penstock
