// PoolAllocator: memory for the nodes of the core's trees, from free lists of its own.
//
// The general allocator merges and sorts what was freed when it comes to it, in the middle of some
// allocation: after a million waiters are gone, the next tree node takes it milliseconds. Here an
// allocation takes a node off a list. What was allocated once stays for the next ones: the core's
// memory is that of its busiest moment.
//
// Under sanitizers it is the general allocator, which they watch.
//
// Thread safety: as std::allocator; each thread has lists of its own.
#ifndef PENSTOCK_STORE_OBJECT_POOL_ALLOCATOR_H_
#define PENSTOCK_STORE_OBJECT_POOL_ALLOCATOR_H_

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"

namespace penstock {

class NodePool {
 public:
  static constexpr size_t kMostBytes = 1024;

  void* Take(size_t bytes) {
    Node*& free = free_[Class(bytes)];
    if (free == nullptr) [[unlikely]] Refill(free, Class(bytes) * kStep);
    return std::exchange(free, free->next);
  }
  void Give(void* memory, size_t bytes) {
    Node*& free = free_[Class(bytes)];
    free = new (memory) Node{free};
  }
  static NodePool& OfThisThread() {
    // Never freed: a core may outlive the thread that made it.
    static thread_local NodePool* const pool = new NodePool;
    return *pool;
  }

 private:
  struct Node {
    Node* next;
  };
  static constexpr size_t kStep = 16;
  static constexpr size_t kRefillBytes = 16384;
  static size_t Class(size_t bytes) { return (bytes + kStep - 1) / kStep; }

  static void Refill(Node*& free, size_t bytes) {
    auto* const memory = static_cast<std::byte*>(::operator new(kRefillBytes));
    for (size_t at = 0; at + bytes <= kRefillBytes; at += bytes) {
      free = new (memory + at) Node{free};
    }
  }

  std::array<Node*, kMostBytes / kStep + 1> free_{};
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PENSTOCK_MEMORY_IS_WATCHED 1
#elif defined(__has_feature)  // clang says it so
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define PENSTOCK_MEMORY_IS_WATCHED 1
#endif
#endif

#ifdef PENSTOCK_MEMORY_IS_WATCHED
template <typename T>
using PoolAllocator = std::allocator<T>;
#else
template <typename T>
class PoolAllocator {
 public:
  using value_type = T;

  PoolAllocator() = default;
  template <typename U>
  PoolAllocator(const PoolAllocator<U>&) {}  // NOLINT: allocators convert

  T* allocate(size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes > NodePool::kMostBytes) return static_cast<T*>(::operator new(bytes));
    return static_cast<T*>(NodePool::OfThisThread().Take(bytes));
  }
  void deallocate(T* memory, size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes > NodePool::kMostBytes) return ::operator delete(memory);
    NodePool::OfThisThread().Give(memory, bytes);
  }
  friend bool operator==(const PoolAllocator&, const PoolAllocator&) { return true; }
};
#endif

template <typename Key, typename Value>
using PooledMap =
    absl::btree_map<Key, Value, std::less<Key>, PoolAllocator<std::pair<const Key, Value>>>;
template <typename Key>
using PooledSet = absl::btree_set<Key, std::less<Key>, PoolAllocator<Key>>;

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_POOL_ALLOCATOR_H_
