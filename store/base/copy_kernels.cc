// Copies with non-temporal stores of SSE2, AVX2 and AVX-512, which do not read the destination
// first and leave the caches to others; and the two ways through the caches.
//
// The kernels called "places" copy four places, 64 KiB apart, side by side: on an Ice Lake Xeon
// one place alone leaves memory banks idle (16 MiB: 11 GB/s alone, 14 GB/s with four); on EPYC
// Milan it is the other way round, by a factor of two to five. The AVX-512 kernel loads all
// four before it stores any: a load whose address agrees in its low 12 bits with a store still
// in flight waits for it, and pages of source and destination often agree (1 MiB: 12 GB/s with
// loads and stores mixed, 18 to 21 GB/s apart). Prefetching 512 bytes ahead gave 5 to 15% above
// 1 MiB. With AVX2, whose 32-byte stores must come in pairs to fill a line, all loads first
// gave 5 GB/s; there each place is loaded and stored in turn, 128 bytes at a time.
#include "store/base/copy_kernels.h"

#include <cstring>
#include <iterator>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace penstock {
namespace {

#if defined(__x86_64__)

constexpr size_t kLineBytes = 64;
constexpr size_t kPlaces = 4;
constexpr size_t kPlaceBytes = size_t{64} << 10;
constexpr size_t kVisitBytes = 128;  // at one place before the next has its turn
constexpr size_t kPrefetchBytes = 512;

// A kernel copies the largest part it can, a multiple of 64 bytes, from a destination
// aligned to 64, and returns how many bytes that was.
using AlignedKernel = size_t (*)(std::byte*, const std::byte*, size_t);

size_t CopyLinesSse2(std::byte* destination, const std::byte* source, size_t bytes) {
  size_t done = 0;
  for (; done + kLineBytes <= bytes; done += kLineBytes) {
    const auto* from = reinterpret_cast<const __m128i*>(source + done);
    auto* to = reinterpret_cast<__m128i*>(destination + done);
    const __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
    const __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
    _mm_stream_si128(to, a);
    _mm_stream_si128(to + 1, b);
    _mm_stream_si128(to + 2, c);
    _mm_stream_si128(to + 3, d);
  }
  return done;
}

size_t CopyPlacesSse2(std::byte* destination, const std::byte* source, size_t bytes) {
  size_t done = 0;
  for (; done + kPlaces * kPlaceBytes <= bytes; done += kPlaces * kPlaceBytes) {
    for (size_t visit = 0; visit < kPlaceBytes; visit += kVisitBytes) {
      for (size_t place = 0; place < kPlaces; ++place) {
        const size_t at = done + place * kPlaceBytes + visit;
        for (size_t line = 0; line < kVisitBytes; line += kLineBytes) {
          _mm_prefetch(source + at + line + kPrefetchBytes, _MM_HINT_T0);
        }
        CopyLinesSse2(destination + at, source + at, kVisitBytes);
      }
    }
  }
  return done + CopyLinesSse2(destination + done, source + done, bytes - done);
}

__attribute__((target("avx2"))) size_t CopyLinesAvx2(std::byte* destination,
                                                     const std::byte* source, size_t bytes) {
  size_t done = 0;
  for (; done + kLineBytes <= bytes; done += kLineBytes) {
    const auto* from = reinterpret_cast<const __m256i*>(source + done);
    auto* to = reinterpret_cast<__m256i*>(destination + done);
    const __m256i a = _mm256_loadu_si256(from), b = _mm256_loadu_si256(from + 1);
    _mm256_stream_si256(to, a);
    _mm256_stream_si256(to + 1, b);
  }
  return done;
}

__attribute__((target("avx2"))) size_t CopyPlacesAvx2(std::byte* destination,
                                                      const std::byte* source, size_t bytes) {
  size_t done = 0;
  for (; done + kPlaces * kPlaceBytes <= bytes; done += kPlaces * kPlaceBytes) {
    for (size_t visit = 0; visit < kPlaceBytes; visit += kVisitBytes) {
      for (size_t place = 0; place < kPlaces; ++place) {
        const size_t at = done + place * kPlaceBytes + visit;
        const auto* from = reinterpret_cast<const __m256i*>(source + at);
        auto* to = reinterpret_cast<__m256i*>(destination + at);
        _mm_prefetch(reinterpret_cast<const char*>(from) + kPrefetchBytes, _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(from + 2) + kPrefetchBytes, _MM_HINT_T0);
        const __m256i a = _mm256_loadu_si256(from), b = _mm256_loadu_si256(from + 1);
        const __m256i c = _mm256_loadu_si256(from + 2), d = _mm256_loadu_si256(from + 3);
        _mm256_stream_si256(to, a);
        _mm256_stream_si256(to + 1, b);
        _mm256_stream_si256(to + 2, c);
        _mm256_stream_si256(to + 3, d);
      }
    }
  }
  return done + CopyLinesAvx2(destination + done, source + done, bytes - done);
}

__attribute__((target("avx512f"))) size_t CopyLinesAvx512(std::byte* destination,
                                                          const std::byte* source,
                                                          size_t bytes) {
  size_t done = 0;
  for (; done + 2 * kLineBytes <= bytes; done += 2 * kLineBytes) {
    const __m512i a = _mm512_loadu_si512(source + done);
    const __m512i b = _mm512_loadu_si512(source + done + kLineBytes);
    _mm512_stream_si512(reinterpret_cast<__m512i*>(destination + done), a);
    _mm512_stream_si512(reinterpret_cast<__m512i*>(destination + done + kLineBytes), b);
  }
  return done;
}

__attribute__((target("avx512f"))) size_t CopyPlacesAvx512(std::byte* destination,
                                                           const std::byte* source,
                                                           size_t bytes) {
  constexpr size_t kLines = kVisitBytes / kLineBytes;
  size_t done = 0;
  for (; done + kPlaces * kPlaceBytes <= bytes; done += kPlaces * kPlaceBytes) {
    for (size_t visit = 0; visit < kPlaceBytes; visit += kVisitBytes) {
      __m512i lines[kPlaces][kLines];
#pragma GCC unroll 4
      for (size_t place = 0; place < kPlaces; ++place) {
        const std::byte* from = source + done + place * kPlaceBytes + visit;
#pragma GCC unroll 2
        for (size_t line = 0; line < kLines; ++line) {
          _mm_prefetch(from + line * kLineBytes + kPrefetchBytes, _MM_HINT_T0);
          lines[place][line] = _mm512_loadu_si512(from + line * kLineBytes);
        }
      }
#pragma GCC unroll 4
      for (size_t place = 0; place < kPlaces; ++place) {
        std::byte* to = destination + done + place * kPlaceBytes + visit;
#pragma GCC unroll 2
        for (size_t line = 0; line < kLines; ++line) {
          _mm512_stream_si512(reinterpret_cast<__m512i*>(to + line * kLineBytes),
                              lines[place][line]);
        }
      }
    }
  }
  return done + CopyLinesAvx2(destination + done, source + done, bytes - done);
}

// The ragged ends by memcpy, the aligned middle by `kernel`.
template <AlignedKernel kernel>
void Stream(std::byte* destination, const std::byte* source, size_t bytes) {
  const size_t misaligned = reinterpret_cast<uintptr_t>(destination) % kLineBytes;
  const size_t head = misaligned == 0 ? 0 : kLineBytes - misaligned;
  if (bytes <= head) {
    if (bytes > 0) std::memcpy(destination, source, bytes);
  } else {
    if (head > 0) std::memcpy(destination, source, head);
    const size_t done = head + kernel(destination + head, source + head, bytes - head);
    if (done < bytes) std::memcpy(destination + done, source + done, bytes - done);
  }
  _mm_sfence();
}

void StringMove(std::byte* destination, const std::byte* source, size_t bytes) {
  asm volatile("rep movsb" : "+D"(destination), "+S"(source), "+c"(bytes) : : "memory");
}

#endif

// A release store orders what memcpy stored, or its own fence where it streams.
void PlainCopy(std::byte* destination, const std::byte* source, size_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, bytes);
}

constexpr CopyKernel kKernels[] = {
    {kCopyMemcpy, "memcpy", PlainCopy, 0, 1},
#if defined(__x86_64__)
    {kCopyMovsb, "movsb", StringMove, 0, 1},
    {kCopySse2, "sse2", Stream<CopyLinesSse2>, 16, 1},
    {kCopySse2Places, "sse2-places", Stream<CopyPlacesSse2>, 16, kPlaces},
    {kCopyAvx2, "avx2", Stream<CopyLinesAvx2>, 32, 1},
    {kCopyAvx2Places, "avx2-places", Stream<CopyPlacesAvx2>, 32, kPlaces},
    {kCopyAvx512, "avx512", Stream<CopyLinesAvx512>, 64, 1},
    {kCopyAvx512Places, "avx512-places", Stream<CopyPlacesAvx512>, 64, kPlaces},
#endif
};

}  // namespace

bool CanRun(const CopyKernel& kernel, const Processor& processor) {
  return HasVectors(processor, kernel.vector_bytes);
}

std::span<const CopyKernel> CopyKernels() {
  static const std::vector<CopyKernel> kernels = [] {
    std::vector<CopyKernel> of_this;
    for (const CopyKernel& kernel : kKernels) {
      if (CanRun(kernel, ThisProcessor())) of_this.push_back(kernel);
    }
    return of_this;
  }();
  return kernels;
}

const CopyKernel* FindCopyKernel(uint8_t number) {
  for (const CopyKernel& kernel : kKernels) {
    if (kernel.number == number) return &kernel;
  }
  return nullptr;
}

}  // namespace penstock
