// Array metadata: there and back, and hostile bytes that must be refused.
#include <penstock/array.h>

#include <cstring>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr uint64_t kAnyPayload = std::numeric_limits<uint64_t>::max() / 2;

// By hand: Encode writes only what is an array's shape.
std::vector<std::byte> Encoded(DType dtype, const std::vector<int64_t>& shape,
                               const std::vector<int64_t>& strides) {
  std::vector<std::byte> bytes(8 + 16 * shape.size());
  std::memcpy(bytes.data(), "PARR\1", 5);
  bytes[5] = static_cast<std::byte>(dtype);
  bytes[6] = static_cast<std::byte>(shape.size());
  if (shape.empty()) return bytes;
  std::memcpy(bytes.data() + 8, shape.data(), 8 * shape.size());
  std::memcpy(bytes.data() + 8 + 8 * shape.size(), strides.data(), 8 * strides.size());
  return bytes;
}

// What an accepted shape promises: nothing it can address lies outside the payload, and
// its arithmetic does not overflow.
void ExpectSound(const ArrayShape& shape, uint64_t payload_bytes) {
  ASSERT_LE(shape.shape.size(), kMostDimensions);
  ASSERT_EQ(shape.shape.size(), shape.strides.size());
  const auto element = static_cast<int64_t>(BytesOf(shape.dtype));
  ASSERT_GT(element, 0);
  internal::Uint128 end = static_cast<uint64_t>(element);
  bool empty = false;
  for (size_t i = 0; i < shape.shape.size(); ++i) {
    ASSERT_GE(shape.shape[i], 0);
    ASSERT_GE(shape.strides[i], 0);
    ASSERT_EQ(shape.strides[i] % element, 0) << "misaligned element";
    empty |= shape.shape[i] == 0;
    if (shape.shape[i] > 0) {
      end += static_cast<internal::Uint128>(shape.shape[i] - 1) *
             static_cast<uint64_t>(shape.strides[i]);
    }
  }
  if (!empty) {
    ASSERT_TRUE(end <= payload_bytes);
  }
  ASSERT_GE(shape.count(), 0);  // under UBSan: no overflow either
  shape.contiguous();
}

TEST(ArrayShape, EncodedShapeIsDecodedAsItWas) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{}, {0}, {1}, {7}, {3, 4}, {2, 0, 5}, {1, 1, 1},
        {2, 2, 2, 2, 2, 2, 2, 2}}) {
    for (uint8_t number = 1; number <= 13; ++number) {
      const auto dtype = static_cast<DType>(number);
      const auto made = ArrayShape::Contiguous(dtype, shape);
      ASSERT_TRUE(made.ok()) << made.status();
      EXPECT_TRUE(made->contiguous());
      const uint64_t bytes = static_cast<uint64_t>(made->count()) * BytesOf(dtype);
      const auto back = ArrayShape::Decode(made->Encode(), bytes);
      ASSERT_TRUE(back.ok()) << back.status();
      EXPECT_EQ(back->dtype, dtype);
      EXPECT_EQ(back->shape, made->shape);
      EXPECT_EQ(back->strides, made->strides);
      EXPECT_TRUE(back->contiguous());
      if (bytes > 0) {
        EXPECT_FALSE(ArrayShape::Decode(made->Encode(), bytes - 1).ok());
      }
    }
  }
}

TEST(ArrayShape, BytesOnTheWireAreTheDocumentedOnes) {
  const auto shape = ArrayShape::Contiguous(DType::kFloat64, {2, 3});
  const unsigned char expected[] = {'P', 'A', 'R', 'R', 1, 10, 2, 0,       //
                                    2, 0, 0, 0, 0, 0, 0, 0,                //
                                    3, 0, 0, 0, 0, 0, 0, 0,                //
                                    24, 0, 0, 0, 0, 0, 0, 0,               //
                                    8, 0, 0, 0, 0, 0, 0, 0};
  const std::vector<std::byte> bytes = shape->Encode();
  ASSERT_EQ(bytes.size(), sizeof(expected));
  EXPECT_EQ(std::memcmp(bytes.data(), expected, sizeof(expected)), 0);
}

TEST(ArrayShape, ImpossibleShapesAreRefusedByName) {
  EXPECT_FALSE(ArrayShape::Contiguous(DType::kInt8, {-1}).ok());
  EXPECT_FALSE(ArrayShape::Contiguous(DType::kInt8, {4, -1, 4}).ok());
  EXPECT_FALSE(ArrayShape::Contiguous(DType::kInt8, std::vector<int64_t>(9, 1)).ok());
  EXPECT_FALSE(ArrayShape::Contiguous(DType::kFloat64, {kMost}).ok());
  EXPECT_FALSE(ArrayShape::Contiguous(DType::kInt8, {kMost, 2}).ok());
  EXPECT_FALSE(
      ArrayShape::Contiguous(DType::kInt8, {int64_t{1} << 40, int64_t{1} << 40, 0}).ok());
  EXPECT_TRUE(ArrayShape::Contiguous(DType::kInt8, {kMost}).ok());
}

TEST(ArrayShape, EveryWrongByteOfTheHeaderIsRefused) {
  const std::vector<std::byte> good = ArrayShape::Contiguous(DType::kInt32, {4, 5})->Encode();
  for (size_t place = 0; place < 8; ++place) {
    for (int value = 0; value < 256; ++value) {
      std::vector<std::byte> bad = good;
      bad[place] = static_cast<std::byte>(value);
      const auto decoded = ArrayShape::Decode(bad, 80);
      if (bad == good) {
        EXPECT_TRUE(decoded.ok());
      } else if (place == 5) {
        // Another dtype of at most four bytes is a correct smaller array.
        const size_t bytes = BytesOf(static_cast<DType>(value));
        EXPECT_EQ(decoded.ok(), bytes > 0 && bytes <= 4) << value;
      } else {
        EXPECT_FALSE(decoded.ok()) << "byte " << place << " as " << value;
      }
    }
  }
}

TEST(ArrayShape, EveryLengthButTheRightOneIsRefused) {
  std::vector<std::byte> bytes = ArrayShape::Contiguous(DType::kInt32, {4, 5})->Encode();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ArrayShape::Decode(std::span(bytes).first(size), 80).ok()) << size;
  }
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(ArrayShape::Decode(bytes, 80).ok());
}

TEST(ArrayShape, ShapesThatReachOutsideThePayloadOrOverflowAreRefused) {
  const std::pair<std::vector<int64_t>, std::vector<int64_t>> cases[] = {
      {{11}, {8}},
      {{10}, {16}},
      {{2, 2}, {80, 8}},
      {{-1}, {8}},
      {{4}, {-8}},
      {{4}, {7}},
      {{std::numeric_limits<int64_t>::min()}, {8}},
      {{4}, {std::numeric_limits<int64_t>::min()}},
      {{kMost}, {8}},
      {{2}, {kMost - 7}},
      {{kMost, kMost}, {0, 8}},
      {{int64_t{1} << 61, 2}, {8, 8}},
      {{3, 3}, {int64_t{1} << 62, int64_t{1} << 62}},
      {{0, kMost}, {8, 8}},
  };
  for (const auto& [shape, strides] : cases) {
    EXPECT_FALSE(ArrayShape::Decode(Encoded(DType::kFloat64, shape, strides), 80).ok())
        << shape[0] << " " << strides[0];
  }
}

TEST(ArrayShape, RepeatedElementsMayNotMultiplyBeyond63Bits) {
  // Strides of zero repeat one element without using payload.
  const int64_t large = int64_t{1} << 40;
  EXPECT_FALSE(
      ArrayShape::Decode(Encoded(DType::kFloat64, {large, large}, {0, 0}), 80).ok());
  const auto broadcast = ArrayShape::Decode(Encoded(DType::kFloat64, {large, 2}, {0, 8}), 80);
  ASSERT_TRUE(broadcast.ok()) << broadcast.status();
  EXPECT_EQ(broadcast->count(), 2 * large);
  EXPECT_FALSE(broadcast->contiguous());
}

TEST(ArrayShape, RandomMetadataIsRefusedOrSound) {
  std::mt19937_64 random(7);
  const int64_t extents[] = {0, 1, 2, 3, 10, 1 << 20, int64_t{1} << 31, int64_t{1} << 62,
                             kMost, -1};
  int accepted = 0;
  for (int i = 0; i < 200'000; ++i) {
    const size_t dimensions = random() % 10;
    std::vector<int64_t> shape(dimensions);
    std::vector<int64_t> strides(dimensions);
    for (int64_t& extent : shape) extent = extents[random() % std::size(extents)];
    for (int64_t& stride : strides) {
      // Wraps around on purpose: any 64 bits may arrive.
      stride = static_cast<int64_t>(
          static_cast<uint64_t>(extents[random() % std::size(extents)]) * 8);
    }
    std::vector<std::byte> bytes =
        Encoded(static_cast<DType>(random() % 16), shape, strides);
    if (random() % 4 == 0) bytes[random() % bytes.size()] ^= std::byte{1} << (random() % 8);
    const uint64_t payload = random() % 2 == 0 ? random() % 4096 : kAnyPayload;
    const auto decoded = ArrayShape::Decode(bytes, payload);
    if (!decoded.ok()) continue;
    ++accepted;
    ASSERT_NO_FATAL_FAILURE(ExpectSound(*decoded, payload));
  }
  EXPECT_GT(accepted, 1000);
}

TEST(ArrayShape, ContiguousMeansRowByRowWithoutGaps) {
  ArrayShape shape;
  shape.dtype = DType::kInt32;
  shape.shape = {3, 4};
  shape.strides = {16, 4};
  EXPECT_TRUE(shape.contiguous());
  shape.strides = {32, 4};
  EXPECT_FALSE(shape.contiguous());
  shape.strides = {4, 12};  // column by column
  EXPECT_FALSE(shape.contiguous());
  shape.shape = {1, 4};
  shape.strides = {999, 4};  // one row: its stride says nothing
  EXPECT_TRUE(shape.contiguous());
}

// Its fields are anybody's to set.
TEST(ArrayShape, ThatIsNoneIsNeitherContiguousNorEncoded) {
  const std::vector<int64_t> none;
  for (const ArrayShape& shape : {
           ArrayShape{.dtype = DType::kInt8, .shape = {2, 3}, .strides = none},
           ArrayShape{.dtype = DType::kInt8, .shape = {2, 3}, .strides = {3}},
           ArrayShape{.dtype = DType::kInt8, .shape = {2}, .strides = {3, 1}},
           ArrayShape{.dtype = DType::kInt8, .shape = none,
                      .strides = std::vector<int64_t>(300)},
           ArrayShape{.dtype = DType::kInt8, .shape = std::vector<int64_t>(300),
                      .strides = std::vector<int64_t>(300)}}) {
    if (shape.shape.size() != shape.strides.size()) {
      EXPECT_FALSE(shape.contiguous());
    }
    EXPECT_TRUE(shape.Encode().empty());
    EXPECT_FALSE(ArrayShape::Decode(shape.Encode(), kAnyPayload).ok());
  }
  ArrayShape huge{.dtype = DType::kInt64, .shape = {kMost, kMost}, .strides = {8, 8}};
  EXPECT_EQ(huge.count(), kMost);
  EXPECT_FALSE(huge.contiguous());
  huge.shape = {kMost, kMost, 0};
  EXPECT_EQ(huge.count(), 0);
  huge.shape = {-5};
  EXPECT_EQ(huge.count(), 0);
  const absl::Status unknown = ArrayShape::Contiguous(static_cast<DType>(99), {2}).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(unknown.message().find("99"), absl::string_view::npos) << unknown;
}

TEST(ArrayShape, DtypesHaveTheirNumpyNamesAndSizes) {
  const std::pair<DType, std::pair<const char*, size_t>> known[] = {
      {internal::DTypeOf<bool>(), {"bool", 1}},
      {internal::DTypeOf<int8_t>(), {"int8", 1}},
      {internal::DTypeOf<uint16_t>(), {"uint16", 2}},
      {internal::DTypeOf<int>(), {"int32", 4}},
      {internal::DTypeOf<long>(), {"int64", 8}},
      {internal::DTypeOf<unsigned long long>(), {"uint64", 8}},
      {internal::DTypeOf<float>(), {"float32", 4}},
      {internal::DTypeOf<double>(), {"float64", 8}},
      {internal::DTypeOf<std::complex<double>>(), {"complex128", 16}}};
  for (const auto& [dtype, facts] : known) {
    EXPECT_STREQ(NameOf(dtype), facts.first);
    EXPECT_EQ(BytesOf(dtype), facts.second);
  }
  EXPECT_STREQ(NameOf(static_cast<DType>(200)), "unknown");
  EXPECT_EQ(BytesOf(static_cast<DType>(0)), 0u);
}

}  // namespace
}  // namespace penstock
