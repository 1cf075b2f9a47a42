// The choice of a kernel set and of the stores.
#include "runtime/ps/kernels.h"

#include <cstring>

#include "runtime/ps/kernel_sets.h"
#include "store/base/check.h"
#include "store/base/streaming_copy.h"

namespace penstock::ps {
namespace {

// A shorter part of a gather is not worth a fence of its own.
constexpr size_t kLeastStreamedPartBytes = size_t{16} << 10;

size_t FirstSupported() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return 0;
  return __builtin_cpu_supports("avx2") ? 1 : 2;
#else
  return 0;
#endif
}

template <typename T>
Stores StoresFor(std::span<T> out) {
  return out.size_bytes() >= kStreamingBytes ? Stores::kStreaming : Stores::kCached;
}

template <typename T>
const KernelSet<T>& Best() {
  static const KernelSet<T>& best = KernelSets<T>().front();
  return best;
}

}  // namespace

template <>
std::span<const KernelSet<float>> KernelSets<float>() {
  static const KernelSet<float> sets[] = {
#if defined(__x86_64__)
      internal::kAvx512Floats, internal::kAvx2Floats,
#endif
      internal::k128Floats};
  return std::span(sets).subspan(FirstSupported());
}

template <>
std::span<const KernelSet<double>> KernelSets<double>() {
  static const KernelSet<double> sets[] = {
#if defined(__x86_64__)
      internal::kAvx512Doubles, internal::kAvx2Doubles,
#endif
      internal::k128Doubles};
  return std::span(sets).subspan(FirstSupported());
}

template <typename T>
void Fill(std::span<T> out, T value) {
  Best<T>().fill(out.data(), out.size(), value, StoresFor(out));
}

template <typename T>
void AddUpdates(std::span<T> out, std::span<const T> base,
                std::span<const T* const> updates) {
  PENSTOCK_CHECK(base.size() == out.size())
      << "base has " << base.size() << " elements, the output " << out.size();
  Best<T>().add_updates(out.data(), base.data(), updates.data(), updates.size(), out.size(),
                        StoresFor(out));
}

template <typename T>
void ScaleAdd(std::span<T> out, std::span<const T> x, T a, T b) {
  PENSTOCK_CHECK(x.size() == out.size())
      << "x has " << x.size() << " elements, the output " << out.size();
  Best<T>().scale_add(out.data(), x.data(), out.size(), a, b, StoresFor(out));
}

template <typename T>
void Gather(std::span<T> out, std::span<const std::span<const T>> parts) {
  const bool streams = StoresFor(out) == Stores::kStreaming;
  std::byte* to = std::as_writable_bytes(out).data();
  size_t left = out.size();
  for (const std::span<const T> part : parts) {
    PENSTOCK_CHECK(part.size() <= left) << "the parts have more elements than the output";
    const auto bytes = std::as_bytes(part);
    if (streams && bytes.size() >= kLeastStreamedPartBytes) {
      StreamingCopy(to, bytes.data(), bytes.size());
    } else if (!bytes.empty()) {
      std::memcpy(to, bytes.data(), bytes.size());
    }
    to += bytes.size();
    left -= part.size();
  }
  PENSTOCK_CHECK(left == 0) << "the parts have " << left << " elements less than the output";
}

template <typename T>
bool AllEqual(std::span<const T> values, T x) {
  return Best<T>().all_equal(values.data(), values.size(), x);
}

#define PENSTOCK_INSTANTIATE(T)                                                             \
  template void Fill<T>(std::span<T>, T);                                                   \
  template void AddUpdates<T>(std::span<T>, std::span<const T>, std::span<const T* const>); \
  template void ScaleAdd<T>(std::span<T>, std::span<const T>, T, T);                        \
  template void Gather<T>(std::span<T>, std::span<const std::span<const T>>);               \
  template bool AllEqual<T>(std::span<const T>, T)
PENSTOCK_INSTANTIATE(float);
PENSTOCK_INSTANTIATE(double);
#undef PENSTOCK_INSTANTIATE

}  // namespace penstock::ps
