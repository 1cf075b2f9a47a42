// What the fuzz targets share: the input taken apart piece by piece, and a check that aborts.
#ifndef PENSTOCK_TESTS_FUZZ_INPUT_H_
#define PENSTOCK_TESTS_FUZZ_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "store/base/check.h"

namespace penstock::fuzz {

// An input that has run out goes on with zeros, so that every input means something.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }
  size_t size() const { return rest_.size(); }

  template <typename T>
  T Take() {
    static_assert(std::is_integral_v<T>);
    T value = 0;
    const auto bytes = TakeBytes(sizeof(T));
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  uint8_t Byte() { return Take<uint8_t>(); }
  // 0 to `count` - 1.
  size_t Pick(size_t count) { return Byte() % count; }

  // At most so many.
  std::span<const uint8_t> TakeBytes(size_t most) {
    const auto taken = rest_.first(std::min(most, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::span<const uint8_t> TakeRest() { return TakeBytes(rest_.size()); }

 private:
  std::span<const uint8_t> rest_;
};

inline std::string_view AsText(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A copy with nothing behind it: whoever reads beyond the end is seen by the sanitizer.
class ExactCopy {
 public:
  explicit ExactCopy(std::span<const uint8_t> bytes)
      : size_(bytes.size()), data_(new uint8_t[bytes.size()]) {
    if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
  }
  ~ExactCopy() { delete[] data_; }
  ExactCopy(const ExactCopy&) = delete;
  ExactCopy& operator=(const ExactCopy&) = delete;
  std::string_view text() const { return AsText({data_, size_}); }
  std::span<const std::byte> bytes() const {
    return {reinterpret_cast<const std::byte*>(data_), size_};
  }

 private:
  const size_t size_;
  uint8_t* const data_;
};

}  // namespace penstock::fuzz

#endif  // PENSTOCK_TESTS_FUZZ_INPUT_H_
