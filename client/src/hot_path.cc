// The get and the release of a sealed object that is here: what costs no system call. The
// rest of it, which reads the slot's facts, is in penstock/object_view.h.
#include <penstock/client.h>

#include "client/src/client_state.h"
#include "client/src/session.h"
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

// Nearly every get of an object that was got before ends here: the word that
// HashIndex::Insert prefers, a slot pinned in this epoch. A function that calls no other
// and keeps all in registers: the fewer instructions and stores, the more do the cache
// misses of successive gets overlap, and the sooner runs the next locked instruction, which
// waits for every store.
inline Pinned Session::PinAtFirstLook(const ObjectId& id) {
  const uint64_t word = FirstCandidate(index_, id.Hash());
  const uint32_t slot = static_cast<uint32_t>(word) - 1;
  if (word == 0 || slot >= index_.capacity()) [[unlikely]] return PinAtLength(this, id);
  const Slot& object = slots[slot];
  pins_.Prefetch(slot);
  // Only a hint, read before the pin and never believed: the caller's first touch of the
  // payload is then under way while the pin's locked instruction runs.
  __builtin_prefetch(arena + object.offset);
  if (!pins_.PinAgain(slot, Epoch())) [[unlikely]] return PinAtLength(this, id);
  PENSTOCK_CRASH_POINT(kClientPinned);
  if (!Holds(object, id)) [[unlikely]] return RefusePin(this, slot);
  return {this, &object};
}

[[gnu::noinline]] Pinned Session::PinAtLength(Session* session, const ObjectId& id) {
  const Slot* found = nullptr;
  ForEachCandidate(session->index_, id.Hash(), [&](uint32_t slot) {
    session->pins_.Pin(slot, session->Epoch());
    if (session->Holds(session->slots[slot], id)) {
      found = &session->slots[slot];
      return true;
    }
    RefusePin(session, slot);
    return false;
  });
  return {found == nullptr ? nullptr : session, found};
}

// A refused pin may be the one the daemon saw: it is released like any other.
[[gnu::noinline]] Pinned Session::RefusePin(Session* session, uint32_t slot) {
  session->ReleasePin(slot);
  return {nullptr, nullptr};
}

bool Session::GetLocal(const ObjectId& id, ObjectView& view) {
  const Pinned pinned = PinAtFirstLook(id);
  if (pinned.session == nullptr) return false;
  view = ObjectView(ObjectView::Key(), pinned);
  return true;
}

// SYNC S3 last release, client's half: the decrement is a full fence before the look.
inline void Session::ReleasePin(uint32_t slot) {
  pins_.Unpin(slot);
  PENSTOCK_CRASH_POINT(kClientReleased);
  const uint64_t word = index_.slot(slot).state.load(std::memory_order_seq_cst);
  if (!IsPlainlySealed(word)) [[unlikely]] TellOfRelease(this, slot, word);
}

[[gnu::noinline]] void Session::TellOfRelease(Session* session, uint32_t slot,
                                              uint64_t word) {
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

void Session::Release(uint32_t slot) { ReleasePin(slot); }

Pinned PinLocal(const ClientState& client, const ObjectId& id) {
  Session* const session = client.CurrentIfUsable();
  if (session == nullptr) [[unlikely]] return {nullptr, nullptr};
  return session->PinAtFirstLook(id);
}

void Unpin(SessionHead* session, const Slot* object) {
  static_cast<Session*>(session)->ReleaseView(object);
}

inline void Session::ReleaseView(const Slot* object) {
  const auto distance =
      reinterpret_cast<uintptr_t>(object) - reinterpret_cast<uintptr_t>(slots);
  const uint64_t slot = distance / sizeof(Slot);
  if (slot >= index_.capacity()) [[unlikely]] return ReleaseOwnSlot(this, object);
  if (IsOfThisProcess()) [[likely]] ReleasePin(static_cast<uint32_t>(slot));
}

// The view was made before its object was published, and has brought its own facts.
[[gnu::noinline]] void Session::ReleaseOwnSlot(Session* session, const Slot* object) {
  // Made by ViewOfOwn, and seen as const by the view only.
  std::unique_ptr<OwnSlot> own(const_cast<OwnSlot*>(static_cast<const OwnSlot*>(object)));
  if (session->IsOfThisProcess()) session->ReleasePin(own->number);
  KeepSpareOwnSlot(std::move(own));
}

}  // namespace internal

absl::StatusOr<ObjectView> Client::GetAtLength(const ObjectId& id,
                                               absl::Duration deadline) {
  internal::Session* const session = state_ == nullptr ? nullptr : state_->CurrentIfUsable();
  ObjectView view;
  if (session != nullptr && session->GetLocal(id, view)) return view;
  return std::move(GetMany({&id, 1}, deadline).front());
}

}  // namespace penstock
