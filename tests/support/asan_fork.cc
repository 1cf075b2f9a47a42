// Lets AddressSanitizer follow tests that fork a process with threads.
//
// The allocator of GCC 12's sanitizer takes no notice of a fork: when another thread holds
// one of its locks at that moment, the child waits for it at its first allocation, for ever.
// So no thread is inside of the allocator while one forks: allocations share a lock that
// the fork takes alone.
#ifdef __SANITIZE_ADDRESS__
#include <pthread.h>

#include <cstddef>
#include <cstdlib>
#include <new>

// The sanitizer's own; ours go through them.
extern "C" {
void* __interceptor_malloc(size_t bytes);
void* __interceptor_calloc(size_t count, size_t bytes);
void* __interceptor_realloc(void* memory, size_t bytes);
void __interceptor_free(void* memory);
}

namespace {

pthread_rwlock_t g_allocating = PTHREAD_RWLOCK_INITIALIZER;

class Allocating {
 public:
  Allocating() { pthread_rwlock_rdlock(&g_allocating); }
  ~Allocating() { pthread_rwlock_unlock(&g_allocating); }
  Allocating(const Allocating&) = delete;
  Allocating& operator=(const Allocating&) = delete;
};

void BeginFork() { pthread_rwlock_wrlock(&g_allocating); }
void EndForkInParent() { pthread_rwlock_unlock(&g_allocating); }
void EndForkInChild() { pthread_rwlock_init(&g_allocating, nullptr); }

[[maybe_unused]] const int registered =
    pthread_atfork(&BeginFork, &EndForkInParent, &EndForkInChild);

void* Allocate(std::size_t bytes, std::size_t alignment) {
  const Allocating allocating;
  void* memory = nullptr;
  if (alignment <= alignof(std::max_align_t)) {
    memory = __interceptor_malloc(bytes);
  } else if (posix_memalign(&memory, alignment, bytes) != 0) {
    memory = nullptr;
  }
  return memory;
}

void* MustAllocate(std::size_t bytes, std::size_t alignment) {
  void* const memory = Allocate(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void Free(void* memory) {
  const Allocating allocating;
  __interceptor_free(memory);
}

}  // namespace

// The system's library allocates as well, in a thread that begins for example.
extern "C" {
void* malloc(size_t bytes) {
  const Allocating allocating;
  return __interceptor_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  const Allocating allocating;
  return __interceptor_calloc(count, bytes);
}
void* realloc(void* memory, size_t bytes) {
  const Allocating allocating;
  return __interceptor_realloc(memory, bytes);
}
void free(void* memory) {
  const Allocating allocating;
  __interceptor_free(memory);
}
}

// All forms: the sanitizer has its own of each, and would take a mixture for an error.
void* operator new(std::size_t bytes) { return MustAllocate(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return MustAllocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return Allocate(bytes, 0);
}
void* operator new(std::size_t bytes, std::align_val_t alignment,
                   const std::nothrow_t&) noexcept {
  return Allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes) { return MustAllocate(bytes, 0); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return MustAllocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return Allocate(bytes, 0);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment,
                     const std::nothrow_t&) noexcept {
  return Allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete(void* memory, std::size_t) noexcept { Free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { Free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { Free(memory); }
void operator delete[](void* memory) noexcept { Free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { Free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { Free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { Free(memory); }
#endif
