// Ways to copy a large block.
//
// Which of them is the fastest differs from processor to processor by a factor of five, and
// with the size of the block: CopyPlan holds the choice, CopyTrial makes it by measuring.
//
// Thread safety: any number of threads at once. No call here takes a system call, but for the
// first one of a process.
#ifndef PENSTOCK_STORE_BASE_COPY_KERNELS_H_
#define PENSTOCK_STORE_BASE_COPY_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "store/base/processor.h"

namespace penstock {

struct CopyKernel {
  // Stands in shared memory: never 0, and never another kernel's in a later release.
  uint8_t number;
  const char* name;
  // Copies `bytes` bytes between ranges that do not overlap, of any alignment. What this thread
  // publishes afterwards is seen after the payload.
  void (*copy)(std::byte* destination, const std::byte* source, size_t bytes);
  uint8_t vector_bytes;  // of the registers it is written for; 0: whatever the library takes
  uint8_t places;        // that it visits in turn
};

inline constexpr uint8_t kCopyMemcpy = 1;
inline constexpr uint8_t kCopyMovsb = 2;
inline constexpr uint8_t kCopySse2 = 3;
inline constexpr uint8_t kCopySse2Places = 4;
inline constexpr uint8_t kCopyAvx2 = 5;
inline constexpr uint8_t kCopyAvx2Places = 6;
inline constexpr uint8_t kCopyAvx512 = 7;
inline constexpr uint8_t kCopyAvx512Places = 8;

// Those that this processor can run; for tests and for the bench, which compares them.
std::span<const CopyKernel> CopyKernels();
// Null where no kernel has that number.
const CopyKernel* FindCopyKernel(uint8_t number);
bool CanRun(const CopyKernel& kernel, const Processor& processor);

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_COPY_KERNELS_H_
