// The loops of all kernel sets, written once with the compiler's vector types.
//
// A file that includes this says for which processor by two macros:
//   PENSTOCK_KERNEL_BYTES   of a vector: 16, 32 or 64
//   PENSTOCK_KERNEL_TARGET  the attribute of functions that may use such vectors, or nothing
// Everything here has internal linkage, so that no code for a newer processor can be taken
// by the linker in place of another file's.
//
// Four places of the output, 64 KiB apart, are visited in turn, a line at each, with the
// inputs asked for 512 bytes ahead: one place alone leaves memory banks idle. Measured on
// an Ice Lake Xeon with AVX-512, GB/s of output, 48 MiB on huge pages, other work beside:
//
//   out = base + k updates        one core               two cores
//                                k = 1     4            k = 1     4
//   1 place, 4 lines              5.5    2.7             4.9    2.6
//   1 place, 4 lines, prefetch    5.6    2.7             5.1    2.6
//   2 places, 4 lines, prefetch   6.4    3.0             6.4    2.8
//   4 places, 2 lines             6.6    2.9             6.5    2.7
//   4 places, 2 lines, prefetch   6.9    3.2             6.6    2.9
//   4 places, 1 line, prefetch    7.2    3.2             6.9    3.1
//   8 places, 2 lines, prefetch   6.8    3.0             6.5    3.0
//
// Loads and stores of one visit never alternate: a load waits for a store in flight whose
// address agrees in its low 12 bits, and the arrays of a parameter server, all aligned
// alike, always agree.
#ifndef PENSTOCK_RUNTIME_PS_KERNEL_LOOPS_H_
#define PENSTOCK_RUNTIME_PS_KERNEL_LOOPS_H_

#if !defined(PENSTOCK_KERNEL_BYTES) || !defined(PENSTOCK_KERNEL_TARGET)
#error "say for which processor"
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "runtime/ps/kernels.h"

#define PENSTOCK_KERNEL_INLINE [[gnu::always_inline]] inline PENSTOCK_KERNEL_TARGET

namespace penstock::ps {
namespace {

constexpr size_t kVectorBytes = PENSTOCK_KERNEL_BYTES;
constexpr size_t kLineBytes = 64;
constexpr size_t kLineVectors = kLineBytes / kVectorBytes;
// As many as leave registers free: the sums of a visit stay in 4, 8 and 8 of them.
constexpr size_t kPlaces = kVectorBytes == 16 ? 2 : 4;
constexpr size_t kPlaceBytes = size_t{64} << 10;
constexpr size_t kPrefetchBytes = 512;

template <typename T>
struct Lanes {
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  static constexpr size_t kVector = kVectorBytes / sizeof(T);  // elements
  static constexpr size_t kLine = kLineBytes / sizeof(T);
  static constexpr size_t kPlace = kPlaceBytes / sizeof(T);
};
template <typename T>
using Vector = typename Lanes<T>::Vector;

template <typename T>
PENSTOCK_KERNEL_INLINE Vector<T> Load(const T* from) {
  Vector<T> vector;
  __builtin_memcpy(&vector, from, sizeof(vector));
  return vector;
}

template <typename T>
PENSTOCK_KERNEL_INLINE Vector<T> Splat(T value) {
  return Vector<T>{} + value;
}

// A streaming store's address is aligned to a line.
template <Stores stores, typename T>
PENSTOCK_KERNEL_INLINE void Store(T* to, Vector<T> vector) {
#if defined(__x86_64__)
  if constexpr (stores == Stores::kStreaming) {
#if PENSTOCK_KERNEL_BYTES == 64
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), (__m512i)vector);
#elif PENSTOCK_KERNEL_BYTES == 32
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), (__m256i)vector);
#else
    _mm_stream_si128(reinterpret_cast<__m128i*>(to), (__m128i)vector);
#endif
    return;
  }
#endif
  __builtin_memcpy(to, &vector, sizeof(vector));
}

template <Stores stores>
PENSTOCK_KERNEL_INLINE void FenceAfter() {
#if defined(__x86_64__)
  if constexpr (stores == Stores::kStreaming) _mm_sfence();
#endif
}

// Elements before the first one of `out` that lies on a line's start.
template <typename T>
PENSTOCK_KERNEL_INLINE size_t HeadOf(const T* out, size_t count) {
  const size_t misaligned = reinterpret_cast<uintptr_t>(out) % kLineBytes;
  const size_t head = misaligned == 0 ? 0 : (kLineBytes - misaligned) / sizeof(T);
  return std::min(head, count);
}

// The line at `from` and those a place further on each.
template <size_t places, typename T>
struct Visit {
  static constexpr size_t kVectors = places * kLineVectors;
  Vector<T> vectors[kVectors];

  static constexpr size_t At(size_t v) {
    return v / kLineVectors * Lanes<T>::kPlace + v % kLineVectors * Lanes<T>::kVector;
  }
  PENSTOCK_KERNEL_INLINE static void Prefetch(const T* from) {
#pragma GCC unroll 4
    for (size_t place = 0; place < places; ++place) {
      __builtin_prefetch(reinterpret_cast<const char*>(from + place * Lanes<T>::kPlace) +
                         kPrefetchBytes);
    }
  }
};

// What a pass computes: for one element, and for a visit.
template <typename T>
struct Constant {
  T value;

  PENSTOCK_KERNEL_INLINE T One(size_t) const { return value; }
  template <size_t places>
  PENSTOCK_KERNEL_INLINE void Many(Visit<places, T>& out, size_t) const {
#pragma GCC unroll 16
    for (Vector<T>& vector : out.vectors) vector = Splat(value);
  }
};

template <typename T>
struct Sum {
  const T* base;
  const T* const* updates;
  size_t updates_count;

  PENSTOCK_KERNEL_INLINE T One(size_t i) const {
    T sum = base[i];
    for (size_t k = 0; k < updates_count; ++k) sum += updates[k][i];
    return sum;
  }
  template <size_t places>
  PENSTOCK_KERNEL_INLINE void Many(Visit<places, T>& out, size_t i) const {
    using V = Visit<places, T>;
    V::Prefetch(base + i);
#pragma GCC unroll 16
    for (size_t v = 0; v < V::kVectors; ++v) out.vectors[v] = Load(base + i + V::At(v));
    for (size_t k = 0; k < updates_count; ++k) {
      const T* const update = updates[k] + i;
      V::Prefetch(update);
#pragma GCC unroll 16
      for (size_t v = 0; v < V::kVectors; ++v) out.vectors[v] += Load(update + V::At(v));
    }
  }
};

template <typename T>
struct Scaled {
  const T* x;
  T a;
  T b;

  PENSTOCK_KERNEL_INLINE T One(size_t i) const { return a * x[i] + b; }
  template <size_t places>
  PENSTOCK_KERNEL_INLINE void Many(Visit<places, T>& out, size_t i) const {
    using V = Visit<places, T>;
    V::Prefetch(x + i);
#pragma GCC unroll 16
    for (size_t v = 0; v < V::kVectors; ++v) {
      out.vectors[v] = Load(x + i + V::At(v)) * a + b;
    }
  }
};

template <Stores stores, size_t places, typename T, typename Pass>
PENSTOCK_KERNEL_INLINE void VisitOnce(T* out, size_t i, const Pass& pass) {
  using V = Visit<places, T>;
  V visit;
  pass.Many(visit, i);
#pragma GCC unroll 16
  for (size_t v = 0; v < V::kVectors; ++v) {
    Store<stores>(out + i + V::At(v), visit.vectors[v]);
  }
}

template <Stores stores, size_t places, typename T, typename Pass>
PENSTOCK_KERNEL_TARGET void Run(T* out, size_t count, Pass pass) {
  constexpr size_t kBlock = places * Lanes<T>::kPlace;
  size_t i = 0;
  for (const size_t head = HeadOf(out, count); i < head; ++i) out[i] = pass.One(i);
  if constexpr (places > 1) {
    for (; i + kBlock <= count; i += kBlock) {
      for (size_t line = 0; line < Lanes<T>::kPlace; line += Lanes<T>::kLine) {
        VisitOnce<stores, places>(out, i + line, pass);
      }
    }
  }
  for (; i + Lanes<T>::kLine <= count; i += Lanes<T>::kLine) VisitOnce<stores, 1>(out, i, pass);
  for (; i < count; ++i) out[i] = pass.One(i);
  FenceAfter<stores>();
}

template <typename T>
PENSTOCK_KERNEL_TARGET bool AllEqualLoop(const T* values, size_t count, T x) {
  constexpr size_t kVisit = 4 * Lanes<T>::kLine;
  size_t i = 0;
  for (; i + kVisit <= count; i += kVisit) {
    decltype(Vector<T>{} != Vector<T>{}) differ = {};
#pragma GCC unroll 16
    for (size_t at = 0; at < kVisit; at += Lanes<T>::kVector) {
      differ |= Load(values + i + at) != Splat(x);
    }
    uint64_t words[kVectorBytes / sizeof(uint64_t)];
    __builtin_memcpy(words, &differ, sizeof(words));
    uint64_t any = 0;
    for (const uint64_t word : words) any |= word;
    if (any != 0) return false;
  }
  for (; i < count; ++i) {
    if (!(values[i] == x)) return false;
  }
  return true;
}

// The choice of stores, once a pass.
template <size_t places, typename T, typename Pass>
void RunBy(Stores stores, T* out, size_t count, Pass pass) {
  if (stores == Stores::kStreaming) {
    Run<Stores::kStreaming, places>(out, count, pass);
  } else {
    Run<Stores::kCached, places>(out, count, pass);
  }
}

template <typename T>
void FillBy(T* out, size_t count, T value, Stores stores) {
  RunBy<1>(stores, out, count, Constant<T>{value});
}
template <size_t places, typename T>
void AddUpdatesBy(T* out, const T* base, const T* const* updates, size_t updates_count,
                  size_t count, Stores stores) {
  RunBy<places>(stores, out, count, Sum<T>{base, updates, updates_count});
}
template <size_t places, typename T>
void ScaleAddBy(T* out, const T* x, size_t count, T a, T b, Stores stores) {
  RunBy<places>(stores, out, count, Scaled<T>{x, a, b});
}

template <typename T, size_t places>
constexpr KernelSet<T> MakeKernelSet(const char* name) {
  return {name, kVectorBytes, places, FillBy<T>, AddUpdatesBy<places, T>, ScaleAddBy<places, T>,
          AllEqualLoop<T>};
}

}  // namespace
}  // namespace penstock::ps

#endif  // PENSTOCK_RUNTIME_PS_KERNEL_LOOPS_H_
