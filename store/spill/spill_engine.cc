// Commands in, answers out.
#include "store/spill/spill_engine.h"

#include <utility>

namespace penstock {

SpillEngine::SpillEngine(SpillTable table, SpillFiles files, DiskQueue& queue)
    : context_(table, std::move(files), queue), writer_(context_), reader_(context_),
      mover_(context_, writer_) {}

void SpillEngine::Recover() { context_.files.Recover(context_.book, context_.stats); }

void SpillEngine::Accept(const SpillCommand& command) {
  switch (command.kind) {
    case SpillCommand::Kind::kWrite:
      writer_.Ask({command.ticket, command.object, command.bytes});
      break;
    case SpillCommand::Kind::kRead:
      reader_.Ask(command.ticket, command.handle, command.into);
      break;
    case SpillCommand::Kind::kDrop:
      context_.Free(command.handle);
      break;
  }
}

void SpillEngine::Advance() {
  // Somebody waits for a read; a write makes room for somebody later.
  reader_.Advance();
  if (cancelled_) return;
  do {
    writer_.Advance([this] { return mover_.CanMakeRoom(); });
    mover_.Advance(writer_.wants_room());
    // Compaction that ended at once made room, or will make none.
  } while (writer_.wants_room() && !mover_.active());
}

void SpillEngine::Finished(DiskRequest& request) {
  Chunk& chunk = *static_cast<Chunk*>(request.owner);
  chunk.owner->Finished(chunk);
}

void SpillEngine::Cancel() {
  cancelled_ = true;
  reader_.Cancel();
  writer_.Cancel();
  mover_.Cancel();
}

SpillStats SpillEngine::Stats() const {
  SpillStats stats = context_.stats;
  stats.live_bytes = context_.files.live_bytes();
  stats.file_bytes = context_.files.total_bytes();
  stats.files = context_.files.count();
  stats.waiting_writes = writer_.waiting();
  stats.waiting_reads = reader_.waiting();
  stats.moving = mover_.active();
  stats.direct = context_.files.direct();
  stats.io = context_.queue.name();
  return stats;
}

}  // namespace penstock
