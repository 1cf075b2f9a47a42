// The choice of a kernel set and of the stores.
#include "runtime/ps/kernels.h"

#include <cstring>
#include <initializer_list>
#include <type_traits>
#include <vector>

#include "runtime/ps/kernel_sets.h"
#include "store/base/check.h"
#include "store/base/streaming_copy.h"

namespace penstock::ps {
namespace {

// A shorter part of a gather is not worth a fence of its own.
constexpr size_t kLeastStreamedPartBytes = size_t{16} << 10;

template <typename T>
Stores StoresFor(std::span<T> out) {
  return out.size_bytes() >= StreamingBytes() ? Stores::kStreaming : Stores::kCached;
}

// The widest first.
template <typename T>
std::vector<KernelSet<T>> Supported(std::initializer_list<std::span<const KernelSet<T>>> all) {
  std::vector<KernelSet<T>> supported;
  for (const std::span<const KernelSet<T>> two : all) {
    if (!HasVectors(ThisProcessor(), two.front().vector_bytes)) continue;
    supported.insert(supported.end(), two.begin(), two.end());
  }
  return supported;
}

template <typename T>
const KernelSet<std::remove_const_t<T>>& Best(std::span<T> out) {
  return KernelSetFor<std::remove_const_t<T>>(out.size_bytes());
}

}  // namespace

template <>
std::span<const KernelSet<float>> KernelSets<float>() {
  static const std::vector<KernelSet<float>> sets = Supported<float>({
#if defined(__x86_64__)
      internal::kAvx512Floats, internal::kAvx2Floats,
#endif
      internal::k128Floats});
  return sets;
}

template <>
std::span<const KernelSet<double>> KernelSets<double>() {
  static const std::vector<KernelSet<double>> sets = Supported<double>({
#if defined(__x86_64__)
      internal::kAvx512Doubles, internal::kAvx2Doubles,
#endif
      internal::k128Doubles});
  return sets;
}

template <typename T>
const KernelSet<T>& KernelSetFor(size_t out_bytes) {
  const std::span<const KernelSet<T>> sets = KernelSets<T>();
  if (out_bytes < StreamingBytes()) return sets.front();  // in a cache: as wide as can be
  const CopyKernel& copy = CopyKernelFor(out_bytes);
  // As wide as can be where the copy is nobody's register's, and of its kind: one place or more.
  for (const KernelSet<T>& set : sets) {
    if ((copy.vector_bytes == 0 || copy.vector_bytes == set.vector_bytes) &&
        (copy.places > 1) == (set.places > 1)) {
      return set;
    }
  }
  return sets.front();
}
template const KernelSet<float>& KernelSetFor<float>(size_t);
template const KernelSet<double>& KernelSetFor<double>(size_t);

template <typename T>
void Fill(std::span<T> out, T value) {
  Best(out).fill(out.data(), out.size(), value, StoresFor(out));
}

template <typename T>
void AddUpdates(std::span<T> out, std::span<const T> base,
                std::span<const T* const> updates) {
  PENSTOCK_CHECK(base.size() == out.size())
      << "base has " << base.size() << " elements, the output " << out.size();
  Best(out).add_updates(out.data(), base.data(), updates.data(), updates.size(), out.size(),
                        StoresFor(out));
}

template <typename T>
void ScaleAdd(std::span<T> out, std::span<const T> x, T a, T b) {
  PENSTOCK_CHECK(x.size() == out.size())
      << "x has " << x.size() << " elements, the output " << out.size();
  Best(out).scale_add(out.data(), x.data(), out.size(), a, b, StoresFor(out));
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
  return Best(values).all_equal(values.data(), values.size(), x);
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
