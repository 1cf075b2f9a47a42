// Slots: the state machine of slot_layout.h, edge by edge.
#include "store/shm/slot_table.h"

#include <gtest/gtest.h>

#include "store/shm/session_layout.h"
#include "tests/unit/shm/test_index.h"

namespace penstock {
namespace {

using testing::TestIndex;

ObjectFacts Facts() {
  return {ObjectId{1, 2, 3}, 640, 1000, 24, 7, kSealEvictable};
}

TEST(SlotTable, ZeroedSlotIsFreeOfGenerationZero) {
  TestIndex memory(16);
  SlotTable slots(memory.index);
  for (uint32_t slot = 0; slot < 16; ++slot) {
    EXPECT_EQ(slots.State(slot), SlotState::kFree);
    EXPECT_EQ(slots.Generation(slot), 0u);
  }
}

TEST(SlotTable, PublishWritesEveryFieldAndKeepsTheGeneration) {
  TestIndex memory(16);
  SlotTable slots(memory.index);
  slots.Free(3);
  slots.Lease(3);
  EXPECT_EQ(slots.State(3), SlotState::kLeased);
  slots.Publish(3, Facts());
  EXPECT_EQ(slots.State(3), SlotState::kSealed);
  EXPECT_TRUE(IsPlainlySealed(slots.Word(3)));
  EXPECT_EQ(slots.Generation(3), 1u);
  EXPECT_EQ(slots[3].id, Facts().id);
  EXPECT_EQ(slots[3].offset, 640u);
  EXPECT_EQ(slots[3].size, 1000u);
  EXPECT_EQ(slots[3].metadata_size, 24u);
  EXPECT_EQ(slots[3].type_tag, 7u);
  EXPECT_EQ(slots[3].flags, uint32_t{kSealEvictable});
}

TEST(SlotTable, EvictingIsTakenBackOrEndsInTheNextGeneration) {
  TestIndex memory(16);
  SlotTable slots(memory.index);
  slots.Lease(0);
  slots.Publish(0, Facts());
  slots.MarkEvicting(0);
  EXPECT_EQ(slots.State(0), SlotState::kEvicting);
  EXPECT_EQ(slots.Generation(0), 0u);
  slots.PutBack(0);
  EXPECT_TRUE(IsPlainlySealed(slots.Word(0)));
  slots.MarkEvicting(0);
  slots.Free(0);
  EXPECT_EQ(slots.State(0), SlotState::kFree);
  EXPECT_EQ(slots.Generation(0), 1u);
}

TEST(SlotTable, WantedIsAFlagBesideSealed) {
  TestIndex memory(16);
  SlotTable slots(memory.index);
  slots.Lease(0);
  slots.Publish(0, Facts());
  slots.MarkWanted(0);
  EXPECT_EQ(slots.State(0), SlotState::kSealed);
  EXPECT_FALSE(IsPlainlySealed(slots.Word(0)));
  EXPECT_EQ(slots.Generation(0), 0u);
  slots.MarkDeleted(0);
  EXPECT_EQ(slots.State(0), SlotState::kDeleted);
}

TEST(SlotTable, NoOtherStateIsPlainlySealed) {
  for (uint64_t state = 0; state < 8; ++state) {
    for (const uint64_t generation : {uint64_t{0}, uint64_t{5}, kSlotGenerationMask}) {
      const uint64_t word = SlotWord(static_cast<SlotState>(state), generation);
      EXPECT_EQ(IsPlainlySealed(word), state == 2);
      EXPECT_FALSE(IsPlainlySealed(word | kSlotWanted));
      EXPECT_EQ(GenerationOf(word), generation);
      EXPECT_EQ(static_cast<uint64_t>(StateOf(word)), state);
    }
  }
}

TEST(SlotTable, GenerationsGrowUpTo48BitsAndNeverRepeat) {
  TestIndex memory(16);
  SlotTable slots(memory.index);
  memory.index.slot(0).state.store(SlotWord(SlotState::kFree, kSlotGenerationMask - 1));
  slots.Lease(0);
  slots.Free(0);
  EXPECT_EQ(slots.Generation(0), kSlotGenerationMask);
  EXPECT_EQ(slots.State(0), SlotState::kFree);
}

TEST(SlotTableDeathTest, EdgesThatDoNotExistAreOurBug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  TestIndex memory(16);
  SlotTable slots(memory.index);
  EXPECT_DEATH(slots.Publish(0, Facts()), "slot 0");
  EXPECT_DEATH(slots.PutBack(0), "slot 0");
  slots.Lease(0);
  EXPECT_DEATH(slots.Lease(0), "slot 0");
  memory.index.slot(1).state.store(SlotWord(SlotState::kFree, kSlotGenerationMask));
  EXPECT_DEATH(slots.Free(1), "generations");
}

TEST(SlotLayout, MetadataFollowsAtTheNextEightBytes) {
  EXPECT_EQ(MetadataOffset(0), 0u);
  EXPECT_EQ(MetadataOffset(1), 8u);
  EXPECT_EQ(MetadataOffset(8), 8u);
  EXPECT_EQ(MetadataOffset(9), 16u);
}

TEST(SlotLayout, GrantedLeaseCarriesTheLargestSlotAndOffset) {
  const uint64_t offset = kMaxArenaBytes - 64;
  const GrantedLease lease = GrantedLease::Make(kMaxSlots - 1, 77, offset);
  EXPECT_EQ(lease.slot(), kMaxSlots - 1);
  EXPECT_EQ(lease.offset(), offset);
  EXPECT_EQ(lease.generation, 77u);
}

}  // namespace
}  // namespace penstock
