// Object ids: hexadecimal there and back, names, hashes.
#include <penstock/object_id.h>

#include <set>

#include <gtest/gtest.h>

#include "absl/container/flat_hash_set.h"

namespace penstock {
namespace {

TEST(ObjectId, HexadecimalLeadsBackToTheSameId) {
  for (const ObjectId& id : {ObjectId{}, ObjectId{1, 2, 3}, ObjectId::FromName("x"),
                             ObjectId{~uint64_t{0}, 0, ~uint64_t{0}}, ObjectId::Random()}) {
    EXPECT_EQ(id.ToHex().size(), 48u);
    const auto back = ObjectId::FromHex(id.ToHex());
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, id);
  }
  EXPECT_EQ((ObjectId{1, 2, 0xabc}.ToHex()),
            "000000000000000100000000000000020000000000000abc");
}

TEST(ObjectId, CapitalDigitsAreReadToo) {
  const auto id = ObjectId::FromHex("00000000000000010000000000000002000000000000ABCD");
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(id->sequence, 0xabcdu);
}

TEST(ObjectId, BadHexadecimalIsRefusedWithItsPlace) {
  const std::string good = ObjectId{1, 2, 3}.ToHex();
  for (const std::string& bad : {std::string(), good + "0", good.substr(1), good + good}) {
    const absl::Status status = ObjectId::FromHex(bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("48"), absl::string_view::npos);
  }
  for (const char wrong : {'g', 'G', ' ', '-', 'x', '\0', '/', ':', '@', '`', '\xff'}) {
    for (const size_t place : {size_t{0}, size_t{15}, size_t{16}, size_t{47}}) {
      std::string bad = good;
      bad[place] = wrong;
      const absl::Status status = ObjectId::FromHex(bad).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_NE(status.message().find("character " + std::to_string(place + 1) + " "),
                absl::string_view::npos);
      EXPECT_EQ(status.message().find_first_of(std::string("\0\xff", 2)),
                absl::string_view::npos) << "what a terminal cannot show";
    }
  }
}

TEST(ObjectId, NameGivesTheSameIdEverywhere) {
  // Part of what processes agree on: these values may never change.
  EXPECT_EQ(ObjectId::FromName("penstock"), ObjectId::FromName("penstock"));
  EXPECT_EQ(ObjectId::FromName("").ToHex(),
            "000000000000000099aa06d3014798d86001c324468d497f");
  EXPECT_NE(ObjectId::FromName("a"), ObjectId::FromName("b"));
  EXPECT_NE(ObjectId::FromName("a"), ObjectId::FromName(std::string_view("a\0", 2)));
  EXPECT_TRUE(ObjectId::FromName("a").IsFromName());
  EXPECT_FALSE(ObjectId::FromName("").IsNil());
}

TEST(ObjectId, RandomIdsDiffer) {
  std::set<ObjectId> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(ObjectId::Random());
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_FALSE(ids.contains(ObjectId{}));
}

TEST(ObjectId, HashIsThatOfTheIndexLayout) {
  // Daemon and clients of one layout version compute the same; equal ids, equal hashes.
  const ObjectId id{7, 8, 9};
  EXPECT_EQ(id.Hash(), (ObjectId{7, 8, 9}.Hash()));
  EXPECT_EQ(std::hash<ObjectId>()(id), id.Hash());
}

TEST(ObjectId, HashesOfNeighbouringIdsDiffer) {
  absl::flat_hash_set<uint64_t> hashes;
  absl::flat_hash_set<uint64_t> tags;
  uint64_t ids = 0;
  for (uint64_t home : {uint64_t{0}, uint64_t{0x1234567}, 0x9d8f3c21aa5511ef}) {
    for (uint64_t session = 1; session <= 40; ++session) {
      for (uint64_t sequence = 1; sequence <= 1000; ++sequence) {
        hashes.insert(ObjectId{home, session, sequence}.Hash());
        tags.insert(ObjectId{home, session, sequence}.Hash() >> 32);
        ++ids;
      }
    }
  }
  EXPECT_EQ(hashes.size(), ids);
  EXPECT_GT(tags.size(), ids - ids / 100);
}

}  // namespace
}  // namespace penstock
