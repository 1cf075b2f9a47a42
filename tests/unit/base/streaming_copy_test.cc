// Every copy kernel copies exactly the bytes it was told to, at every alignment.
#include "store/base/streaming_copy.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr std::byte kUntouched{0xA5};
constexpr size_t kMarginBytes = 192;

std::vector<std::byte> Pattern(size_t bytes) {
  std::vector<std::byte> pattern(bytes);
  uint64_t state = 0x9e3779b97f4a7c15ULL;
  for (std::byte& byte : pattern) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<std::byte>(state >> 56);
  }
  return pattern;
}

// The first address in `buffer` that is `offset` above a multiple of 64.
std::byte* At(std::vector<std::byte>& buffer, size_t offset) {
  const uintptr_t start = reinterpret_cast<uintptr_t>(buffer.data());
  return buffer.data() + ((64 - start % 64) % 64) + 64 + offset;
}

void ExpectExactCopy(const CopyKernel& kernel, size_t destination_offset,
                     size_t source_offset, size_t bytes) {
  std::vector<std::byte> source = Pattern(bytes + kMarginBytes);
  std::vector<std::byte> destination(bytes + 2 * kMarginBytes, kUntouched);
  std::byte* const to = At(destination, destination_offset);
  const std::byte* const from = At(source, source_offset) - 64;
  kernel.copy(to, from, bytes);
  ASSERT_EQ(0, bytes == 0 ? 0 : std::memcmp(to, from, bytes));
  for (const std::byte* at = destination.data(); at < to; ++at) ASSERT_EQ(*at, kUntouched);
  for (const std::byte* at = to + bytes; at < destination.data() + destination.size(); ++at) {
    ASSERT_EQ(*at, kUntouched);
  }
}

TEST(StreamingCopy, CopiesEverySmallSizeAtEveryAlignmentOfTheDestination) {
  for (const CopyKernel& kernel : CopyKernels()) {
    for (size_t offset = 0; offset < 64; ++offset) {
      for (size_t bytes = 0; bytes <= 300; ++bytes) {
        SCOPED_TRACE(::testing::Message() << kernel.name << " destination+" << offset << " "
                                        << bytes << " bytes");
        ASSERT_NO_FATAL_FAILURE(ExpectExactCopy(kernel, offset, (offset * 7) % 64, bytes));
      }
    }
  }
}

TEST(StreamingCopy, CopiesFromEveryAlignmentOfTheSource) {
  for (const CopyKernel& kernel : CopyKernels()) {
    for (size_t offset = 0; offset < 64; ++offset) {
      SCOPED_TRACE(::testing::Message() << kernel.name << " source+" << offset);
      ASSERT_NO_FATAL_FAILURE(ExpectExactCopy(kernel, 0, offset, 4096 + offset));
    }
  }
}

TEST(StreamingCopy, CopiesSizesAroundItsBlocks) {
  constexpr size_t kBlock = size_t{256} << 10;
  for (const CopyKernel& kernel : CopyKernels()) {
    for (const size_t bytes : {kBlock - 1, kBlock, kBlock + 1, kBlock + 63, kBlock + 64,
                               2 * kBlock - 1, 3 * kBlock + 4097, size_t{5'000'011}}) {
      for (const size_t offset : {size_t{0}, size_t{1}, size_t{33}, size_t{63}}) {
        SCOPED_TRACE(::testing::Message()
                     << kernel.name << " " << bytes << " bytes at +" << offset);
        ASSERT_NO_FATAL_FAILURE(ExpectExactCopy(kernel, offset, 63 - offset, bytes));
      }
    }
  }
}

TEST(CopyBytes, CopiesBelowAtAndAboveTheStreamingSize) {
  const size_t limit = StreamingBytes();
  for (const size_t bytes : {size_t{0}, size_t{1}, limit - 1, limit, limit + 1, 4 * limit + 5}) {
    SCOPED_TRACE(::testing::Message() << bytes << " bytes");
    ASSERT_NO_FATAL_FAILURE(ExpectExactCopy({0, "CopyBytes", CopyBytes, 0, 1}, 8, 16, bytes));
    ASSERT_NO_FATAL_FAILURE(
        ExpectExactCopy({0, "StreamingCopy", StreamingCopy, 0, 1}, 8, 16, bytes));
  }
}

TEST(CopyBytes, AcceptsNullPointersForNothing) {
  CopyBytes(nullptr, nullptr, 0);
  StreamingCopy(nullptr, nullptr, 0);
}

}  // namespace
}  // namespace penstock
