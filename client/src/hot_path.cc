// The get and the release of a sealed object that is here: what costs no system call. The
// rest of it, which reads the slot's facts, is in penstock/object_view.h.
#include <penstock/client.h>

#include "client/src/client_state.h"
#include "client/src/retired_sessions.h"
#include "client/src/session.h"
#include "client/src/thread_marks.h"
#include "client/src/visit.h"
#include "store/base/crash_point.h"
#include "store/shm/hash_index.h"

namespace penstock {
namespace internal {

// SYNC S2 pin/evict, client's half: the pin is in place (a full fence) before the slot is
// read. Nothing of it is believed that was read before.
inline bool Session::Holds(const Slot& object, const ObjectId& id) const {
  const uint64_t word = object.state.load(std::memory_order_seq_cst);
  return StateOf(word) == SlotState::kSealed && object.id == id &&
         revoked_->load(std::memory_order_relaxed) == 0;
}

// How a get or a release that is on the short way ends, in all its branches: its mark goes.
// Where it happens within a longer call, there is none.
template <Way kWay>
inline void Leave() {
  if constexpr (kWay == Way::kShort) t_mark.LeaveFast();
}

// Nearly every get of an object that was got before ends here: the word that
// HashIndex::Insert prefers, a slot pinned in this epoch. A function that calls no other but at
// its end, and keeps all in registers: the fewer instructions and stores, the more do the cache
// misses of successive gets overlap, and the sooner runs the next locked instruction, which
// waits for every store.
template <Way kWay>
inline Pinned Session::PinAtFirstLook(const ObjectId& id) {
  const uint64_t word = FirstCandidate(index_, id.Hash());
  const uint32_t slot = static_cast<uint32_t>(word) - 1;
  if (word == 0 || slot >= reach_.load(std::memory_order_relaxed)) [[unlikely]] {
    return PinAtLength<kWay>(this, id);
  }
  const Slot& object = slots[slot];
  pins_.Prefetch(slot);
  // Only a hint, read before the pin and never believed: the caller's first touch of the
  // payload is then under way while the pin's locked instruction runs.
  __builtin_prefetch(arena + object.offset);
  if (!pins_.PinAgain(slot, Epoch())) [[unlikely]] return PinAtLength<kWay>(this, id);
  PENSTOCK_CRASH_POINT(kClientPinned);
  if (!Holds(object, id)) [[unlikely]] return RefusePin<kWay>(this, slot);
  Leave<kWay>();
  return {this, &object};
}

template <Way kWay>
[[gnu::noinline]] Pinned Session::PinAtLength(Session* session, const ObjectId& id) {
  const Slot* found = nullptr;
  if (kWay == Way::kShort && session->dead_.load(std::memory_order_relaxed)) {
    Leave<kWay>();
    return {nullptr, nullptr};
  }
  ForEachCandidate(session->index_, id.Hash(), [&](uint32_t slot) {
    session->pins_.Pin(slot, session->Epoch());
    if (session->Holds(session->slots[slot], id)) {
      found = &session->slots[slot];
      return true;
    }
    RefusePin<Way::kWithinACall>(session, slot);
    return false;
  });
  Leave<kWay>();
  return {found == nullptr ? nullptr : session, found};
}

// A refused pin may be the one the daemon saw: it is released like any other.
template <Way kWay>
[[gnu::noinline]] Pinned Session::RefusePin(Session* session, uint32_t slot) {
  session->ReleasePin<kWay>(slot);
  return {nullptr, nullptr};
}

bool Session::GetLocal(const ObjectId& id, ObjectView& view) {
  const Pinned pinned = PinAtFirstLook<Way::kWithinACall>(id);
  if (pinned.session == nullptr) return false;
  view = ObjectView(ObjectView::Key(), pinned);
  return true;
}

// SYNC S3 last release, client's half: the decrement is a full fence before the look.
template <Way kWay>
inline void Session::ReleasePin(uint32_t slot) {
  pins_.Unpin(slot);
  PENSTOCK_CRASH_POINT(kClientReleased);
  const uint64_t word = index_.slot(slot).state.load(std::memory_order_seq_cst);
  if (!IsPlainlySealed(word)) [[unlikely]] return ReleaseTelling<kWay>(this, slot, word);
  Leave<kWay>();
}

template <Way kWay>
[[gnu::noinline]] void Session::ReleaseTelling(Session* session, uint32_t slot,
                                                 uint64_t word) {
  TellOfRelease(session, slot, word);
  Leave<kWay>();
}

void Session::TellOfRelease(Session* session, uint32_t slot, uint64_t word) {
  const SlotState state = StateOf(word);
  // Free and leased slots wait for nobody.
  if (state == SlotState::kFree || state == SlotState::kLeased) return;
  if (session->dead_.load(std::memory_order_relaxed)) return;
  Submission release{};
  release.op = SubmissionOp::kRelease;
  release.slot = slot;
  release.generation = GenerationOf(word);
  session->submissions_->Push(release);
}

void Session::Release(uint32_t slot) { ReleasePin<Way::kWithinACall>(slot); }

// Its mark is two plain stores; Visit's is more.
Pinned PinLocal(const ClientState& client, const ObjectId& id) {
  t_mark.EnterFast();
  Session* const session = client.CurrentForMarked();
  if (session != nullptr) [[likely]] return session->PinAtFirstLook<Way::kShort>(id);
  t_mark.LeaveFast();
  return {nullptr, nullptr};
}

namespace {

// Of a thread that is not registered yet, or any more; or of a parent's session.
[[gnu::noinline]] void UnpinAtLength(Session* session, const Slot* object) {
  t_mark.LeaveFast();
  if (!session->FromThisProcess()) return Session::ReleaseAtLength(session, object);
  const Visit visit(session);
  Session::ReleaseAtLength(session, object);
}

}  // namespace

void Unpin(SessionHead* head, const Slot* object) {
  auto* const session = static_cast<Session*>(head);
  t_mark.EnterFast();
  if (session->fork_generation != t_mark.fork_generation) [[unlikely]] {
    return UnpinAtLength(session, object);
  }
  session->ReleaseView(object);
}

inline void Session::ReleaseView(const Slot* object) {
  const auto distance =
      reinterpret_cast<uintptr_t>(object) - reinterpret_cast<uintptr_t>(slots);
  const uint64_t slot = distance / sizeof(Slot);
  if (slot >= reach_.load(std::memory_order_relaxed)) [[unlikely]] {
    return ReleaseAtLength(this, object);
  }
  ReleasePin<Way::kShort>(static_cast<uint32_t>(slot));
}

[[gnu::noinline]] void Session::ReleaseAtLength(Session* session, const Slot* object) {
  const auto distance =
      reinterpret_cast<uintptr_t>(object) - reinterpret_cast<uintptr_t>(session->slots);
  uint64_t slot = distance / sizeof(Slot);
  std::unique_ptr<OwnSlot> own;
  if (slot >= session->index_.capacity()) {
    // The view was made before its object was published, and has brought its own facts. Made by
    // ViewOfOwn, and seen as const by the view only.
    own.reset(const_cast<OwnSlot*>(static_cast<const OwnSlot*>(object)));
    slot = own->number;
  }
  bool may_be_last = false;
  if (session->IsOfThisProcess()) {
    session->Release(static_cast<uint32_t>(slot));
    const uint32_t witness = session->witness_.load(std::memory_order_seq_cst);
    may_be_last = session->IsRetired() && (witness == slot || witness == kNoSlot);
  }
  t_mark.LeaveFast();
  if (own != nullptr) KeepSpareOwnSlot(std::move(own));
  if (may_be_last || LookIsDue()) SweepRetired(Patience::kNone);
}

}  // namespace internal

absl::StatusOr<ObjectView> Client::GetAtLength(const ObjectId& id,
                                               absl::Duration deadline) {
  {
    const internal::Visit visit(state_.get(), internal::Visit::WhenUnusable::kNothing);
    ObjectView view;
    if (visit.ok() && visit->GetLocal(id, view)) return view;
  }
  return std::move(GetMany({&id, 1}, deadline).front());
}

}  // namespace penstock
