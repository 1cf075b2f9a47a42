// The passes of penstock/internal/kernels.h one by one, for each kind of processor: for tests
// and for the bench, which compare ways to do the same.
#ifndef PENSTOCK_RUNTIME_PS_KERNELS_H_
#define PENSTOCK_RUNTIME_PS_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include <penstock/internal/kernels.h>

namespace penstock::ps {

enum class Stores { kCached, kStreaming };

// One way for each pass, for one kind of processor. Pointers are to `count` elements.
template <typename T>
struct KernelSet {
  const char* name;
  uint8_t vector_bytes;
  uint8_t places;  // that a pass visits in turn
  void (*fill)(T* out, size_t count, T value, Stores stores);
  void (*add_updates)(T* out, const T* base, const T* const* updates, size_t updates_count,
                      size_t count, Stores stores);
  void (*scale_add)(T* out, const T* x, size_t count, T a, T b, Stores stores);
  bool (*all_equal)(const T* values, size_t count, T x);
};
// Those that this processor can run. The functions above take the one that is built like the
// copy kernel in use for outputs of this size (CopyPlan): what memory likes of a copy, it likes
// of a pass that reads some more.
template <typename T>
std::span<const KernelSet<T>> KernelSets();
template <typename T>
const KernelSet<T>& KernelSetFor(size_t out_bytes);
template <>
std::span<const KernelSet<float>> KernelSets<float>();
template <>
std::span<const KernelSet<double>> KernelSets<double>();

}  // namespace penstock::ps

#endif  // PENSTOCK_RUNTIME_PS_KERNELS_H_
