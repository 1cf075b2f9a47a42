// The graveyard: remembers how objects ended, forgets rather than lies.
#include "store/object/graveyard.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Graveyard, RemembersEachCause) {
  std::vector<uint64_t> words(kGraves);
  Graveyard graves{words};
  graves.Bury(0x0123456789abcdef, AnswerCode::kDeleted);
  graves.Bury(0xfedcba9812345678, AnswerCode::kEvicted);
  EXPECT_EQ(graves.CauseOf(0x0123456789abcdef), AnswerCode::kDeleted);
  EXPECT_EQ(graves.CauseOf(0xfedcba9812345678), AnswerCode::kEvicted);
  EXPECT_EQ(graves.CauseOf(0x0f1e2d3c4b5a6978), AnswerCode::kOk);
}

TEST(Graveyard, EmptyOneKnowsNothingAlsoOfSmallHashes) {
  std::vector<uint64_t> words(kGraves);
  Graveyard graves{words};
  for (const uint64_t hash : {uint64_t{0}, uint64_t{1}, uint64_t{255}, uint64_t{256}}) {
    EXPECT_EQ(graves.CauseOf(hash), AnswerCode::kOk);
  }
}

TEST(Graveyard, LaterDeathInTheSameGraveMakesTheOlderUnknownNotWrong) {
  std::vector<uint64_t> words(kGraves);
  Graveyard graves{words};
  const uint64_t first = 0x0000'0000'00ab'1234;
  const uint64_t second = 0x0000'0000'00cd'1234;
  graves.Bury(first, AnswerCode::kDeleted);
  graves.Bury(second, AnswerCode::kEvicted);
  EXPECT_EQ(graves.CauseOf(first), AnswerCode::kOk);
  EXPECT_EQ(graves.CauseOf(second), AnswerCode::kEvicted);
}

TEST(Graveyard, RemembersSuccessiveIdsOfOneSession) {
  std::vector<uint64_t> words(kGraves);
  Graveyard graves{words};
  for (uint64_t i = 0; i < 256; ++i) {
    graves.Bury(ObjectId{0x1234567, 7, i}.Hash(), AnswerCode::kDeleted);
  }
  int remembered = 0;
  for (uint64_t i = 0; i < 256; ++i) {
    remembered += graves.CauseOf(ObjectId{0x1234567, 7, i}.Hash()) == AnswerCode::kDeleted;
  }
  EXPECT_GT(remembered, 250);  // a chance meeting of two is all that is lost
}

TEST(Graveyard, NeverInventsADeath) {
  std::vector<uint64_t> words(kGraves);
  Graveyard graves{words};
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) graves.Bury(random(), AnswerCode::kDeleted);
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_EQ(graves.CauseOf(random()), AnswerCode::kOk);
  }
}

}  // namespace
}  // namespace penstock
