// The table's states, word by word, and states that a killed daemon leaves behind.
#include "store/spill/spill_table.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/spill/spill_world.h"

namespace penstock::testing {
namespace {

SpillFacts FactsOf(uint64_t number) {
  return {SpillWorld::ObjectOf(number, 1000), 1000, number * 77};
}
std::vector<SpillHandle> LiveOf(const SpillTable& table) {
  std::vector<SpillHandle> live;
  table.Visit([&](SpillHandle handle, const SpillFacts&) { live.push_back(handle); });
  return live;
}

TEST(SpillTable, PublishedEntrySaysAllThatWasWritten) {
  SharedPages memory(SpillTable::BytesFor(16));
  SpillTable table = SpillTable::Make(memory.data(), 16, kIncarnation);
  EXPECT_TRUE(LiveOf(table).empty());
  table.Publish(3, FactsOf(9), {5, 7});
  EXPECT_EQ(LiveOf(table), std::vector<SpillHandle>{3});
  EXPECT_EQ(table.Place(3), (SpillPlace{5, 7}));
  EXPECT_EQ(table.Facts(3).object, FactsOf(9).object);
  EXPECT_EQ(table.Facts(3).stored_bytes, 1000u);
  EXPECT_EQ(table.Facts(3).checksum, 9u * 77);
}

TEST(SpillTable, MoveChangesThePlaceAndNothingElse) {
  SharedPages memory(SpillTable::BytesFor(4));
  SpillTable table = SpillTable::Make(memory.data(), 4, kIncarnation);
  table.Publish(0, FactsOf(1), {1, 1});
  auto* entry = reinterpret_cast<SpillEntry*>(memory.data() + sizeof(SpillTableHeader));
  std::byte before[sizeof(SpillEntry)];
  std::memcpy(before, entry, sizeof(before));
  table.Move(0, {0xffffffff, 0xfffffffe});
  EXPECT_EQ(table.Place(0), (SpillPlace{0xffffffff, 0xfffffffe}));
  entry->location = LocationWord({1, 1});
  EXPECT_EQ(std::memcmp(before, entry, sizeof(before)), 0);
}

TEST(SpillTable, AnEntryHalfWrittenWhenTheDaemonDiedIsNotLive) {
  SharedPages memory(SpillTable::BytesFor(4));
  SpillTable table = SpillTable::Make(memory.data(), 4, kIncarnation);
  auto* entries = reinterpret_cast<SpillEntry*>(memory.data() + sizeof(SpillTableHeader));
  // Everything is there but the last store.
  table.Publish(0, FactsOf(1), {1, 1});
  entries[0].state = SpillEntryState::kFree;
  // The first store of a drop and nothing after it.
  table.Publish(1, FactsOf(2), {1, 2});
  table.End(1);
  table.Publish(2, FactsOf(3), {1, 3});
  const SpillTable next = *SpillTable::Attach(memory.data(), memory.bytes());
  EXPECT_EQ(LiveOf(next), std::vector<SpillHandle>{2});
}

TEST(SpillTable, AttachRefusesWhatIsNoTableOfThisRelease) {
  SharedPages memory(SpillTable::BytesFor(4));
  EXPECT_EQ(SpillTable::Attach(memory.data(), memory.bytes()).status().code(),
            absl::StatusCode::kFailedPrecondition);  // never made
  SpillTable::Make(memory.data(), 4, kIncarnation);
  EXPECT_TRUE(SpillTable::Attach(memory.data(), memory.bytes()).ok());
  EXPECT_FALSE(SpillTable::Attach(memory.data(), SpillTable::BytesFor(4) - 1).ok());
  EXPECT_FALSE(SpillTable::Attach(memory.data(), 10).ok());
  reinterpret_cast<SpillTableHeader*>(memory.data())->version = kSpillTableVersion + 1;
  const absl::Status refused = SpillTable::Attach(memory.data(), memory.bytes()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("version 2"), std::string_view::npos) << refused;
}

TEST(SpillTableDeathTest, AnEntryIsDroppedOnce) {
  SharedPages memory(SpillTable::BytesFor(4));
  SpillTable table = SpillTable::Make(memory.data(), 4, kIncarnation);
  table.Publish(0, FactsOf(1), {1, 1});
  table.End(0);
  EXPECT_DEATH(table.End(0), "was dropped before");
}

}  // namespace
}  // namespace penstock::testing
