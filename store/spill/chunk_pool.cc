// Memory of the chunks.
#include "store/spill/chunk_pool.h"

#include <sys/mman.h>

#include "store/base/check.h"

namespace penstock {
namespace {

constexpr uint64_t kEachBytes = ChunkPool::kBytes + 2 * kSpillBlockBytes;

}  // namespace

ChunkPool::ChunkPool() {
  void* memory = mmap(nullptr, kCount * kEachBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  PENSTOCK_CHECK(memory != MAP_FAILED) << "no memory for " << kCount << " chunks";
  memory_ = static_cast<std::byte*>(memory);
  for (int i = 0; i < kCount; ++i) {
    Chunk& chunk = chunks_[i];
    chunk.buffer = memory_ + i * kEachBytes;
    chunk.head = chunk.buffer + kBytes;
    chunk.tail = chunk.head + kSpillBlockBytes;
    chunk.request.owner = &chunk;
    free_.push_back(&chunk);
  }
}

ChunkPool::~ChunkPool() {
  PENSTOCK_CHECK(all_free());
  munmap(memory_, kCount * kEachBytes);
}

Chunk& ChunkPool::Take(ChunkOwner* owner) {
  PENSTOCK_CHECK(!free_.empty());
  Chunk& chunk = *free_.back();
  free_.pop_back();
  chunk.owner = owner;
  return chunk;
}

}  // namespace penstock
