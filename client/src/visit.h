// Visit: a call in a session, from its first look to its last. While it lasts, the session does.
#ifndef PENSTOCK_CLIENT_SRC_VISIT_H_
#define PENSTOCK_CLIENT_SRC_VISIT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "client/src/client_state.h"
#include "client/src/retired_sessions.h"
#include "client/src/session.h"
#include "client/src/thread_marks.h"

namespace penstock::internal {

// Used by one thread, as a local variable. Visits of different sessions may nest. Costs a create
// or a seal, which take tens of nanoseconds, a few plain instructions.
class Visit {
 public:
  enum class WhenUnusable { kOpenAnother, kNothing };

  // Of the session in use; of null, of a client that was moved from, there is none. Where it
  // cannot be used (the daemon died, or a fork) another is opened, which blocks for about 1 ms; or
  // there is no visit.
  explicit Visit(ClientState* client, WhenUnusable otherwise = WhenUnusable::kOpenAnother)
      : before_(t_mark.in_session.load(std::memory_order_relaxed)) {
    t_mark.Enter(ThreadMark::kAny);
    Session* const session = client == nullptr ? nullptr : client->CurrentForMarked();
    if (session != nullptr && !session->IsDead()) [[likely]] {
      BeIn(session);
    } else {
      ComeBack(client, otherwise);
    }
  }
  // By one of its views or builders, usable or not.
  explicit Visit(Session* session)
      : before_(t_mark.in_session.load(std::memory_order_relaxed)) {
    if (!ThisThreadIsRegistered(session->fork_generation)) [[unlikely]] BeSeen();
    BeIn(session);
    look_around_ |= session->IsRetired();  // this may be the end of its last builder
  }
  // A session that was retired meanwhile has found this mark, and says so in the word.
  ~Visit() {
    t_mark.Leave(before_);
    if (look_around_ || LookIsDue()) [[unlikely]] LookAround();
  }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

  bool ok() const { return session_ != nullptr; }
  const absl::Status& status() const { return status_; }  // when it is not
  Session* operator->() const { return session_; }

 private:
  // In another call still: it is in both, and which they are does not fit a word.
  void BeIn(Session* session) {
    session_ = session;
    t_mark.Enter(before_ == ThreadMark::kNone ? reinterpret_cast<uintptr_t>(session)
                                              : ThreadMark::kAny);
  }
  void ComeBack(ClientState* client, WhenUnusable otherwise);
  void BeSeen();
  static void LookAround();

  const uintptr_t before_;
  Session* session_ = nullptr;
  bool look_around_ = false;
  absl::Status status_;
};

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_VISIT_H_
