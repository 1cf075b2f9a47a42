// Packed and large writes.
#include "store/spill/spill_writer.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "store/base/check.h"
#include "store/spill/piece.h"
#include "store/spill/record.h"

namespace penstock {
namespace {

SpillDone Written(uint64_t ticket, SpillHandle handle, uint32_t file) {
  SpillDone done;
  done.ticket = ticket;
  done.kind = SpillDone::Kind::kWritten;
  done.handle = handle;
  done.file = file;
  return done;
}

}  // namespace

// Records that follow each other in one file, gathered in one chunk.
class SpillWriter::Batch final : public ChunkOwner {
 public:
  Batch(SpillWriter& writer, const Placement& first)
      : writer_(writer), chunk_(writer.context_.chunks.Take(this)), file_(first.file),
        begin_(first.place.offset()) {}

  bool Takes(const Placement& placement, uint64_t record_bytes) const {
    return placement.file == file_ && placement.place.offset() == begin_ + used_bytes_ &&
           used_bytes_ + record_bytes <= ChunkPool::kBytes;
  }

  void Add(const WriteRequest& request, SpillHandle handle, const Placement& placement) {
    Entry entry;
    entry.ticket = request.ticket;
    entry.handle = handle;
    entry.placement = placement;
    entry.facts = {request.object, request.bytes.size(), 0};
    // Of the copy, which nobody else can write.
    std::byte* data = Next() + DataOffset(request.bytes.size());
    if (!request.bytes.empty()) std::memcpy(data, request.bytes.data(), request.bytes.size());
    entry.facts.checksum = Checksum::Of({data, request.bytes.size()});
    Append(std::move(entry));
  }
  void AddMoved(const MovedRecord& record, MoveListener& listener, const Placement& placement) {
    Entry entry;
    entry.handle = record.handle;
    entry.placement = placement;
    entry.facts = record.facts;
    entry.from = record.from;
    entry.from_file = record.from_file;
    entry.listener = &listener;
    std::byte* data = Next() + DataOffset(record.facts.stored_bytes);
    if (record.facts.stored_bytes > 0) {
      std::memcpy(data, record.data, record.facts.stored_bytes);
    }
    Append(std::move(entry));
  }

  void Send() {
    chunk_.request.Start(file_->opened.fd.get(), /*write=*/true, begin_);
    chunk_.request.AddPart(chunk_.buffer, used_bytes_);
    writer_.context_.queue.Submit(&chunk_.request);
  }

  void Finished(Chunk& chunk) override {
    SpillContext& context = writer_.context_;
    const int error = chunk.request.error;
    const SpillFault fault = WriteFaultOf(error);
    context.chunks.Return(chunk);
    if (fault != SpillFault::kNone) context.files.Close(*file_);
    for (const Entry& entry : entries_) Conclude(entry, fault, error);
    writer_.batches_.remove_if([this](const auto& batch) { return batch.get() == this; });
  }

 private:
  struct Entry {
    uint64_t ticket = 0;
    SpillHandle handle = kNoSpillHandle;
    Placement placement;
    SpillFacts facts;
    // Of a record that moves.
    SpillPlace from;
    SpillFile* from_file = nullptr;
    MoveListener* listener = nullptr;
  };

  std::byte* Next() { return chunk_.buffer + used_bytes_; }

  // Its stored bytes are in the chunk already.
  void Append(Entry entry) {
    const uint64_t record_bytes = RecordBytes(entry.facts.stored_bytes);
    FrameRecord(entry.facts, writer_.context_.incarnation(), entry.placement.place, Next());
    used_bytes_ += record_bytes;
    entries_.push_back(std::move(entry));
  }

  void Conclude(const Entry& entry, SpillFault fault, int error) {
    SpillContext& context = writer_.context_;
    if (entry.listener != nullptr) {
      if (fault == SpillFault::kNone && context.IsAt(entry.handle, entry.from)) {
        context.Move(entry.handle, *entry.from_file, entry.placement);
      }
      context.files.Unuse(entry.placement.file);
      entry.listener->Moved(fault);
      return;
    }
    SpillDone done = Written(entry.ticket, entry.handle, entry.placement.place.file);
    if (fault == SpillFault::kNone) {
      context.Publish(entry.handle, entry.facts, entry.placement);
      ++context.stats.written_objects;
      context.stats.written_bytes += entry.facts.stored_bytes;
    } else {
      context.book.GiveBack(entry.handle);
      done.handle = kNoSpillHandle;
      done.fault = fault;
      done.error_number = error;
    }
    context.files.Unuse(entry.placement.file);
    --writer_.waiting_count_;
    context.Tell(done);
  }

  SpillWriter& writer_;
  Chunk& chunk_;
  SpillFile* file_;
  uint64_t begin_;
  uint64_t used_bytes_ = 0;
  std::vector<Entry> entries_;
};

// One object in pieces. The first piece, which holds the header and so the checksum of all
// others, goes last.
class SpillWriter::LargeWrite final : public ChunkOwner {
 public:
  LargeWrite(SpillWriter& writer, const WriteRequest& request, SpillHandle handle,
             const Placement& placement)
      : writer_(writer), request_(request), handle_(handle), placement_(placement),
        facts_{request.object, request.bytes.size(), 0},
        piece_count_(PieceCount(request.bytes.size())) {}

  bool issued_all() const { return stopped_ || next_ > piece_count_; }

  // Submits one piece; a chunk is free.
  void Issue() {
    if (next_ == 1) AddToChecksum(PieceAt(facts_.stored_bytes, 0));
    const bool last = next_ == piece_count_;
    const Piece piece = PieceAt(facts_.stored_bytes, last ? 0 : next_);
    ++next_;
    Chunk& chunk = writer_.context_.chunks.Take(this);
    const std::byte* data = request_.bytes.data() + piece.data_begin;
    const bool straight = IsStraight(placement_.file->opened, data);
    std::byte* head = straight ? chunk.head : chunk.buffer;
    std::byte* body = chunk.buffer + piece.head_bytes;
    if (!straight) std::memcpy(body, data, piece.data_bytes());
    if (!last) checksum_.Add({straight ? data : body, piece.data_bytes()});
    if (last) {
      facts_.checksum = checksum_.Value();
      const RecordHeader header =
          MakeRecordHeader(facts_, writer_.context_.incarnation(), placement_.place);
      std::memset(head, 0, kSpillBlockBytes);
      std::memcpy(head, &header, sizeof(header));
    }
    chunk.request.Start(placement_.file->opened.fd.get(), /*write=*/true,
                        placement_.place.offset() + piece.offset);
    if (straight) {
      chunk.request.AddPart(head, piece.head_bytes);
      chunk.request.AddPart(const_cast<std::byte*>(data), piece.body_bytes);
      if (piece.tail_bytes > 0) {
        std::memcpy(chunk.tail, data + piece.body_bytes, piece.tail_bytes);
        std::memset(chunk.tail + piece.tail_bytes, 0, kSpillBlockBytes - piece.tail_bytes);
        chunk.request.AddPart(chunk.tail, kSpillBlockBytes);
      }
    } else {
      const uint64_t used_bytes = piece.head_bytes + piece.data_bytes();
      std::memset(chunk.buffer + used_bytes, 0, piece.bytes - used_bytes);
      chunk.request.AddPart(chunk.buffer, piece.bytes);
    }
    ++in_flight_;
    writer_.context_.queue.Submit(&chunk.request);
  }

  void Finished(Chunk& chunk) override {
    const int error = chunk.request.error;
    writer_.context_.chunks.Return(chunk);
    --in_flight_;
    if (error != 0) Stop(WriteFaultOf(error), error);
    ConcludeWhenDone();
  }

  // Issues nothing further.
  void Stop(SpillFault fault, int error) {
    if (fault_ == SpillFault::kNone) {
      fault_ = fault;
      error_ = error;
    }
    stopped_ = true;
    if (writer_.issuing_ == this) writer_.issuing_ = nullptr;
  }

  // Deletes this when nothing is in flight any more.
  void ConcludeWhenDone() {
    if (in_flight_ > 0 || !issued_all()) return;
    SpillContext& context = writer_.context_;
    SpillDone done = Written(request_.ticket, handle_, placement_.place.file);
    if (fault_ == SpillFault::kNone) {
      context.Publish(handle_, facts_, placement_);
      ++context.stats.written_objects;
      context.stats.written_bytes += facts_.stored_bytes;
    } else {
      context.book.GiveBack(handle_);
      context.files.Close(*placement_.file);
      done.handle = kNoSpillHandle;
      done.fault = fault_;
      done.error_number = error_;
    }
    context.files.Unuse(placement_.file);
    --writer_.waiting_count_;
    context.Tell(done);
    writer_.larges_.remove_if([this](const auto& large) { return large.get() == this; });
  }

 private:
  void AddToChecksum(const Piece& piece) {
    checksum_.Add(request_.bytes.subspan(piece.data_begin, piece.data_bytes()));
  }

  SpillWriter& writer_;
  const WriteRequest request_;
  const SpillHandle handle_;
  const Placement placement_;
  SpillFacts facts_;
  const uint64_t piece_count_;
  uint64_t next_ = 1;  // piece_count_ stands for the first piece
  uint32_t in_flight_ = 0;
  bool stopped_ = false;
  SpillFault fault_ = SpillFault::kNone;
  int error_ = 0;
  Checksum checksum_;
};

SpillWriter::SpillWriter(SpillContext& context) : context_(context) {}
SpillWriter::~SpillWriter() { PENSTOCK_CHECK(batches_.empty() && larges_.empty()); }

void SpillWriter::Fail(const WriteRequest& request, SpillFault fault, int error_number) {
  SpillDone done = Written(request.ticket, kNoSpillHandle, 0);
  done.fault = fault;
  done.error_number = error_number;
  context_.Tell(done);
}

SpillWriter::Batch& SpillWriter::BatchFor(const Placement& placement, uint64_t record_bytes) {
  if (open_batch_ == nullptr || !open_batch_->Takes(placement, record_bytes)) {
    Flush();
    batches_.push_back(std::make_unique<Batch>(*this, placement));
    open_batch_ = batches_.back().get();
  }
  return *open_batch_;
}

void SpillWriter::Flush() {
  if (open_batch_ != nullptr) std::exchange(open_batch_, nullptr)->Send();
}

bool SpillWriter::Start(const WriteRequest& request,
                        const std::function<bool()>& can_make_room) {
  const uint64_t record_bytes = RecordBytes(request.bytes.size());
  if (context_.chunks.free() == 0) return false;
  const SpillHandle handle = context_.book.Take();
  if (handle == kNoSpillHandle) {
    Fail(request, SpillFault::kTableFull, 0);
    return true;
  }
  const Placement placement = context_.files.Place(record_bytes, /*exceed_limit=*/false);
  if (placement.fault != SpillFault::kNone) {
    context_.book.GiveBack(handle);
    if (context_.files.MayFit(placement.fault, record_bytes) && can_make_room()) {
      wants_room_ = true;
      return false;
    }
    Fail(request, placement.fault, placement.error_number);
    return true;
  }
  ++waiting_count_;
  if (IsPacked(request.bytes.size())) {
    BatchFor(placement, record_bytes).Add(request, handle, placement);
  } else {
    larges_.push_back(std::make_unique<LargeWrite>(*this, request, handle, placement));
    issuing_ = larges_.back().get();
  }
  return true;
}

void SpillWriter::Advance(const std::function<bool()>& can_make_room) {
  wants_room_ = false;
  for (;;) {
    while (issuing_ != nullptr && context_.chunks.free() > 0) {
      issuing_->Issue();
      if (issuing_->issued_all()) issuing_ = nullptr;
    }
    if (issuing_ != nullptr || asked_.empty()) break;
    if (!Start(asked_.front(), can_make_room)) break;
    asked_.pop_front();
  }
  Flush();
}

SpillFault SpillWriter::PackMoved(const MovedRecord& record, MoveListener& listener) {
  const uint64_t record_bytes = RecordBytes(record.facts.stored_bytes);
  const Placement placement = context_.files.Place(record_bytes, /*exceed_limit=*/true);
  if (placement.fault == SpillFault::kNone) {
    BatchFor(placement, record_bytes).AddMoved(record, listener, placement);
  }
  return placement.fault;
}

void SpillWriter::Cancel() {
  for (const WriteRequest& request : std::exchange(asked_, {})) {
    Fail(request, SpillFault::kCancelled, 0);
  }
  Flush();
  if (LargeWrite* issuing = std::exchange(issuing_, nullptr)) {
    issuing->Stop(SpillFault::kCancelled, 0);
    issuing->ConcludeWhenDone();
  }
}

}  // namespace penstock
