// Size classes: how many bytes a block for an object has. Daemon and clients agree on
// this, since a client keeps its leases by class.
//
// Up to 1 KiB blocks are multiples of 64 bytes; up to 64 KiB an eighth of a power of two;
// above that multiples of 4 KiB. Waste: at most 63 bytes, 12.5% and 6.2% of a block.
#ifndef PENSTOCK_STORE_SHM_SIZE_CLASS_H_
#define PENSTOCK_STORE_SHM_SIZE_CLASS_H_

#include <bit>
#include <cstdint>

#include "store/base/units.h"

namespace penstock {

inline constexpr uint64_t kSmallBlockBytes = 64 * kKiB;  // largest block with a class
inline constexpr uint32_t kSizeClasses = 16 + 6 * 8;

// Rounded block size for `bytes` (0 counts as 1).
constexpr uint64_t BlockBytes(uint64_t bytes) {
  if (bytes <= 64) return 64;
  if (bytes <= kKiB) return RoundUp(bytes, 64);
  if (bytes <= kSmallBlockBytes) {
    const uint64_t step = std::bit_ceil(bytes) / 16;  // an eighth of the octave's start
    return RoundUp(bytes, step);
  }
  return RoundUp(bytes, 4 * kKiB);
}

// Class number of a small block size, in [0, kSizeClasses).
constexpr uint32_t SizeClassOf(uint64_t block_bytes) {
  if (block_bytes <= kKiB) return static_cast<uint32_t>(block_bytes / 64 - 1);
  const uint64_t ceiling = std::bit_ceil(block_bytes);
  const uint32_t octave = static_cast<uint32_t>(std::countr_zero(ceiling)) - 11;
  const uint64_t step = ceiling / 16;
  return 16 + octave * 8 + static_cast<uint32_t>((block_bytes - ceiling / 2) / step) - 1;
}
constexpr bool IsSmallBlock(uint64_t block_bytes) { return block_bytes <= kSmallBlockBytes; }

// Large blocks begin at a page, so that O_DIRECT moves them to and from disk where they lie.
// They are whole pages already: it costs nothing inside a block, and the gap before one is
// free memory for small ones.
constexpr uint64_t BlockAlignment(uint64_t block_bytes) {
  return IsSmallBlock(block_bytes) ? 64 : 4 * kKiB;
}

static_assert(BlockBytes(0) == 64 && BlockBytes(65) == 128 && BlockBytes(1025) == 1152);
static_assert(SizeClassOf(64) == 0 && SizeClassOf(1024) == 15 && SizeClassOf(1152) == 16);
static_assert(SizeClassOf(2048) == 23 && SizeClassOf(kSmallBlockBytes) == kSizeClasses - 1);

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_SIZE_CLASS_H_
