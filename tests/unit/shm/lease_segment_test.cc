// The lease table's header: what a successor believes.
#include "store/shm/lease_segment.h"

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint32_t kSlots = 100;
constexpr uint64_t kArena = 8 * kMiB;

TEST(LeaseSegment, IsTakenOverWithWhatItSays) {
  const ZeroedMemory memory(LeaseGeometry::TotalBytes(kSlots));
  LeaseSegment made = LeaseSegment::Format(memory.data(), kSlots, kArena, 77);
  made[7].offset = 640;
  made.graves()[3] = 9;
  const auto taken = LeaseSegment::Attach(memory.data(), memory.bytes());
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->header().incarnation, 77u);
  EXPECT_EQ(taken->header().next_session, 1u);
  EXPECT_EQ((*taken)[7].offset, 640u);
  EXPECT_EQ(taken->graves()[3], 9u);
}

TEST(LeaseSegment, ExtentsThatContinueEachOtherAreOne) {
  const ZeroedMemory memory(LeaseGeometry::TotalBytes(kSlots));
  LeaseSegment made = LeaseSegment::Format(memory.data(), kSlots, kArena, 77);
  made.AddExtent(0, kMiB);
  made.AddExtent(kMiB, kMiB);
  made.AddExtent(4 * kMiB, kMiB);
  ASSERT_EQ(made.extents().size(), 2u);
  EXPECT_EQ(made.extents()[0].bytes, 2 * kMiB);
  EXPECT_EQ(made.extents()[1].offset, 4 * kMiB);
}

TEST(LeaseSegment, AnotherVersionIsRefusedWithBothNumbers) {
  const ZeroedMemory memory(LeaseGeometry::TotalBytes(kSlots));
  LeaseSegment made = LeaseSegment::Format(memory.data(), kSlots, kArena, 77);
  made.header().layout_version = 41;
  const auto taken = LeaseSegment::Attach(memory.data(), memory.bytes());
  EXPECT_TRUE(absl::IsFailedPrecondition(taken.status()));
  EXPECT_NE(taken.status().ToString().find("version 41"), std::string::npos);
  EXPECT_NE(taken.status().ToString().find("version 2"), std::string::npos);
}

TEST(LeaseSegment, WhatIsNoneOrCannotBeIsRefused) {
  const ZeroedMemory memory(LeaseGeometry::TotalBytes(kSlots));
  EXPECT_TRUE(absl::IsInvalidArgument(
      LeaseSegment::Attach(memory.data(), memory.bytes()).status()));
  LeaseSegment made = LeaseSegment::Format(memory.data(), kSlots, kArena, 77);
  made.header().capacity = 1'000'000;
  EXPECT_TRUE(absl::IsInvalidArgument(
      LeaseSegment::Attach(memory.data(), memory.bytes()).status()));
  made.header().capacity = kSlots;
  made.header().extent_count = kMostExtents + 1;
  EXPECT_TRUE(absl::IsInvalidArgument(
      LeaseSegment::Attach(memory.data(), memory.bytes()).status()));
}

}  // namespace
}  // namespace penstock::testing
