// Copies for large payloads: non-temporal stores, which do not read the destination first
// and leave the caches to others.
//
// Thread safety: any number of threads at once. No call here takes a system call.
#ifndef PENSTOCK_STORE_BASE_STREAMING_COPY_H_
#define PENSTOCK_STORE_BASE_STREAMING_COPY_H_

#include <cstddef>
#include <cstring>
#include <span>

namespace penstock {

// From this size on CopyBytes streams. Measured on an Ice Lake Xeon (1.25 MiB of L2 a
// core, 48 MiB of L3), GB/s cached / streaming:
//
//   destinations rotate over      256 KiB    1 MiB     16 MiB    512 MiB
//   objects of  16 KiB            54 / 19    40 / 19    9 / 20     8 / 18
//   objects of 256 KiB            40 / 20    27 / 20   10 / 20     8 / 16
//   objects of   1 MiB               -       14 / 19    8 / 19     5 / 10
//
// Smaller objects often find their destination in the L2 cache, or their reader finds
// them there; larger ones never do.
inline constexpr size_t kStreamingBytes = size_t{256} << 10;

// Copies `bytes` bytes between ranges that do not overlap, of any alignment, with
// non-temporal stores for the part that is aligned to 64 bytes. Ends with a store fence:
// a later publication of the destination is seen after the payload.
void StreamingCopy(std::byte* destination, const std::byte* source, size_t bytes);

// The faster of memcpy and StreamingCopy for this size.
inline void CopyBytes(std::byte* destination, const std::byte* source, size_t bytes) {
  if (bytes >= kStreamingBytes) {
    StreamingCopy(destination, source, bytes);
  } else if (bytes > 0) {
    std::memcpy(destination, source, bytes);
  }
}

// One way to stream; `copy` has the contract of StreamingCopy.
struct StreamingKernel {
  const char* name;
  void (*copy)(std::byte* destination, const std::byte* source, size_t bytes);
};
// Those that this processor can run, the one that StreamingCopy takes for most sizes first.
// For tests and for the bench, which compares them.
std::span<const StreamingKernel> StreamingKernels();

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_STREAMING_COPY_H_
