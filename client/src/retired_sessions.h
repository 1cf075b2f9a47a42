// Retired sessions: their client has opened another, or is gone. Each is let go as soon as
// no view and no builder of it is about and no thread is in it.
#ifndef PENSTOCK_CLIENT_SRC_RETIRED_SESSIONS_H_
#define PENSTOCK_CLIENT_SRC_RETIRED_SESSIONS_H_

#include <atomic>
#include <memory>

#include "client/src/session.h"
#include "client/src/thread_marks.h"

namespace penstock::internal {

// Takes over a session that calls do not find any more, and lets go what can be. Never waits for
// a view, a builder or a call. A parent's session in a child of a fork stays: its handles may
// still be looked at.
void Retire(std::unique_ptr<Session> session);

// Lets go what can be: after the end of whatever may have kept something.
void SweepRetired(Patience patience);

// The next long call, of any thread, is to look: threads alone kept a session at the last look,
// and do not say when they leave a get; or one has died.
inline std::atomic<bool> g_look_is_due{false};
inline bool LookIsDue() { return g_look_is_due.load(std::memory_order_relaxed); }
inline void RequestLook() { g_look_is_due.store(true, std::memory_order_relaxed); }

// In the child of a fork: they are the parent's.
void ForgetRetired();

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_RETIRED_SESSIONS_H_
