// Payloads that can be checked.
#include "tests/support/pattern.h"

#include <algorithm>
#include <cstring>

namespace penstock::testing {
namespace {

uint64_t WordAt(uint64_t seed, uint64_t place) {
  return (seed + 1) * 0x9e3779b97f4a7c15ULL + place * 0xbf58476d1ce4e5b9ULL;
}

}  // namespace

void FillPattern(std::span<std::byte> bytes, uint64_t seed) {
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    const uint64_t word = WordAt(seed, at);
    std::memcpy(bytes.data() + at, &word, std::min(sizeof(word), bytes.size() - at));
  }
}

std::vector<std::byte> Pattern(uint64_t seed, size_t size) {
  std::vector<std::byte> bytes(size);
  FillPattern(bytes, seed);
  return bytes;
}

bool HasPattern(std::span<const std::byte> bytes, uint64_t seed) {
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    const uint64_t word = WordAt(seed, at);
    if (std::memcmp(bytes.data() + at, &word,
                    std::min(sizeof(word), bytes.size() - at)) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace penstock::testing
