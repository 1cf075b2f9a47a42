// The allow list, the antechamber and the log budget: what decides who comes in, who stays,
// and how much of it is said.
#include <gtest/gtest.h>

#include "tools/penstockd/allow_list.h"
#include "tools/penstockd/antechamber.h"
#include "tools/penstockd/log_budget.h"

namespace penstock {
namespace {

constexpr uint32_t kNoGroups[] = {77};

AllowList Parsed(std::string_view text) {
  absl::StatusOr<AllowList> list = AllowList::Parse(text);
  EXPECT_TRUE(list.ok()) << list.status();
  return list.ok() ? *list : AllowList();
}

TEST(AllowList, NobodyIsOnAnEmptyOne) {
  for (const std::string_view text : {"", " ", ",, \t,"}) {
    EXPECT_TRUE(Parsed(text).empty());
    EXPECT_FALSE(Parsed(text).RoleOf(0, kNoGroups).has_value());
  }
}

TEST(AllowList, GuestsReadUnlessTheirEntrySaysOtherwise) {
  const AllowList list = Parsed("uid:1001 uid:1002:rw,1003, 1004:rw");
  EXPECT_EQ(list.RoleOf(1001, kNoGroups), SessionRole::kReadOnly);
  EXPECT_EQ(list.RoleOf(1002, kNoGroups), SessionRole::kReadWrite);
  EXPECT_EQ(list.RoleOf(1003, kNoGroups), SessionRole::kReadOnly);
  EXPECT_EQ(list.RoleOf(1004, kNoGroups), SessionRole::kReadWrite);
  EXPECT_FALSE(list.RoleOf(1005, kNoGroups).has_value());
  EXPECT_FALSE(list.RoleOf(77, kNoGroups).has_value()) << "a number of a group is no user's";
}

TEST(AllowList, AGroupOfThemSufficesAndTheMostThatAnyEntryGivesCounts) {
  const AllowList list = Parsed("gid:100 uid:1001 gid:200:rw");
  const uint32_t readers[] = {5, 100}, writers[] = {200, 5}, both[] = {100, 200};
  EXPECT_EQ(list.RoleOf(9, readers), SessionRole::kReadOnly);
  EXPECT_EQ(list.RoleOf(9, writers), SessionRole::kReadWrite);
  EXPECT_EQ(list.RoleOf(9, both), SessionRole::kReadWrite);
  EXPECT_EQ(list.RoleOf(1001, writers), SessionRole::kReadWrite);
  EXPECT_EQ(list.RoleOf(100, kNoGroups), std::nullopt) << "a number of a user is no group's";
}

TEST(AllowList, NamesAreThoseOfTheHost) {
  EXPECT_EQ(Parsed("root:rw").RoleOf(0, kNoGroups), SessionRole::kReadWrite);
  EXPECT_EQ(Parsed("uid:root").RoleOf(0, kNoGroups), SessionRole::kReadOnly);
  const uint32_t root_group[] = {0};
  EXPECT_EQ(Parsed("gid:root").RoleOf(5, root_group), SessionRole::kReadOnly);
}

TEST(AllowList, AnEntryThatNamesNobodyIsRefusedByItself) {
  for (const std::string_view wrong :
       {"uid:", ":rw", "gid::rw", "uid:1x", "-1", "4294967295", "4294967296", "uid:1:ro",
        "no such user here"}) {
    const auto list = AllowList::Parse(wrong);
    EXPECT_TRUE(absl::IsInvalidArgument(list.status())) << wrong;
  }
  EXPECT_NE(AllowList::Parse("uid:1 uid:x:rw").status().message().find("'uid:x:rw'"),
            std::string_view::npos);
}

TEST(Antechamber, TheOneSilentForLongestIsTheFirstToGo) {
  Antechamber room;
  EXPECT_TRUE(room.empty());
  room.Heard(5, 100);
  room.Heard(6, 200);
  room.Heard(7, 300);
  EXPECT_EQ(room.most_silent(), 5);
  EXPECT_EQ(room.silent_since_ns(), 100);
  room.Heard(5, 400);  // it said something
  EXPECT_EQ(room.most_silent(), 6);
  room.Leave(6);
  room.Leave(6);
  room.Leave(99);
  EXPECT_EQ(room.most_silent(), 7);
  EXPECT_EQ(room.size(), 2u);
}

TEST(LogBudget, LeavesOutWhatIsTooMuchAndSaysHowMuchItWas) {
  constexpr int64_t kSecond = 1'000'000'000;
  LogBudget budget(2);
  EXPECT_EQ(budget.Take(5 * kSecond), 0u);
  EXPECT_EQ(budget.Take(5 * kSecond), 0u);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(budget.Take(5 * kSecond + i), std::nullopt);
  EXPECT_EQ(budget.Take(6 * kSecond), 7u);
  EXPECT_EQ(budget.Take(6 * kSecond), 0u);
  EXPECT_EQ(budget.Take(6 * kSecond), std::nullopt);
}

}  // namespace
}  // namespace penstock
