// Pin columns: what one look at all rows says of a batch is what each row says of each slot.
#include "store/object/pin_columns.h"

#include <atomic>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint32_t kSlots = 3 * 64 * kPinsPerPage;  // three words of bitmap
constexpr uint64_t kNow = (uint64_t{1} << 32) + 1000;

struct Row {
  std::vector<std::atomic<uint64_t>> bitmap = std::vector<std::atomic<uint64_t>>(3);
  std::unique_ptr<Pin[]> pins = std::make_unique<Pin[]>(kSlots);
  PinRow client{bitmap.data(), pins.get()};
  PinRowReader daemon{bitmap.data(), pins.get()};
};

std::vector<SlotLook> LooksAt(const std::vector<uint32_t>& slots) {
  std::vector<SlotLook> looks;
  for (const uint32_t slot : slots) looks.push_back({.slot = slot});
  return looks;
}

TEST(PinColumns, ABatchSaysWhatEachSlotAloneSays) {
  std::mt19937 random(7);
  PinColumns columns;
  std::vector<Row> rows(40);
  for (uint32_t i = 0; i < rows.size(); ++i) columns.Open(i, rows[i].daemon);
  std::vector<uint32_t> slots;
  for (int i = 0; i < 200; ++i) slots.push_back(static_cast<uint32_t>(random() % kSlots));
  for (Row& row : rows) {
    for (const uint32_t slot : slots) {
      if (random() % 100 != 0) continue;
      row.client.Pin(slot, static_cast<uint32_t>(1 + random() % 2000));  // some from the future
      if (random() % 2 == 0) row.client.Unpin(slot);
    }
  }
  std::vector<SlotLook> looks = LooksAt(slots);
  columns.LookForPins(looks);
  columns.LookForUses(looks, kNow);
  int pinned = 0;
  for (const SlotLook& look : looks) {
    bool is_pinned = false;
    for (const Row& row : rows) is_pinned |= row.daemon.IsPinned(look.slot);
    EXPECT_EQ(look.is_pinned, is_pinned) << look.slot;
    EXPECT_EQ(columns.IsPinned(look.slot), is_pinned) << look.slot;
    EXPECT_EQ(look.last_use, columns.LastUse(look.slot, 0, kNow)) << look.slot;
    pinned += is_pinned;
  }
  EXPECT_GT(pinned, 10);
  EXPECT_LT(pinned, 190);
}

TEST(PinColumns, ARowThatIsClosedSaysNothingMore) {
  PinColumns columns;
  std::vector<Row> rows(3);
  for (uint32_t i = 0; i < rows.size(); ++i) {
    columns.Open(i, rows[i].daemon);
    rows[i].client.Pin(100 + i, 5);
  }
  columns.Close(0);
  EXPECT_FALSE(columns.IsPinned(100));
  EXPECT_TRUE(columns.IsPinned(101));
  EXPECT_TRUE(columns.IsPinned(102));
  columns.Close(2);
  EXPECT_FALSE(columns.IsPinned(102));
  EXPECT_EQ(columns.LastUse(102, 1, kNow), 1u);
  EXPECT_EQ(columns.LastUse(101, 1, kNow), kNow - 995);
  columns.Open(0, rows[0].daemon);
  EXPECT_TRUE(columns.IsPinned(100));
  EXPECT_TRUE(columns.IsPinned(101));
  EXPECT_EQ(columns.size(), 2u);
}

TEST(PinColumns, WhatIsKnownAlreadyStaysWhereNoRowSaysMore) {
  PinColumns columns;
  std::vector<SlotLook> looks = {{.slot = 9, .last_use = 40}, {.slot = 3, .last_use = 50}};
  columns.LookForUses(looks, kNow);
  EXPECT_EQ(looks[0].slot, 3u);
  EXPECT_EQ(looks[0].last_use, 50u);
  EXPECT_EQ(looks[1].last_use, 40u);
  columns.LookForPins({});
}

TEST(PinColumns, AnEpochIsTheLatestOfItsLowerHalfThatIsNotInTheFuture) {
  PinColumns columns;
  Row row;
  columns.Open(0, row.daemon);
  row.client.Pin(1, 1000);
  EXPECT_EQ(columns.LastUse(1, 0, kNow), kNow);
  row.client.Pin(2, 1001);
  EXPECT_EQ(columns.LastUse(2, 0, kNow), 1001u);  // a turn of the counter ago
  row.client.Pin(3, 0xffffffff);
  EXPECT_EQ(columns.LastUse(3, 0, kNow), 0xffffffffu);
  EXPECT_EQ(columns.LastUse(3, kNow - 2, kNow), kNow - 2);
}

}  // namespace
}  // namespace penstock
