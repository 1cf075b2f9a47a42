// PrefetchForWrite: asks for a cache line that this core will write soon.
#ifndef PENSTOCK_STORE_BASE_PREFETCH_H_
#define PENSTOCK_STORE_BASE_PREFETCH_H_

namespace penstock {

// Takes the line from the core that read it last, ahead of the store that would wait for that.
// `__builtin_prefetch` with 1 only reads where the compiler may not assume the feature; processors
// of this architecture without it take the instruction for none.
inline void PrefetchForWrite(const void* address) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address, 1);
#endif
}

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_PREFETCH_H_
