// Core: the end of a session, and of the objects that go with sessions.
//
// A session may leave a million things behind: requests, leases, objects, pins. They are put in
// order some in each turn, so that nobody waits for all of it. Its pins are gone at once, with its
// row. Its place is given to another session when all is done, and not before: until then the place
// is *closing*, and whoever comes across one of its requests lets that go.
#include <algorithm>
#include <utility>

#include "store/base/crash_point.h"
#include "store/object/core.h"

namespace penstock {
namespace {

// A look at a slot or at a copy is less than a step.
constexpr uint32_t kSlotsForAStep = 16;
constexpr size_t kCopiesForAStep = 2;

uint32_t SlotIn(uint32_t slot) { return slot; }
template <typename Entry>
uint32_t SlotIn(const std::pair<const uint32_t, Entry>& entry) {
  return entry.first;
}

}  // namespace

void Core::CloseSession(SessionRow row) {
  CoreSession& session = *sessions_[row];
  // What was sealed before the death counts. Once: its tail has stopped moving. A broken
  // ring is not read.
  Drain(row);
  PENSTOCK_CRASH_POINT(kCloseDrained);
  Closing closing{.row = row};
  for (uint32_t word = 0; word <= PinRowReader::WordOf(index_.capacity() - 1); ++word) {
    closing.touched.push_back(session.pins.TouchedPages(word));
  }
  std::erase(open_rows_, row);
  StopWatching(row);
  columns_.Close(row);
  std::erase(unpublished_rows_, row);
  Subscribe(row, 0);
  session.open = false;
  closings_.push_back(std::move(closing));
  GoOnClosing();
}

void Core::GoOnClosing() {
  size_t most = limits_.most_steps_in_turn;
  while (!closings_.empty() && CloseSome(closings_.front(), most)) closings_.pop_front();
  FreeMarked();
}

// True: all is done. Takes what it did from `most`.
bool Core::CloseSome(Closing& closing, size_t& most) {
  CoreSession& session = *sessions_[closing.row];
  // One thing after the other, in as many turns as it takes.
  const auto each = [&most](auto&& is_left, auto&& take_one) {
    for (; is_left(); --most) {
      if (most == 0) return false;
      take_one();
    }
    return true;
  };
  const auto has = [](const auto& container) {
    return [&container] { return !container.empty(); };
  };
  if (!each(has(session.requests), [&] {
        ForgetRequest(closing.row, session.requests.begin()->first);
      })) {
    return false;
  }
  if (!each(has(session.backlog), [&] { session.backlog.pop_front(); })) return false;
  if (!each(has(session.leases), [&] { TakeBack(closing.row, session.leases.front()); })) {
    return false;
  }
  PENSTOCK_CRASH_POINT(kCloseReturned);
  if (!RefuseOrphans(session.number, closing, most)) return false;
  if (!each(has(session.bound_objects), [&] {
        Delete(session.bound_objects.front(), AnswerCode::kDeleted);
      })) {
    return false;
  }
  rows_by_number_.erase(session.number);  // not before: Unlist finds the list by it
  if (objects_go_with_.erase(session.number) > 0 &&
      (makers_[session.maker].objects > 0 || !spilled_.empty())) {
    // One walk for all that end while another one is under way.
    if (sweeps_.size() < 2) sweeps_.emplace_back();
    sweeps_.back().sessions.insert(session.number);
  }
  if (!each(has(session.holds), [&] { LoseHold(session); })) return false;
  if (!ForgetPinsOf(closing, most)) return false;
  makers_[session.maker].live = false;
  ForgetMaker(session.maker);
  sessions_[closing.row].reset();
  free_rows_.push_back(closing.row);
  room_changed_ = true;
  return true;
}

// A lease of a session that has ended; a client that waits for the id it was for is told.
void Core::TakeBack(SessionRow row, uint32_t slot) {
  const bool is_reserved = infos_[slot].reserved;
  const ObjectId id = leases_[slot].reserved_id;
  ReturnLease(row, slot);
  if (is_reserved) RefuseWaiters(id, AnswerCode::kMakerDied);
}

// The id is free again, if its session has ended and we have not come to it yet.
void Core::TakeBackIfEnded(const ObjectId& id) {
  const auto held = reserved_.find(id);
  if (held == reserved_.end()) return;
  const auto row = rows_by_number_.find(leases_[held->second].session);
  if (row != rows_by_number_.end() && !sessions_[row->second]->open) {
    TakeBack(row->second, held->second);
  }
}

// Those who wait for what only this session could have made. One on its way back from disk was
// sealed.
bool Core::RefuseOrphans(uint64_t number, Closing& closing, size_t& most) {
  const ObjectId first{index_.header().incarnation, number, 0};
  closing.orphans_from = std::max(closing.orphans_from, first);
  for (auto next = waiters_.lower_bound({closing.orphans_from, 0});
       next != waiters_.end() && next->id.session == number && next->id.home == first.home;
       next = waiters_.lower_bound({closing.orphans_from, 0})) {
    if (most == 0) return false;
    --most;
    const ObjectId id = next->id;
    if (!spilled_.contains(id)) RefuseWaiters(id, AnswerCode::kMakerDied);
    closing.orphans_from = {id.home, id.session, id.sequence + 1};
    if (closing.orphans_from.sequence == 0) return true;
  }
  return true;
}

void Core::LoseHold(CoreSession& session) {
  const auto [slot, count] = *session.holds.begin();
  session.holds.erase(session.holds.begin());
  infos_[slot].holds -= std::min(infos_[slot].holds, count);
  ReturnToQueue(slot);
  if (doomed_.erase(slot) > 0) marked_.push_back({slot, slots_.Generation(slot)});
}

// The session's row has gone: what only it kept is free now, or may be dropped. Only in pages that
// it touched, where others' may lie as well. From one slot to the next, or to the first one in the
// next page: as many steps as there are slots that stay or pages, whichever are fewer.
bool Core::ForgetPinsOf(Closing& closing, size_t& most) {
  const auto step = [&](auto& kept, uint32_t& from, auto&& let_go) {
    for (auto slot = kept.lower_bound(from); slot != kept.end(); slot = kept.lower_bound(from)) {
      if (most == 0) return false;
      --most;
      const uint32_t number = SlotIn(*slot);
      if (closing.Touched(number)) {
        from = number + 1;
        let_go(number);
      } else {
        from = (number / kPinsPerPage + 1) * kPinsPerPage;
      }
    }
    return true;
  };
  const auto look_again = [&](uint32_t slot) {
    doomed_.erase(slot);
    marked_.push_back({slot, slots_.Generation(slot)});
  };
  const auto let_return = [&](uint32_t slot) { ReturnToQueue(slot); };
  return step(doomed_, closing.doomed_from, look_again) &&
         step(left_queue_, closing.evictable_from, let_return) &&
         step(left_clean_, closing.clean_from, let_return);
}

void Core::DropAllHolds(CoreSession& session) {
  for (const auto& [slot, count] : session.holds) {
    infos_[slot].holds -= std::min(infos_[slot].holds, count);
  }
}

bool Core::IsSessionOf(uint64_t number, int32_t pid) const {
  const auto found = rows_by_number_.find(number);
  return found != rows_by_number_.end() && sessions_[found->second]->open &&
         sessions_[found->second]->pid == pid;
}

void Core::DropObjectsOf(std::span<const uint64_t> numbers) {
  Sweep sweep;
  for (const uint64_t number : numbers) {
    if (rows_by_number_.contains(number)) {
      objects_go_with_.insert(number);
    } else {
      sweep.sessions.insert(number);
    }
  }
  if (sweep.sessions.empty()) return;
  sweeps_.push_back(std::move(sweep));
  GoOnSweeping();
}

// Slot by slot, then copy by copy. What moves from the first to the second meanwhile is found
// there, and what comes back from there is deleted by PublishRestored.
void Core::GoOnSweeping() {
  Sweep& sweep = sweeps_.front();
  size_t most = limits_.most_steps_in_turn;
  const uint32_t until =
      std::min(fresh_slot_, sweep.slot + kSlotsForAStep * static_cast<uint32_t>(most));
  for (; sweep.slot < until && most > 0; ++sweep.slot) {
    if (slots_.State(sweep.slot) != SlotState::kSealed ||
        !sweep.sessions.contains(leases_[sweep.slot].session)) {
      continue;
    }
    Delete(sweep.slot, AnswerCode::kDeleted);
    --most;
  }
  FreeMarked();
  room_changed_ = true;
  if (sweep.slot < fresh_slot_) return;
  auto copy = spilled_.lower_bound(sweep.copies_from);
  size_t looks = kCopiesForAStep * limits_.most_steps_in_turn;
  for (; copy != spilled_.end(); --looks) {
    if (looks == 0 || most == 0) {
      sweep.copies_from = copy->first;
      return;
    }
    const auto [id, number] = *copy;
    if (!sweep.sessions.contains(spill_->SpillFacts(number).maker_session)) {
      ++copy;
      continue;
    }
    DeleteSpilled(id);
    --most;
    copy = spilled_.lower_bound(id);
  }
  sweeps_.pop_front();
}

bool Core::IsSwept(uint64_t session) const {
  return std::any_of(sweeps_.begin(), sweeps_.end(), [session](const Sweep& sweep) {
    return sweep.sessions.contains(session);
  });
}

}  // namespace penstock
