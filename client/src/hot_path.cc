// The get and the release of a sealed object that is here: what costs no system call. All
// of it stands in this file, so that the compiler sees it whole.
#include <penstock/client.h>

#include "client/src/client_state.h"
#include "client/src/session.h"
#include "store/shm/hash_index.h"

namespace penstock {
namespace internal {

// SYNC S2 pin/evict, client's half. The pin is in place (a full fence); now the slot is
// read. Nothing of it is believed that was read before.
inline bool Session::AcceptPinned(uint32_t slot, const ObjectId& id) {
  const Slot& object = index_.slot(slot);
  const uint64_t word = object.state.load(std::memory_order_seq_cst);
  return StateOf(word) == SlotState::kSealed && object.id == id &&
         revoked_->load(std::memory_order_relaxed) == 0;
}

bool Session::GetLocal(const ObjectId& id, ObjectView& view) {
  return ForEachCandidate(index_, id.Hash(), [&](uint32_t slot) {
    const Slot& object = index_.slot(slot);
    pins_.Prefetch(slot);
    // Only a hint, read before the pin and never believed: the caller's first touch of the
    // payload is then under way while the pin's locked instruction runs.
    __builtin_prefetch(arena_ + object.offset);
    pins_.Pin(slot, Epoch());
    if (!AcceptPinned(slot, id)) {
      // A refused pin may be the one the daemon saw: it is released like any other.
      ReleasePin(slot);
      return false;
    }
    // Field by field: a temporary would be copied by wide loads of narrow stores, and each
    // such load waits for the stores to leave the core.
    view.session_ = this;
    view.facts_.data = arena_ + object.offset;
    view.facts_.size = object.size;
    view.facts_.slot = slot;
    view.facts_.metadata_size = object.metadata_size;
    view.facts_.type_tag = object.type_tag;
    view.facts_.id = id;
    view.facts_.fork_generation = fork_generation_;
    return true;
  });
}

// SYNC S3 last release, client's half: the decrement is a full fence before the look.
void Session::ReleasePin(uint32_t slot) {
  pins_.Unpin(slot);
  const uint64_t word = index_.slot(slot).state.load(std::memory_order_seq_cst);
  if (IsPlainlySealed(word)) [[likely]] return;
  const SlotState state = StateOf(word);
  // Free and leased slots wait for nobody.
  if (state == SlotState::kFree || state == SlotState::kLeased) return;
  if (dead_.load(std::memory_order_relaxed)) return;
  Submission release{};
  release.op = SubmissionOp::kRelease;
  release.slot = slot;
  release.generation = GenerationOf(word);
  submissions_->Push(release);
}

}  // namespace internal

absl::StatusOr<ObjectView> Client::Get(const ObjectId& id, absl::Duration deadline) {
  // One variable on every path, so that the session fills the caller's own.
  absl::StatusOr<ObjectView> view(absl::in_place);
  internal::Session* const session = state_->CurrentIfUsable();
  if (session == nullptr || !session->GetLocal(id, *view)) [[unlikely]] {
    view = std::move(GetMany({&id, 1}, deadline).front());
  }
  return view;
}

void ObjectView::Release() {
  internal::Session* const session = std::exchange(session_, nullptr);
  if (session != nullptr && session->FromThisProcess()) session->ReleasePin(facts_.slot);
}

}  // namespace penstock
