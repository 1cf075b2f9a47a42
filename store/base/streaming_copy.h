// The copy of a payload: through the caches where it is small, else by the kernel that was
// found best on this host (CopyPlan).
//
// Thread safety: any number of threads at once. No call here takes a system call.
#ifndef PENSTOCK_STORE_BASE_STREAMING_COPY_H_
#define PENSTOCK_STORE_BASE_STREAMING_COPY_H_

#include <cstddef>
#include <cstring>

#include "store/base/copy_plan.h"

namespace penstock {

// From this size on a copy is worth a kernel of its own: a fifth of a core's second-level
// cache, within these limits. Measured on an Ice Lake Xeon (1.25 MiB of L2 a core, 48 MiB of
// L3), GB/s cached / streaming:
//
//   destinations rotate over      256 KiB    1 MiB     16 MiB    512 MiB
//   objects of  16 KiB            54 / 19    40 / 19    9 / 20     8 / 18
//   objects of 256 KiB            40 / 20    27 / 20   10 / 20     8 / 16
//   objects of   1 MiB               -       14 / 19    8 / 19     5 / 10
//
// Smaller objects often find their destination in that cache, or their reader finds them
// there; larger ones never do.
inline constexpr size_t kLeastStreamingBytes = size_t{64} << 10;
inline constexpr size_t kMostStreamingBytes = size_t{1} << 20;
constexpr size_t StreamingBytesFor(uint64_t l2_bytes) {
  const size_t fifth = l2_bytes / 5 / 4096 * 4096;
  return fifth < kLeastStreamingBytes ? kLeastStreamingBytes
         : fifth > kMostStreamingBytes ? kMostStreamingBytes : fifth;
}
// Of this host.
inline size_t StreamingBytes() {
  static const size_t bytes = StreamingBytesFor(ThisProcessor().l2_bytes);
  return bytes;
}

// By the kernel in use for this size. What this thread publishes afterwards is seen after the
// payload. The ranges do not overlap.
inline void StreamingCopy(std::byte* destination, const std::byte* source, size_t bytes) {
  CopyKernelFor(bytes).copy(destination, source, bytes);
}

// The faster of memcpy and StreamingCopy for this size.
inline void CopyBytes(std::byte* destination, const std::byte* source, size_t bytes) {
  if (bytes >= kLeastStreamingBytes && bytes >= StreamingBytes()) {
    StreamingCopy(destination, source, bytes);
  } else if (bytes > 0) {
    std::memcpy(destination, source, bytes);
  }
}

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_STREAMING_COPY_H_
