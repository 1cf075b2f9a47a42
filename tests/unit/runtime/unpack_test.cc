// Values that another process packed, wrongly: they are refused before they cost anything.
#include <penstock/errors.h>
#include <penstock/internal/arguments.h>

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "runtime/process/records.h"

namespace penstock::internal {
namespace {

using Nested = std::vector<std::vector<std::vector<int>>>;

TEST(Unpack, ValueThatClaimsMoreElementsThanItHasBytesIsRefused) {
  const std::string array("\xdd\xff\xff\xff\xff", 5);  // of 2^32 - 1 elements: 64 GiB
  const std::string map("\xdf\xff\xff\xff\xff", 5);
  const std::string text("\xdb\xff\xff\xff\xff", 5);
  EXPECT_THROW(Unpack<std::vector<int64_t>>(array), msgpack::array_size_overflow);
  EXPECT_THROW((Unpack<std::map<int, int>>(map)), msgpack::map_size_overflow);
  // Of a text the bytes are looked for before any memory is taken.
  EXPECT_THROW(Unpack<std::string>(text), msgpack::insufficient_bytes);
  // Inside another, where the outer one is right.
  EXPECT_THROW(Unpack<Nested>("\x91\x91" + array), msgpack::array_size_overflow);
}

TEST(Unpack, NestingWithoutEndIsRefused) {
  const std::string deep(100'000, '\x91');  // an array of an array of an array ...
  EXPECT_THROW(Unpack<Nested>(deep), msgpack::depth_size_overflow);
}

TEST(Unpack, ValuesThatTellTheTruthAreRead) {
  const std::vector<uint8_t> bytes(1000, 7);
  EXPECT_EQ(Unpack<std::vector<uint8_t>>(Pack(bytes)), bytes);
  const std::vector<int64_t> zeros(1000, 0);  // a byte each
  EXPECT_EQ(Unpack<std::vector<int64_t>>(Pack(zeros)), zeros);
  const std::map<int, Nested> map = {{1, {{{1, 2}, {}}, {}}}, {2, {}}};
  EXPECT_EQ((Unpack<std::map<int, Nested>>(Pack(map))), map);
}

TEST(Unpack, ErrorOfNonsenseIsALostObject) {
  EXPECT_THROW(ThrowError(std::string_view("\xdd\xff\xff\xff\xff", 5)), ObjectLost);
  EXPECT_THROW(ThrowError(""), ObjectLost);
  EXPECT_THROW(ThrowError(PackError({.kind = ErrorKind::kUsage, .message = "no"})), UsageError);
}

}  // namespace
}  // namespace penstock::internal
