// Core: construction and sessions.
#include "store/object/core.h"

#include <algorithm>

#include <fmt/format.h>

#include "store/base/check.h"

namespace penstock {

Core::Core(IndexSegment index, LeaseSegment leases, CoreLimits limits, CoreHost* host)
    : Core(index, leases, limits, host, SlotInfoTable(index.capacity())) {}

Core::Core(IndexSegment index, LeaseSegment leases, CoreLimits limits, CoreHost* host,
           SlotInfoTable infos)
    : index_(index), slots_(index), hash_(index), leases_(leases), limits_(limits),
      host_(host), infos_(std::move(infos)), graves_(leases.graves()),
      laps_({.rows = limits.max_sessions}) {
  PENSTOCK_CHECK(leases.header().capacity == index.capacity()) << leases.header().capacity;
  stats_.arena_bytes = index.header().arena_bytes;
  stats_.slots = index.capacity();
  free_slots_.reserve(index.capacity());  // touched as far as it is used
}

void Core::AddExtent(uint64_t offset, uint64_t bytes) {
  leases_.AddExtent(offset, bytes);
  allocator_.AddExtent(offset, bytes);
  room_changed_ = true;
}

void Core::FinishPopulation() {
  population_done_ = true;
  room_changed_ = true;
}

absl::StatusOr<SessionRow> Core::OpenSession(SessionSegments segments, uint64_t number,
                                             int32_t pid, SessionRole role) {
  if (open_rows_.size() >= limits_.max_sessions) {
    return absl::ResourceExhaustedError(
        fmt::format("the daemon has its limit of {} sessions open: close some, or start it "
                    "with a higher --max-sessions", limits_.max_sessions));
  }
  leases_.header().next_session = std::max(leases_.header().next_session, number + 1);
  return NewRow(segments, number, pid, role);
}

uint32_t Core::NewMaker(int32_t pid, bool live) {
  uint32_t maker;
  if (free_makers_.empty()) {
    maker = static_cast<uint32_t>(makers_.size());
    makers_.push_back({});
  } else {
    maker = free_makers_.back();
    free_makers_.pop_back();
  }
  makers_[maker] = Maker{.pid = pid, .live = live};
  return maker;
}

SessionRow Core::NewRow(const SessionSegments& segments, uint64_t number, int32_t pid,
                        SessionRole role) {
  SessionRow row;
  if (free_rows_.empty()) {
    row = static_cast<SessionRow>(sessions_.size());
    sessions_.push_back(nullptr);
    KeepLapsWhole();
  } else {
    row = free_rows_.back();
    free_rows_.pop_back();
  }

  auto session = std::make_unique<CoreSession>();
  session->number = number;
  session->pid = pid;
  session->role = role;
  session->segments = segments;
  session->submissions = segments.MakeSubmissionConsumer();
  session->completions = segments.MakeCompletionProducer();
  session->pins = PinRowReader(segments.bitmap, segments.pins);
  session->open = true;
  session->maker = NewMaker(pid, true);
  makers_[session->maker].row = row;
  columns_.Open(row, session->pins);
  sessions_[row] = std::move(session);
  open_rows_.push_back(row);
  Hear(row);
  rows_by_number_[number] = row;
  return row;
}

void Core::Break(SessionRow row, std::string why) {
  CoreSession& session = *sessions_[row];
  if (session.broken) return;
  session.broken = true;
  session.broken_why = std::move(why);
  // Seq_cst: a get of this session that has not pinned yet will see it after its pin.
  session.segments.daemon->revoked.exchange(1, std::memory_order_seq_cst);
  ++stats_.broken_sessions;
  host_->SessionBroken(row, session.broken_why);
}

}  // namespace penstock
