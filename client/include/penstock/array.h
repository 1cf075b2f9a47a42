// Typed arrays in the store: element type, shape and strides travel as metadata, the
// elements are the payload, borrowed in place on both sides.
//
//   ArrayBuilder<double>      one that is being made: writable, contiguous, row by row
//   ArrayView<double>         a sealed one, pinned as long as the view lives
#ifndef PENSTOCK_ARRAY_H_
#define PENSTOCK_ARRAY_H_

#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/client.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace penstock {

// Tag of objects that are arrays.
inline constexpr uint32_t kArrayTypeTag = 0x80000001;
inline constexpr size_t kMostDimensions = 8;

// Numbers on the wire: never renumber.
enum class DType : uint8_t {
  kInt8 = 1, kInt16 = 2, kInt32 = 3, kInt64 = 4,
  kUint8 = 5, kUint16 = 6, kUint32 = 7, kUint64 = 8,
  kFloat32 = 9, kFloat64 = 10, kComplex64 = 11, kComplex128 = 12, kBool = 13,
};

// Name as users of numpy know it, "float64"; "unknown" for another number.
const char* NameOf(DType dtype);
size_t BytesOf(DType dtype);  // of one element; 0 for an unknown number

namespace internal {

template <typename T>
constexpr DType DTypeOf() {
  if constexpr (std::is_same_v<T, bool>) return DType::kBool;
  else if constexpr (std::is_same_v<T, std::byte>) return DType::kUint8;
  else if constexpr (std::is_same_v<T, float>) return DType::kFloat32;
  else if constexpr (std::is_same_v<T, double>) return DType::kFloat64;
  else if constexpr (std::is_same_v<T, std::complex<float>>) return DType::kComplex64;
  else if constexpr (std::is_same_v<T, std::complex<double>>) return DType::kComplex128;
  else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return sizeof(T) == 1 ? DType::kInt8 : sizeof(T) == 2 ? DType::kInt16
         : sizeof(T) == 4 ? DType::kInt32 : DType::kInt64;
  } else {
    static_assert(std::is_integral_v<T>,
                  "ArrayBuilder<T> takes integers, bool, float, double and std::complex of those; "
                  "put other types as bytes");
    return sizeof(T) == 1 ? DType::kUint8 : sizeof(T) == 2 ? DType::kUint16
         : sizeof(T) == 4 ? DType::kUint32 : DType::kUint64;
  }
}

}  // namespace internal

// What the metadata of an array says.
struct ArrayShape {
  DType dtype = DType::kUint8;
  std::vector<int64_t> shape;    // elements along each dimension; empty: one element
  std::vector<int64_t> strides;  // bytes from one element to the next along each

  // Row by row without gaps. Errors: InvalidArgument for an unknown dtype, a negative extent,
  // more than 8 dimensions or too many bytes.
  static absl::StatusOr<ArrayShape> Contiguous(DType dtype, std::vector<int64_t> shape);
  // The fields may be set to anything. What is no array's shape: more than 8 dimensions, or not a
  // stride for each.
  int64_t count() const;         // elements; the largest number for more than can be counted
  bool contiguous() const;       // row by row without gaps; false for what is no array's shape

  // Empty, which Decode refuses, for what is no array's shape.
  std::vector<std::byte> Encode() const;
  // Refuses what is no array's metadata, or reaches outside `payload_bytes`.
  static absl::StatusOr<ArrayShape> Decode(std::span<const std::byte> metadata,
                                           uint64_t payload_bytes);
};

// Thread safety and fork: as Builder.
template <typename T>
class ArrayBuilder {
 public:
  // Uninitialized elements. Errors: InvalidArgument for a shape with a negative number,
  // more than 8 dimensions or too many bytes; else as Client::Create.
  [[nodiscard]] static absl::StatusOr<ArrayBuilder> Create(Client& client,
                                                    std::vector<int64_t> shape,
                                                    CreateOptions options = {}) {
    auto described = ArrayShape::Contiguous(internal::DTypeOf<T>(), std::move(shape));
    if (!described.ok()) return described.status();
    const std::vector<std::byte> metadata = described->Encode();
    options.metadata = metadata;
    options.type_tag = kArrayTypeTag;
    auto builder =
        client.Create(static_cast<uint64_t>(described->count()) * sizeof(T), options);
    if (!builder.ok()) return builder.status();
    return ArrayBuilder(*std::move(described), *std::move(builder));
  }

  std::span<T> values() const {
    const auto bytes = builder_.data();
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  const std::vector<int64_t>& shape() const { return shape_.shape; }
  const ObjectId& id() const { return builder_.id(); }

  [[nodiscard]] absl::StatusOr<ObjectId> Seal() { return builder_.Seal(); }

 private:
  ArrayBuilder(ArrayShape shape, Builder builder)
      : shape_(std::move(shape)), builder_(std::move(builder)) {}

  ArrayShape shape_;
  Builder builder_;
};

// Thread safety and fork: as ObjectView.
template <typename T>
class ArrayView {
 public:
  // Errors: InvalidArgument when the object is no array or has other elements; else as
  // Client::Get.
  [[nodiscard]] static absl::StatusOr<ArrayView> Get(
      Client& client, const ObjectId& id, absl::Duration deadline = absl::InfiniteDuration()) {
    auto object = client.Get(id, deadline);
    if (!object.ok()) return object.status();
    return From(*std::move(object));
  }
  [[nodiscard]] static absl::StatusOr<ArrayView> From(ObjectView object) {
    auto shape = ArrayShape::Decode(object.metadata(), object.data().size());
    if (!shape.ok()) return shape.status();
    if (absl::Status status = CheckElements(*shape, internal::DTypeOf<T>(), object);
        !status.ok()) {
      return status;
    }
    return ArrayView(*std::move(shape), std::move(object));
  }

  // All elements, row by row; empty for an array with gaps (use at()).
  std::span<const T> values() const {
    const auto bytes = object_.data();
    if (!shape_.contiguous() || bytes.empty()) return {};
    // The payload may be larger than its elements.
    return {reinterpret_cast<const T*>(bytes.data()), static_cast<size_t>(shape_.count())};
  }
  // The element at these indices, which must be inside the shape.
  const T& at(std::initializer_list<int64_t> indices) const {
    int64_t offset = 0;
    size_t dimension = 0;
    for (const int64_t index : indices) offset += index * shape_.strides[dimension++];
    return *reinterpret_cast<const T*>(object_.data().data() + offset);
  }
  const std::vector<int64_t>& shape() const { return shape_.shape; }
  const std::vector<int64_t>& strides() const { return shape_.strides; }
  const ObjectView& object() const { return object_; }

 private:
  ArrayView(ArrayShape shape, ObjectView object)
      : shape_(std::move(shape)), object_(std::move(object)) {}
  static absl::Status CheckElements(const ArrayShape& shape, DType wanted,
                                    const ObjectView& object);

  ArrayShape shape_;
  ObjectView object_;
};

namespace internal {
absl::Status CheckArrayElements(const ArrayShape& shape, DType wanted,
                                const ObjectView& object);
}

template <typename T>
absl::Status ArrayView<T>::CheckElements(const ArrayShape& shape, DType wanted,
                                         const ObjectView& object) {
  return internal::CheckArrayElements(shape, wanted, object);
}

}  // namespace penstock

#endif  // PENSTOCK_ARRAY_H_
