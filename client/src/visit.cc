// What a visit does when its session is not to be used, or was kept by it.
#include "client/src/visit.h"

namespace penstock::internal {

void Visit::BeSeen() {
  if (!ThisThreadIsRegistered(CurrentForkGeneration())) RegisterThread();
  look_around_ |= t_mark.thread_ends;
}

// This thread's mark may not have been looked at, so what it read of the client is not believed.
void Visit::ComeBack(ClientState* client, WhenUnusable otherwise) {
  if (client == nullptr) {
    t_mark.Leave(before_);
    status_ = absl::FailedPreconditionError(
        "this client was moved from: use the one that it was moved to, or connect another");
    return;
  }
  BeSeen();
  t_mark.Enter(ThreadMark::kAny);
  Session* session = client->current_.load(std::memory_order_acquire);
  if (!session->Usable()) {
    t_mark.Leave(before_);
    if (otherwise == WhenUnusable::kNothing) return;
    status_ = client->Reopen();
    if (!status_.ok()) return;
    t_mark.Enter(ThreadMark::kAny);
    // Should it have died already, its calls say so.
    session = client->current_.load(std::memory_order_acquire);
  }
  BeIn(session);
}

void Visit::LookAround() {
  SweepRetired(Patience::kNone);
  // Not within another call: the outermost one does it.
  if (t_mark.thread_ends &&
      t_mark.in_session.load(std::memory_order_relaxed) == ThreadMark::kNone) {
    UnregisterThread();
  }
}

}  // namespace penstock::internal
