// The order of eviction: by epochs, the older entry first among equals.
#include "store/object/eviction_queue.h"

#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint32_t kNormal = 1;

std::vector<uint32_t> SlotsInOrder(EvictionQueue& queue) {
  std::vector<uint32_t> slots;
  while (!queue.empty()) slots.push_back(queue.Pop().slot);
  return slots;
}

TEST(EvictionQueue, OldestEpochComesFirst) {
  EvictionQueue queue;
  queue.Push(kNormal, 7, 1, 0);
  queue.Push(kNormal, 3, 2, 0);
  queue.Push(kNormal, 5, 3, 0);
  EXPECT_EQ(SlotsInOrder(queue), (std::vector<uint32_t>{2, 3, 1}));
}

TEST(EvictionQueue, LowerPriorityComesFirstWhateverTheEpochs) {
  EvictionQueue queue;
  queue.Push(2, 1, 10, 0);
  queue.Push(0, 9, 11, 0);
  queue.Push(1, 5, 12, 0);
  queue.Push(0, 3, 13, 0);
  EXPECT_EQ(SlotsInOrder(queue), (std::vector<uint32_t>{13, 11, 12, 10}));
}

TEST(EvictionQueue, AmongEqualEpochsTheOlderEntryComesFirst) {
  EvictionQueue queue;
  for (uint32_t slot = 0; slot < 20; ++slot) queue.Push(kNormal, 9, slot, 0);
  std::vector<uint32_t> expected(20);
  for (uint32_t slot = 0; slot < 20; ++slot) expected[slot] = slot;
  EXPECT_EQ(SlotsInOrder(queue), expected);
}

TEST(EvictionQueue, EntryPushedAgainKeepsItsPlace) {
  EvictionQueue queue;
  for (uint32_t slot = 0; slot < 3; ++slot) queue.Push(kNormal, 9, slot, slot + 100);
  const EvictionEntry first = queue.Pop();
  EXPECT_EQ(first.generation, 100u);
  queue.PushAgain(first);
  EXPECT_EQ(SlotsInOrder(queue), (std::vector<uint32_t>{0, 1, 2}));
}

// Hours of a busy store lie between them.
TEST(EvictionQueue, OrderHoldsHoweverFarApartTheEpochsLie) {
  EvictionQueue queue;
  queue.Push(kNormal, 5 + (uint64_t{3} << 31), 4, 0);
  queue.Push(kNormal, 5 + (uint64_t{1} << 31), 2, 0);
  queue.Push(kNormal, 5 + (uint64_t{2} << 31), 3, 0);
  queue.Push(kNormal, 5, 1, 0);
  EXPECT_EQ(SlotsInOrder(queue), (std::vector<uint32_t>{1, 2, 3, 4}));
}

TEST(EvictionQueue, ASweepDropsWhatIsGoneAndKeepsTheOrder) {
  EvictionQueue queue;
  for (uint32_t slot = 0; slot < 10; ++slot) queue.Push(kNormal, 10 - slot, slot, 0);
  for (int part = 0; part < 10; ++part) {
    queue.Sweep(3, [](const EvictionEntry& entry) { return entry.slot % 3 == 0; });
  }
  EXPECT_EQ(queue.size(), 4u);
  EXPECT_EQ(SlotsInOrder(queue), (std::vector<uint32_t>{9, 6, 3, 0}));
}

TEST(EvictionQueue, TheOrderHoldsForManyThatComeAndGoInTheMiddle) {
  EvictionQueue queue;
  std::multimap<uint64_t, uint32_t> model;  // by epoch: all others are equal
  std::mt19937 random(7);
  for (uint32_t slot = 0; slot < 5000; ++slot) {
    const uint64_t epoch = random() % 500;
    queue.Push(kNormal, epoch, slot, 0);
    if (slot % 3 != 0) model.emplace(epoch, slot);
    if (slot % 7 == 0) queue.Sweep(5, [](const EvictionEntry& e) { return e.slot % 3 != 0; });
  }
  queue.Sweep(10'000, [](const EvictionEntry& entry) { return entry.slot % 3 != 0; });
  ASSERT_EQ(queue.size(), model.size());
  for (const auto& [epoch, slot] : model) EXPECT_EQ(queue.Pop().slot, slot);
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace penstock
