// Reads of packed and large records.
#include "store/spill/spill_reader.h"

#include <cstring>
#include <utility>
#include <vector>

#include "store/base/check.h"
#include "store/spill/piece.h"
#include "store/spill/record.h"

namespace penstock {

class SpillReader::Read final : public ChunkOwner {
 public:
  Read(SpillReader& reader, uint64_t ticket, SpillHandle handle, std::span<std::byte> into)
      : reader_(reader), ticket_(ticket), handle_(handle),
        place_(reader.context_.table.Place(handle)),
        facts_(reader.context_.table.Facts(handle)),
        file_(reader.context_.files.Use(place_.file)), into_(into),
        piece_count_(IsPacked(into.size()) ? 1 : PieceCount(into.size())),
        piece_arrived_(piece_count_) {}

  bool issued_all() const { return next_ == piece_count_; }
  bool in_flight() const { return in_flight_ > 0; }

  // Submits one piece; a chunk is free. False: there is no file.
  bool Issue() {
    if (next_ == 0) {
      if (const int error = reader_.context_.files.Open(*file_); error != 0) {
        Stop(ReadFaultOf(error), error);
        return false;
      }
    }
    Chunk& chunk = reader_.context_.chunks.Take(this);
    const uint64_t index = next_++;
    chunk.offset = index;
    if (IsPacked(into_.size())) {
      chunk.request.Start(file_->opened.fd.get(), /*write=*/false, place_.offset());
      chunk.request.AddPart(chunk.buffer, RecordBytes(into_.size()));
    } else {
      const Piece piece = PieceAt(into_.size(), index);
      chunk.request.Start(file_->opened.fd.get(), /*write=*/false,
                          place_.offset() + piece.offset);
      std::byte* data = into_.data() + piece.data_begin;
      if (IsStraight(file_->opened, data)) {
        chunk.request.AddPart(chunk.head, piece.head_bytes);
        chunk.request.AddPart(data, piece.body_bytes);
        chunk.request.AddPart(chunk.tail, piece.tail_bytes > 0 ? kSpillBlockBytes : 0);
      } else {
        chunk.request.AddPart(chunk.buffer, piece.bytes);
      }
    }
    ++in_flight_;
    reader_.context_.queue.Submit(&chunk.request);
    return true;
  }

  void Finished(Chunk& chunk) override {
    --in_flight_;
    if (fault_ == SpillFault::kNone) {
      if (chunk.request.error != 0) {
        Stop(ReadFaultOf(chunk.request.error), chunk.request.error);
      } else if (IsPacked(into_.size())) {
        TakePacked(chunk);
      } else {
        TakePiece(chunk, PieceAt(into_.size(), chunk.offset));
      }
    }
    reader_.context_.chunks.Return(chunk);
  }

  // Pieces arrive in any order; the checksum takes them in theirs.
  void Sum() {
    if (IsPacked(into_.size()) || fault_ != SpillFault::kNone) return;
    for (; summed_ < piece_count_ && piece_arrived_[summed_]; ++summed_) {
      const Piece piece = PieceAt(into_.size(), summed_);
      checksum_.Add(into_.subspan(piece.data_begin, piece.data_bytes()));
    }
  }

  void Stop(SpillFault fault, int error) {
    if (fault_ == SpillFault::kNone) {
      fault_ = fault;
      error_ = error;
    }
    next_ = piece_count_;
  }

  void Conclude() {
    SpillContext& context = reader_.context_;
    if (fault_ == SpillFault::kNone && checksum_.Value() != facts_.checksum) {
      fault_ = SpillFault::kAltered;
    }
    SpillDone done;
    done.ticket = ticket_;
    done.kind = SpillDone::Kind::kRead;
    done.handle = handle_;
    done.fault = fault_;
    done.error_number = error_;
    done.file = place_.file;
    if (fault_ == SpillFault::kNone) {
      ++context.stats.read_objects;
      context.stats.read_bytes += into_.size();
    }
    context.files.Unuse(file_);
    context.Tell(done);
  }

 private:
  bool CheckHeader(const std::byte* block) {
    RecordHeader header;
    std::memcpy(&header, block, sizeof(header));
    if (CheckRecord(header, facts_, reader_.context_.incarnation(), place_)) return true;
    Stop(SpillFault::kAltered, 0);
    return false;
  }

  void TakePacked(const Chunk& chunk) {
    const uint64_t data_offset = DataOffset(into_.size());
    if (chunk.request.bytes_done < data_offset + into_.size()) {
      Stop(SpillFault::kTruncated, 0);
    } else if (CheckHeader(chunk.buffer) && !into_.empty()) {
      std::memcpy(into_.data(), chunk.buffer + data_offset, into_.size());
      checksum_.Add(into_);
    }
  }

  void TakePiece(const Chunk& chunk, const Piece& piece) {
    std::byte* data = into_.data() + piece.data_begin;
    const bool straight = IsStraight(file_->opened, data);
    if (chunk.request.bytes_done < piece.head_bytes + piece.data_bytes()) {
      Stop(SpillFault::kTruncated, 0);
      return;
    }
    if (piece.head_bytes > 0 && !CheckHeader(straight ? chunk.head : chunk.buffer)) return;
    if (straight) {
      std::memcpy(data + piece.body_bytes, chunk.tail, piece.tail_bytes);
    } else {
      std::memcpy(data, chunk.buffer + piece.head_bytes, piece.data_bytes());
    }
    piece_arrived_[chunk.offset] = true;
  }

  SpillReader& reader_;
  const uint64_t ticket_;
  const SpillHandle handle_;
  const SpillPlace place_;
  const SpillFacts facts_;
  SpillFile* const file_;
  const std::span<std::byte> into_;
  const uint64_t piece_count_;
  uint64_t next_ = 0;
  uint64_t summed_ = 0;
  uint32_t in_flight_ = 0;
  std::vector<bool> piece_arrived_;
  SpillFault fault_ = SpillFault::kNone;
  int error_ = 0;
  Checksum checksum_;
};

SpillReader::SpillReader(SpillContext& context) : context_(context) {}
SpillReader::~SpillReader() { PENSTOCK_CHECK(reads_.empty()); }

void SpillReader::Ask(uint64_t ticket, SpillHandle handle, std::span<std::byte> into) {
  reads_.push_back(std::make_unique<Read>(*this, ticket, handle, into));
  if (next_ == reads_.end()) --next_;
}

void SpillReader::Advance() {
  while (next_ != reads_.end()) {
    Read& read = **next_;
    while (!read.issued_all()) {
      if (context_.chunks.free() == 0) break;
      if (!read.Issue()) break;
    }
    if (!read.issued_all()) break;
    ++next_;
  }
  // After the requests above went out: the disk works while the checksums are taken. A checksum
  // costs a fifth of a read, and sixteen in a row let the disk run dry.
  if (next_ != reads_.end()) (*next_)->Sum();
  // Those before `next_` are issued; what came back whole is told in order of arrival.
  for (auto read = reads_.begin(); read != next_;) {
    (*read)->Sum();
    if ((*read)->in_flight()) {
      ++read;
      continue;
    }
    (*read)->Conclude();
    read = reads_.erase(read);
  }
}

void SpillReader::Cancel() {
  for (auto read = next_; read != reads_.end(); ++read) {
    (*read)->Stop(SpillFault::kCancelled, 0);
  }
  next_ = reads_.end();
  Advance();
}

}  // namespace penstock
