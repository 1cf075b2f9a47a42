// Metadata of arrays: encoding, and decoding that believes nothing.
//
// Layout, little endian: magic u32, version u8, dtype u8, dimensions u8, zero u8, then for
// each dimension its extent (i64), then for each its stride in bytes (i64).
#include <penstock/array.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "store/base/errors.h"

namespace penstock {
namespace {

constexpr uint32_t kMagic = 0x52524150;  // "PARR"
constexpr uint8_t kVersion = 1;
constexpr size_t kHeaderBytes = 8;

struct Known {
  DType dtype;
  const char* name;
  size_t bytes;
};
constexpr Known kKnown[] = {
    {DType::kInt8, "int8", 1},       {DType::kInt16, "int16", 2},
    {DType::kInt32, "int32", 4},     {DType::kInt64, "int64", 8},
    {DType::kUint8, "uint8", 1},     {DType::kUint16, "uint16", 2},
    {DType::kUint32, "uint32", 4},   {DType::kUint64, "uint64", 8},
    {DType::kFloat32, "float32", 4}, {DType::kFloat64, "float64", 8},
    {DType::kComplex64, "complex64", 8}, {DType::kComplex128, "complex128", 16},
    {DType::kBool, "bool", 1}};

absl::Status Wrong(std::string what) {
  return absl::InvalidArgumentError("array metadata: " + std::move(what));
}

}  // namespace

const char* NameOf(DType dtype) {
  for (const Known& known : kKnown) {
    if (known.dtype == dtype) return known.name;
  }
  return "unknown";
}

size_t BytesOf(DType dtype) {
  for (const Known& known : kKnown) {
    if (known.dtype == dtype) return known.bytes;
  }
  return 0;
}

absl::StatusOr<ArrayShape> ArrayShape::Contiguous(DType dtype, std::vector<int64_t> shape) {
  ArrayShape described;
  described.dtype = dtype;
  if (shape.size() > kMostDimensions) {
    return absl::InvalidArgumentError(fmt::format(
        "an array of {} dimensions, at most {} are supported", shape.size(), kMostDimensions));
  }
  if (BytesOf(dtype) == 0) {
    return absl::InvalidArgumentError(fmt::format(
        "dtype {} of the array is none of penstock::DType", static_cast<unsigned>(dtype)));
  }
  described.strides.resize(shape.size());
  int64_t stride = static_cast<int64_t>(BytesOf(dtype));
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] < 0) {
      return absl::InvalidArgumentError(
          fmt::format("dimension {} of the array has the negative extent {}", i, shape[i]));
    }
    described.strides[i] = stride;
    if (__builtin_mul_overflow(stride, std::max<int64_t>(shape[i], 1), &stride)) {
      return absl::InvalidArgumentError(
          "the array's shape multiplies to more bytes than 63 bits can count");
    }
  }
  described.shape = std::move(shape);
  return described;
}

int64_t ArrayShape::count() const {
  int64_t elements = 1;
  bool is_countable = true;
  for (const int64_t extent : shape) {
    if (extent <= 0) return 0;
    is_countable &= !__builtin_mul_overflow(elements, extent, &elements);
  }
  return is_countable ? elements : std::numeric_limits<int64_t>::max();
}

bool ArrayShape::contiguous() const {
  if (strides.size() != shape.size()) return false;
  int64_t stride = static_cast<int64_t>(BytesOf(dtype));
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != stride) return false;
    if (__builtin_mul_overflow(stride, std::max<int64_t>(shape[i], 1), &stride)) return false;
  }
  return true;
}

std::vector<std::byte> ArrayShape::Encode() const {
  if (shape.size() > kMostDimensions || strides.size() != shape.size()) return {};
  std::vector<std::byte> bytes(kHeaderBytes + 16 * shape.size());
  std::memcpy(bytes.data(), &kMagic, sizeof(kMagic));
  bytes[4] = std::byte{kVersion};
  bytes[5] = static_cast<std::byte>(dtype);
  bytes[6] = static_cast<std::byte>(shape.size());
  if (!shape.empty()) {
    std::memcpy(bytes.data() + kHeaderBytes, shape.data(), 8 * shape.size());
    std::memcpy(bytes.data() + kHeaderBytes + 8 * shape.size(), strides.data(),
                8 * strides.size());
  }
  return bytes;
}

absl::StatusOr<ArrayShape> ArrayShape::Decode(std::span<const std::byte> metadata,
                                              uint64_t payload_bytes) {
  uint32_t magic = 0;
  if (metadata.size() < kHeaderBytes) return Wrong("too short: the object is no array");
  std::memcpy(&magic, metadata.data(), sizeof(magic));
  if (magic != kMagic) return Wrong("another magic number: the object is no array");
  if (metadata[4] != std::byte{kVersion}) {
    return Wrong(fmt::format("version {}, this library reads {}",
                             static_cast<unsigned>(metadata[4]), kVersion));
  }
  ArrayShape described;
  described.dtype = static_cast<DType>(metadata[5]);
  const auto element = static_cast<int64_t>(BytesOf(described.dtype));
  const auto dimensions = static_cast<size_t>(metadata[6]);
  if (element == 0) {
    return Wrong(fmt::format("unknown dtype {}", static_cast<unsigned>(metadata[5])));
  }
  if (metadata[7] != std::byte{0}) return Wrong("a reserved byte that is not zero");
  if (dimensions > kMostDimensions || metadata.size() != kHeaderBytes + 16 * dimensions) {
    return Wrong(fmt::format("{} dimensions in {} bytes", dimensions, metadata.size()));
  }
  described.shape.resize(dimensions);
  described.strides.resize(dimensions);
  if (dimensions > 0) {
    std::memcpy(described.shape.data(), metadata.data() + kHeaderBytes, 8 * dimensions);
    std::memcpy(described.strides.data(), metadata.data() + kHeaderBytes + 8 * dimensions,
                8 * dimensions);
  }
  // The last byte of the last element must lie inside the payload, and the elements must
  // be countable: with a stride of 0 many of them need no payload.
  int64_t end = element;
  int64_t count = 1;
  bool empty = false;
  for (size_t i = 0; i < dimensions; ++i) {
    const int64_t extent = described.shape[i];
    const int64_t stride = described.strides[i];
    int64_t reach = 0;
    if (extent < 0 || stride < 0 || stride % element != 0 ||
        __builtin_mul_overflow(std::max<int64_t>(extent, 1) - 1, stride, &reach) ||
        __builtin_add_overflow(end, reach, &end) ||
        __builtin_mul_overflow(count, std::max<int64_t>(extent, 1), &count)) {
      return Wrong(fmt::format("dimension {} has extent {} and stride {}", i, extent, stride));
    }
    empty |= extent == 0;
  }
  if (!empty && static_cast<uint64_t>(end) > payload_bytes) {
    return Wrong(fmt::format("its elements need {} bytes, the payload has {}", end,
                             payload_bytes));
  }
  return described;
}

namespace internal {

absl::Status CheckArrayElements(const ArrayShape& shape, DType wanted,
                                const ObjectView& object) {
  if (object.type_tag() != kArrayTypeTag) {
    return absl::InvalidArgumentError(
        fmt::format("object {} is no array: its type tag is {:#x}", object.id().ToHex(),
                    object.type_tag()));
  }
  if (shape.dtype != wanted) {
    return absl::InvalidArgumentError(
        fmt::format("object {} is an array of {}, not of {}", object.id().ToHex(),
                    NameOf(shape.dtype), NameOf(wanted)));
  }
  return absl::OkStatus();
}

}  // namespace internal
}  // namespace penstock
