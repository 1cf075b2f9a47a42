// ChunkPool: the pieces in which the spill thread reads and writes, and the memory for
// those that cannot go straight to or from where the object lies.
#ifndef PENSTOCK_STORE_SPILL_CHUNK_POOL_H_
#define PENSTOCK_STORE_SPILL_CHUNK_POOL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "store/spill/disk_queue.h"
#include "store/spill/spill_layout.h"

namespace penstock {

struct Chunk;

// Who asked for a chunk's request.
class ChunkOwner {
 public:
  virtual void Finished(Chunk& chunk) = 0;

 protected:
  ~ChunkOwner() = default;
};

struct Chunk {
  DiskRequest request;
  ChunkOwner* owner = nullptr;
  uint64_t offset = 0;  // the piece's, in its record
  uint64_t bytes = 0;
  std::byte* buffer = nullptr;  // kBytes, page aligned
  // First and last block of a record, when the rest goes straight.
  std::byte* head = nullptr;
  std::byte* tail = nullptr;
};

class ChunkPool {
 public:
  // Large enough that a disk streams, small enough that sixteen are no memory to speak of.
  static constexpr uint64_t kBytes = 1 << 20;
  static constexpr int kCount = 16;

  ChunkPool();
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  size_t free() const { return free_.size(); }
  bool all_free() const { return free_.size() == chunks_.size(); }
  Chunk& Take(ChunkOwner* owner);
  void Return(Chunk& chunk) { free_.push_back(&chunk); }

 private:
  std::byte* memory_;
  std::array<Chunk, kCount> chunks_;
  std::vector<Chunk*> free_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_CHUNK_POOL_H_
