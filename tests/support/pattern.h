// Payloads that can be checked: bytes that depend on a seed and on their place.
#ifndef PENSTOCK_TESTS_SUPPORT_PATTERN_H_
#define PENSTOCK_TESTS_SUPPORT_PATTERN_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace penstock::testing {

std::vector<std::byte> Pattern(uint64_t seed, size_t size);
bool HasPattern(std::span<const std::byte> bytes, uint64_t seed);
void FillPattern(std::span<std::byte> bytes, uint64_t seed);

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_SUPPORT_PATTERN_H_
