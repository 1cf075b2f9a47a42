// Array<T>: an array in the store as an ordinary value. Its elements are made in place and
// read in place; as an argument, a result or in a container it travels as an id and a
// range, never as bytes.
//
//   auto update = Array<double>::Ones(n);       // in the store from the start
//   for (auto& piece : update.Split(shards)) ...  // slices: no copy
//
// Once it has been shared (packed, sliced or copied) its elements never change again:
// mutable_values() then throws. Errors: UsageError, ObjectLost (the store is full).
// Thread safety: as std::shared_ptr. Elements: integers, bool, std::byte, float, double and
// std::complex of those; arithmetic is for float and double. Array<std::byte> is what a span
// of bytes becomes that is not to be copied.
#ifndef PENSTOCK_ARRAY_VALUE_H_
#define PENSTOCK_ARRAY_VALUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <msgpack.hpp>
#include <penstock/array.h>
#include <penstock/errors.h>
#include <penstock/internal/kernels.h>

namespace penstock {

namespace internal {
struct ArrayStorage;  // process/arrays.cc: a builder, then the pinned object
using ArrayStoragePtr = std::shared_ptr<ArrayStorage>;

struct ArrayRange {
  uint64_t begin = 0;  // bytes
  uint64_t bytes = 0;
};
ArrayStoragePtr MakeArrayStorage(DType dtype, uint64_t count);
const std::byte* ArrayData(const ArrayStoragePtr& storage);
std::byte* MutableArrayData(const ArrayStoragePtr& storage);  // UsageError once shared
void ShareArray(const ArrayStoragePtr& storage);              // seals it
std::string PackArray(const ArrayStoragePtr& storage, DType dtype, ArrayRange range);
std::pair<ArrayStoragePtr, ArrayRange> UnpackArray(const char* bytes, size_t size, DType dtype);
}  // namespace internal

template <typename T>
class Array {
  static constexpr bool kHasArithmetic =
      std::is_same_v<T, float> || std::is_same_v<T, double>;

 public:
  Array() = default;
  // Elements that hold anything, to be written through mutable_values().
  static Array Uninitialized(size_t count) {
    Array array;
    array.storage_ = internal::MakeArrayStorage(internal::DTypeOf<T>(), count);
    array.range_.bytes = count * sizeof(T);
    return array;
  }
  static Array Full(size_t count, T value) {
    Array array = Uninitialized(count);
    if constexpr (kHasArithmetic) {
      ps::Fill<T>(array.mutable_values(), value);
    } else {
      std::ranges::fill(array.mutable_values(), value);
    }
    return array;
  }
  // A copy of elements that lie elsewhere.
  static Array Of(std::span<const T> values) {
    Array array = Uninitialized(values.size());
    std::ranges::copy(values, array.mutable_values().begin());
    return array;
  }
  static Array Zeros(size_t count) { return Full(count, T{0}); }
  static Array Ones(size_t count) { return Full(count, T{1}); }
  // The parts one after the other: one pass.
  static Array Concatenate(std::span<const Array> parts) {
    size_t count = 0;
    std::vector<std::span<const T>> pieces;
    for (const Array& part : parts) {
      pieces.push_back(part.values());
      count += part.size();
    }
    Array whole = Uninitialized(count);
    if constexpr (kHasArithmetic) {
      ps::Gather<T>(whole.mutable_values(), pieces);
    } else {
      auto at = whole.mutable_values().begin();
      for (const auto& piece : pieces) at = std::ranges::copy(piece, at).out;
    }
    return whole;
  }
  // base + updates[0] + updates[1] + ...: one pass, however many there are.
  static Array Sum(const Array& base, std::span<const Array> updates) {
    static_assert(kHasArithmetic, "arithmetic is for arrays of float and double");
    std::vector<const T*> pointers;
    for (const Array& update : updates) {
      if (update.size() != base.size()) {
        throw UsageError("a sum of arrays of " + std::to_string(base.size()) + " and " +
                         std::to_string(update.size()) + " elements");
      }
      pointers.push_back(update.values().data());
    }
    Array sum = Uninitialized(base.size());
    ps::AddUpdates<T>(sum.mutable_values(), base.values(), pointers);
    return sum;
  }
  // a * x + b: one pass.
  static Array ScaleAdd(const Array& x, T a, T b) {
    static_assert(kHasArithmetic, "arithmetic is for arrays of float and double");
    Array result = Uninitialized(x.size());
    ps::ScaleAdd<T>(result.mutable_values(), x.values(), a, b);
    return result;
  }

  // One pass and one new array; of more than two at once, Sum makes no array in between.
  friend Array operator+(const Array& a, const Array& b) { return Sum(a, {&b, 1}); }
  // In place, while nobody else has this one.
  Array& operator+=(const Array& other) {
    static_assert(kHasArithmetic, "arithmetic is for arrays of float and double");
    if (other.size() != size()) {
      throw UsageError("a sum of arrays of " + std::to_string(size()) + " and " +
                       std::to_string(other.size()) + " elements");
    }
    const T* const update = other.values().data();
    ps::AddUpdates<T>(mutable_values(), values(), {&update, 1});
    return *this;
  }

  size_t size() const { return range_.bytes / sizeof(T); }
  bool empty() const { return range_.bytes == 0; }
  std::span<const T> values() const {
    if (storage_ == nullptr) return {};
    const std::byte* const data = internal::ArrayData(storage_) + range_.begin;
    return {reinterpret_cast<const T*>(data), size()};
  }
  // To write in place, while nobody else has it.
  std::span<T> mutable_values() {
    if (storage_ == nullptr) return {};
    std::byte* const data = internal::MutableArrayData(storage_) + range_.begin;
    return {reinterpret_cast<T*>(data), size()};
  }
  const T& operator[](size_t index) const { return values()[index]; }
  bool AllEqual(T value) const {
    if constexpr (kHasArithmetic) {
      return ps::AllEqual<T>(values(), value);
    } else {
      return std::ranges::all_of(values(), [&](const T& each) { return each == value; });
    }
  }

  // A part of it, in the same memory.
  Array Slice(size_t begin, size_t count) const {
    if (begin > size() || count > size() - begin) {
      throw UsageError("a slice from " + std::to_string(begin) + " of " +
                       std::to_string(count) + " elements reaches beyond the array's " +
                       std::to_string(size()));
    }
    if (storage_ != nullptr) internal::ShareArray(storage_);
    Array slice = *this;
    slice.range_ = {range_.begin + begin * sizeof(T), count * sizeof(T)};
    return slice;
  }
  // Equal parts, in the same memory.
  std::vector<Array> Split(size_t parts) const {
    if (parts == 0 || size() % parts != 0) {
      throw UsageError(std::to_string(size()) + " elements do not divide into " +
                       std::to_string(parts) + " equal parts");
    }
    std::vector<Array> pieces;
    const size_t count = size() / parts;
    for (size_t i = 0; i < parts; ++i) pieces.push_back(Slice(i * count, count));
    return pieces;
  }

  template <typename Packer>
  void msgpack_pack(Packer& packer) const {
    const std::string bytes =
        internal::PackArray(storage_, internal::DTypeOf<T>(), range_);
    packer.pack_ext(bytes.size(), 2);
    packer.pack_ext_body(bytes.data(), static_cast<uint32_t>(bytes.size()));
  }
  void msgpack_unpack(const msgpack::object& object) {
    if (object.type != msgpack::type::EXT || object.via.ext.type() != 2) {
      throw msgpack::type_error();
    }
    std::tie(storage_, range_) = internal::UnpackArray(
        object.via.ext.data(), object.via.ext.size, internal::DTypeOf<T>());
  }

 private:
  internal::ArrayStoragePtr storage_;  // null: empty
  internal::ArrayRange range_;
};

}  // namespace penstock

#endif  // PENSTOCK_ARRAY_VALUE_H_
