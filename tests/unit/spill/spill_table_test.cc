// The table's states, word by word, and states that a killed daemon leaves behind.
#include "store/spill/spill_table.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <vector>

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
  EXPECT_NE(refused.message().find("version 3"), std::string_view::npos) << refused;
}

// 16 entries for each slot of a host with 24 GiB are gigabytes of table.
TEST(SpillTable, ATableOfWhichLittleIsUsedCostsLittle) {
  constexpr uint32_t kCapacity = 1 << 20;
  SharedPages memory(SpillTable::BytesFor(kCapacity));
  SpillTable table = SpillTable::Make(memory.data(), kCapacity, kIncarnation);
  EXPECT_EQ(table.used(), 0u);
  table.Publish(2, FactsOf(1), {1, 1});
  EXPECT_EQ(table.used(), 3u);
  table.End(2);
  table.Free(2);
  EXPECT_EQ(table.used(), 3u) << "it has been touched";
  const SpillTable next = *SpillTable::Attach(memory.data(), memory.bytes());
  EXPECT_TRUE(LiveOf(next).empty());
  std::vector<unsigned char> pages(memory.bytes() / 4096);
  ASSERT_EQ(mincore(memory.data(), pages.size() * 4096, pages.data()), 0);
  const auto touched = std::count_if(pages.begin(), pages.end(),
                                     [](unsigned char page) { return (page & 1) != 0; });
  EXPECT_EQ(touched, 1) << "pages";
}

TEST(SpillTable, AttachRefusesOneThatSaysMoreIsUsedThanThereIs) {
  SharedPages memory(SpillTable::BytesFor(4));
  SpillTable::Make(memory.data(), 4, kIncarnation);
  reinterpret_cast<SpillTableHeader*>(memory.data())->used = 5;
  const absl::Status refused = SpillTable::Attach(memory.data(), memory.bytes()).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("5 are used"), std::string_view::npos) << refused;
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
