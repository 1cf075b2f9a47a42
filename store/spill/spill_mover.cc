// Emptying of files.
#include "store/spill/spill_mover.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "store/base/check.h"
#include "store/spill/piece.h"

namespace penstock {
namespace {

// Left to reads and writes that somebody waits for.
constexpr size_t kChunksForOthers = 4;

}  // namespace

void SpillMover::Advance(bool pressure) {
  for (;;) {
    if (file_ == nullptr) {
      SpillFile* file = context_.files.PickForCompaction(std::exchange(pressure, false));
      if (file == nullptr) return;
      Begin(*file);
    }
    for (;;) {
      if (group_ != nullptr && !PackGroup()) break;
      if (reading_ || large_ || !ReadNext()) break;
    }
    writer_.Flush();
    const bool nothing_left = stopped_ || next_ == items_.size();
    if (!nothing_left || reading_ || large_ || group_ != nullptr || packed_ > 0) return;
    End();
  }
}

void SpillMover::Begin(SpillFile& file) {
  file_ = context_.files.Use(file.number);
  context_.files.Close(file);
  items_.clear();
  for (const SpillHandle handle : context_.book.All(file.entries)) {
    if (!context_.book.IsDamaged(handle)) {
      items_.push_back({handle, context_.table.Place(handle)});
    }
  }
  std::sort(items_.begin(), items_.end(), [](const Item& left, const Item& right) {
    return left.place.block < right.place.block;
  });
  next_ = alone_until_ = 0;
  stopped_ = false;
  if (context_.files.Open(file) != 0) {
    for (const Item& item : items_) MarkDamaged(item);
    next_ = items_.size();
  }
}

bool SpillMover::ReadNext() {
  if (stopped_) return false;
  while (next_ < items_.size() && !context_.IsAt(items_[next_].handle, items_[next_].place)) {
    ++next_;  // dropped meanwhile
  }
  if (next_ == items_.size() || context_.chunks.free() <= kChunksForOthers) return false;
  return IsPacked(context_.table.Facts(items_[next_].handle).stored_bytes) ? ReadGroup()
                                                                           : ReadLarge();
}

bool SpillMover::ReadGroup() {
  const uint64_t begin = items_[next_].place.offset();
  uint64_t end = begin;
  group_end_ = next_;
  while (group_end_ < items_.size()) {
    const Item& item = items_[group_end_];
    if (!context_.IsAt(item.handle, item.place)) break;
    const uint64_t stored_bytes = context_.table.Facts(item.handle).stored_bytes;
    const uint64_t record_end = item.place.offset() + RecordBytes(stored_bytes);
    if (!IsPacked(stored_bytes) || record_end - begin > ChunkPool::kBytes) break;
    end = record_end;
    ++group_end_;
    if (next_ < alone_until_) break;
  }
  Chunk& chunk = context_.chunks.Take(this);
  chunk.request.Start(file_->opened.fd.get(), /*write=*/false, begin);
  chunk.request.AddPart(chunk.buffer, end - begin);
  chunk.offset = begin;
  reading_ = true;
  context_.queue.Submit(&chunk.request);
  return true;
}

bool SpillMover::IsRecordWhole(const Item& item, const std::byte* record,
                               uint64_t bytes) const {
  const SpillFacts facts = context_.table.Facts(item.handle);
  const uint64_t data_offset = DataOffset(facts.stored_bytes);
  if (bytes < data_offset + facts.stored_bytes) return false;
  RecordHeader header;
  std::memcpy(&header, record, sizeof(header));
  return CheckRecord(header, facts, context_.incarnation(), item.place) &&
         Checksum::Of({record + data_offset, facts.stored_bytes}) == facts.checksum;
}

bool SpillMover::PackGroup() {
  for (; next_ < group_end_ && !stopped_; ++next_) {
    const Item& item = items_[next_];
    if (!context_.IsAt(item.handle, item.place)) continue;
    const uint64_t at = item.place.offset() - group_->offset;
    const uint64_t arrived = group_->request.bytes_done;
    if (!IsRecordWhole(item, group_->buffer + at, arrived > at ? arrived - at : 0)) {
      MarkDamaged(item);
      continue;
    }
    if (!writer_.CanPack()) return false;
    const SpillFacts facts = context_.table.Facts(item.handle);
    const MovedRecord record{item.handle, item.place, file_, facts,
                             group_->buffer + at + DataOffset(facts.stored_bytes)};
    if (writer_.PackMoved(record, *this) != SpillFault::kNone) {
      stopped_ = true;  // there is no room for what is live here
      break;
    }
    ++packed_;
  }
  context_.chunks.Return(*std::exchange(group_, nullptr));
  return true;
}

bool SpillMover::ReadLarge() {
  const SpillFacts facts = context_.table.Facts(items_[next_].handle);
  const Placement to =
      context_.files.Place(RecordBytes(facts.stored_bytes), /*exceed_limit=*/true);
  if (to.fault != SpillFault::kNone) {
    stopped_ = true;
    return false;
  }
  large_.emplace(LargeMove{facts, to, PieceCount(facts.stored_bytes), 0, {}});
  ReadPiece(context_.chunks.Take(this));
  return true;
}

void SpillMover::ReadPiece(Chunk& chunk) {
  const Piece piece = PieceAt(large_->facts.stored_bytes, large_->index);
  chunk.request.Start(file_->opened.fd.get(), /*write=*/false,
                      items_[next_].place.offset() + piece.offset);
  chunk.request.AddPart(chunk.buffer, piece.bytes);
  context_.queue.Submit(&chunk.request);
}

void SpillMover::Finished(Chunk& chunk) {
  if (large_) {
    FinishedLarge(chunk);
    return;
  }
  reading_ = false;
  if (chunk.request.error == 0 && !stopped_) {
    group_ = &chunk;
    return;
  }
  context_.chunks.Return(chunk);
  if (stopped_) return;
  if (group_end_ - next_ > 1) {
    alone_until_ = group_end_;
  } else {
    MarkDamaged(items_[next_++]);
  }
}

void SpillMover::FinishedLarge(Chunk& chunk) {
  LargeMove& move = *large_;
  const Item& item = items_[next_];
  const Piece piece = PieceAt(move.facts.stored_bytes, move.index);
  const int error = chunk.request.error;
  if (chunk.request.is_write) {
    if (error == 0 && ++move.index < move.piece_count && !stopped_ &&
        context_.IsAt(item.handle, item.place)) {
      ReadPiece(chunk);
      return;
    }
    context_.chunks.Return(chunk);
    EndLarge(error != 0                           ? LargeEnd::kNoRoom
             : move.index < move.piece_count      ? LargeEnd::kGivenUp
             : move.checksum.Value() == move.facts.checksum ? LargeEnd::kWhole
                                                            : LargeEnd::kDamaged);
    return;
  }
  bool whole = error == 0 &&
               chunk.request.bytes_done >= piece.head_bytes + piece.data_bytes();
  if (whole && piece.head_bytes > 0) {
    RecordHeader header;
    std::memcpy(&header, chunk.buffer, sizeof(header));
    whole = CheckRecord(header, move.facts, context_.incarnation(), item.place);
    header = MakeRecordHeader(move.facts, context_.incarnation(), move.to.place);
    std::memcpy(chunk.buffer, &header, sizeof(header));
  }
  if (!whole) {
    context_.chunks.Return(chunk);
    EndLarge(LargeEnd::kDamaged);
    return;
  }
  move.checksum.Add({chunk.buffer + piece.head_bytes, piece.data_bytes()});
  chunk.request.Start(move.to.file->opened.fd.get(), /*write=*/true,
                      move.to.place.offset() + piece.offset);
  chunk.request.AddPart(chunk.buffer, piece.bytes);
  context_.queue.Submit(&chunk.request);
}

void SpillMover::EndLarge(LargeEnd end) {
  const Item item = items_[next_++];
  const LargeMove move = std::move(*large_);
  large_.reset();
  if (end == LargeEnd::kNoRoom) {
    context_.files.Close(*move.to.file);
    stopped_ = true;
  } else if (end == LargeEnd::kDamaged) {
    MarkDamaged(item);
  } else if (end == LargeEnd::kWhole && context_.IsAt(item.handle, item.place)) {
    context_.Move(item.handle, *file_, move.to);
  }
  context_.files.Unuse(move.to.file);
}

void SpillMover::Moved(SpillFault fault) {
  --packed_;
  if (fault != SpillFault::kNone) stopped_ = true;
}

void SpillMover::MarkDamaged(const Item& item) {
  if (!context_.IsAt(item.handle, item.place)) return;
  context_.book.MarkDamaged(item.handle);
  context_.files.MarkDamaged(*file_,
                             RecordBytes(context_.table.Facts(item.handle).stored_bytes));
  ++context_.stats.damaged_objects;
}

void SpillMover::End() {
  // What is left was dropped and not taken off yet, was published meanwhile, or had no room:
  // not again before something has changed.
  file_->stuck = file_->live_bytes > file_->damaged_bytes;
  if (file_->live_bytes == 0) ++context_.stats.compacted_files;
  context_.files.Unuse(std::exchange(file_, nullptr));
}

void SpillMover::Cancel() {
  stopped_ = true;
  if (group_ != nullptr) context_.chunks.Return(*std::exchange(group_, nullptr));
}

}  // namespace penstock
