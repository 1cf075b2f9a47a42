// A large record cut into pieces of at most one chunk, and what lies in each.
#ifndef PENSTOCK_STORE_SPILL_PIECE_H_
#define PENSTOCK_STORE_SPILL_PIECE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "store/spill/chunk_pool.h"
#include "store/spill/file_layout.h"
#include "store/spill/spill_directory.h"

namespace penstock {

struct Piece {
  uint64_t offset = 0;      // in the record
  uint64_t bytes = 0;       // on disk, a multiple of 4096
  uint64_t head_bytes = 0;  // the header's block, in the first piece
  uint64_t data_begin = 0;  // in the stored bytes
  uint64_t body_bytes = 0;  // of them, whole blocks
  uint64_t tail_bytes = 0;  // of them, in the last block
  uint64_t data_bytes() const { return body_bytes + tail_bytes; }
};

inline uint64_t PieceCount(uint64_t stored_bytes) {
  return (RecordBytes(stored_bytes) + ChunkPool::kBytes - 1) / ChunkPool::kBytes;
}

// Of a record that is not packed.
inline Piece PieceAt(uint64_t stored_bytes, uint64_t index) {
  Piece piece;
  piece.offset = index * ChunkPool::kBytes;
  piece.bytes = std::min(ChunkPool::kBytes, RecordBytes(stored_bytes) - piece.offset);
  piece.head_bytes = index == 0 ? kSpillBlockBytes : 0;
  piece.data_begin = index == 0 ? 0 : piece.offset - kSpillBlockBytes;
  const uint64_t data_bytes =
      std::min(stored_bytes - piece.data_begin, piece.bytes - piece.head_bytes);
  piece.tail_bytes = data_bytes % kSpillBlockBytes;
  piece.body_bytes = data_bytes - piece.tail_bytes;
  return piece;
}

// Whether a request may name this memory itself, and need not go through a buffer.
inline bool IsStraight(const OpenedFile& file, const std::byte* data) {
  return reinterpret_cast<uintptr_t>(data) % file.memory_align_bytes == 0;
}

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_PIECE_H_
