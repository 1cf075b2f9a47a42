// Payloads that any process can check: every byte follows from the object's seed and size.
#ifndef PENSTOCK_TESTS_INTEGRATION_STRESS_PATTERN_H_
#define PENSTOCK_TESTS_INTEGRATION_STRESS_PATTERN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include <fmt/format.h>
#include <penstock/object_view.h>

namespace penstock::stress {

// SplitMix64: a small generator, and a mixer of a number into another.
inline uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15); }
  // In [0, sides).
  uint64_t Roll(uint64_t sides) { return Next() % sides; }
  bool Percent(uint64_t percent) { return Roll(100) < percent; }

 private:
  uint64_t state_;
};

inline uint64_t PatternWord(uint64_t seed, uint64_t index) {
  return Mix(seed ^ (index * 0xd6e8feb86659fd93));
}

inline void FillPattern(std::span<std::byte> bytes, uint64_t seed) {
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    const uint64_t word = PatternWord(seed, at / 8);
    std::memcpy(bytes.data() + at, &word, 8);
  }
  if (at < bytes.size()) {
    const uint64_t word = PatternWord(seed, at / 8);
    std::memcpy(bytes.data() + at, &word, bytes.size() - at);
  }
}

// Empty when all bytes are right.
inline std::string CheckPattern(std::span<const std::byte> bytes, uint64_t seed) {
  for (size_t at = 0; at < bytes.size(); at += 8) {
    const uint64_t word = PatternWord(seed, at / 8);
    const size_t length = bytes.size() - at < 8 ? bytes.size() - at : 8;
    if (std::memcmp(bytes.data() + at, &word, length) != 0) {
      return fmt::format("byte {} of {} differs from the pattern", at, bytes.size());
    }
  }
  return {};
}

// Metadata and tag of an object with this seed; every other one has metadata.
inline uint32_t TagOf(uint64_t seed) { return static_cast<uint32_t>(seed >> 33); }
inline std::span<const std::byte> MetadataOf(const uint64_t& seed) {
  return seed % 2 == 0 ? std::span<const std::byte>()
                       : std::as_bytes(std::span<const uint64_t, 1>(&seed, 1));
}

// Everything about a view. Empty when it is the object it should be.
inline std::string CheckView(const ObjectView& view, const ObjectId& id, uint64_t seed,
                             uint64_t size) {
  if (!view.status().ok()) return view.status().ToString();
  if (view.id() != id) return "the view has another id";
  if (view.data().size() != size) {
    return fmt::format("{} bytes instead of {}", view.data().size(), size);
  }
  if (reinterpret_cast<uintptr_t>(view.data().data()) % 64 != 0) return "not aligned to 64";
  const auto metadata = MetadataOf(seed);
  if (view.type_tag() != TagOf(seed) || view.metadata().size() != metadata.size() ||
      (!metadata.empty() &&
       std::memcmp(view.metadata().data(), metadata.data(), metadata.size()) != 0)) {
    return "its tag or metadata differ";
  }
  return CheckPattern(view.data(), seed);
}

}  // namespace penstock::stress

#endif  // PENSTOCK_TESTS_INTEGRATION_STRESS_PATTERN_H_
