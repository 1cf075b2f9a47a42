// Core: which rings every turn looks at, and how it hears of the others.
//
// A node may have thousands of clients of which few do anything, and a look at a ring is a line
// that its client owns. So a ring in which nothing came for a while is let out of sight: its flag
// goes up, and its client rings the session's own doorbell with the next record (SYNC S1, for one
// ring). Few rings are always in sight, and their clients never make that system call.
#include <algorithm>

#include "store/object/core.h"

namespace penstock {
namespace {

// Rings out of sight that one turn of a lap looks into: some 20 us.
constexpr size_t kLapStep = 256;

}  // namespace

void Core::Hear(SessionRow row) {
  if (row >= sessions_.size() || sessions_[row] == nullptr) return;
  CoreSession& session = *sessions_[row];
  if (!session.open || session.is_watched) return;
  Parker::Unpark(session.segments.daemon->unwatched);
  session.is_watched = true;
  session.worked_at = stats_.turns;
  watched_rows_.push_back(row);
}

// Of the ring at `place` of the watched ones, in which nothing was found in this turn.
bool Core::MayBeLetGo(size_t place) const {
  if (watched_rows_.size() <= limits_.most_idle_watched) return false;
  const CoreSession& session = *sessions_[watched_rows_[place]];
  return stats_.turns - session.worked_at > limits_.most_empty_looks / watched_rows_.size();
}

void Core::LetGo(size_t place) {
  CoreSession& session = *sessions_[watched_rows_[place]];
  // SYNC S1 parking, consumer's half: the flag, then one more look.
  parker_.Park(session.segments.daemon->unwatched);
  if (HasWork(session)) {
    Parker::Unpark(session.segments.daemon->unwatched);
    session.worked_at = stats_.turns;
    return;
  }
  session.is_watched = false;
  watched_rows_[place] = watched_rows_.back();
  watched_rows_.pop_back();
}

void Core::StopWatching(SessionRow row) {
  if (!sessions_[row]->is_watched) return;
  sessions_[row]->is_watched = false;
  std::erase(watched_rows_, row);
}

bool Core::HasWork(CoreSession& session) const {
  const bool pending = !session.broken && session.submissions.Available() != 0u;
  return pending || (!session.backlog.empty() && session.completions.HasRoom());
}

// When LookOutOfSight will have been at every ring that is out of sight now. What must not be
// answered before what others had published waits for that: their bells may have been rung and
// not been heard.
uint64_t Core::LapFromHere() {
  if (watched_rows_.size() == open_rows_.size()) return looked_out_of_sight_;
  lap_ends_ = looked_out_of_sight_ + LapRows();
  return lap_ends_;
}

// As many as there will ever be, so that a lap that has begun misses none.
size_t Core::LapRows() const { return std::max<size_t>(limits_.max_sessions, sessions_.size()); }

void Core::LookOutOfSight() {
  const size_t count = std::min<size_t>(kLapStep, lap_ends_ - looked_out_of_sight_);
  for (size_t i = 0; i < count; ++i) {
    const SessionRow row = static_cast<SessionRow>(looked_out_of_sight_++ % LapRows());
    if (row >= sessions_.size()) continue;
    CoreSession* const session = sessions_[row].get();
    if (session != nullptr && session->open && !session->is_watched && HasWork(*session)) {
      Hear(row);
    }
  }
}

}  // namespace penstock
