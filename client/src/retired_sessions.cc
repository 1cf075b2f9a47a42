// The list of retired sessions, and looks at it.
#include "client/src/retired_sessions.h"

#include <mutex>
#include <utility>
#include <vector>

#include "store/base/spin_lock.h"

namespace penstock::internal {
namespace {

using Sessions = std::vector<std::unique_ptr<Session>>;

struct Lists {
  Sessions retired;
  Sessions inherited;  // of the parent; never read
  Lists* parents = nullptr;  // likewise
};

constinit SpinLock g_lock;  // guards what follows
constinit Lists* g_lists = nullptr;

constinit std::atomic<bool> g_look_again{false};

Lists& TheLists() {
  if (g_lists == nullptr) g_lists = new Lists();
  return *g_lists;
}

Session::Rest LookAt(Session& session, Patience patience) {
  const Session::Rest rest = session.WhatKeepsIt(patience);
  if (rest != Session::Rest::kThreads) return rest;
  // A thread that leaves a long call, or lets a handle go, looks at this word afterwards: we see
  // it gone, or it sees the word.
  RequestLook();
  FenceAllThreads();
  return session.WhatKeepsIt(Patience::kNone);
}

// What of it can go; the list keeps the rest.
Sessions TakeWhatCanGo(Patience patience) {
  g_look_is_due.store(false, std::memory_order_relaxed);
  Sessions gone;
  Sessions kept;
  for (std::unique_ptr<Session>& session : TheLists().retired) {
    const Session::Rest rest = LookAt(*session, patience);
    (rest == Session::Rest::kNothing ? gone : kept).push_back(std::move(session));
  }
  TheLists().retired = std::move(kept);
  return gone;
}

}  // namespace

void Retire(std::unique_ptr<Session> session) {
  if (!session->FromThisProcess()) {
    session->CloseInherited();
    const std::lock_guard lock(g_lock);
    TheLists().inherited.push_back(std::move(session));
    return;
  }
  session->Retire();
  {
    const std::lock_guard lock(g_lock);
    TheLists().retired.push_back(std::move(session));
  }
  SweepRetired(Patience::kSome);
}

void SweepRetired(Patience patience) {
  // A thread that finds another at it leaves the look to that one.
  g_look_again.store(true, std::memory_order_seq_cst);
  for (;;) {
    // A look that is a full fence: our unlock is seen before it, or another thread would leave its
    // look to us for good.
    bool is_due = false;
    g_look_again.compare_exchange_strong(is_due, false, std::memory_order_seq_cst);
    if (!is_due || !g_lock.try_lock()) return;
    g_look_again.store(false, std::memory_order_seq_cst);
    Sessions gone = TakeWhatCanGo(patience);
    g_lock.unlock();
    gone.clear();  // threads end, and much is unmapped: with no lock held
  }
}

void ForgetRetired() {
  // Another thread may have held the lock, in the middle of a change.
  if (g_lists != nullptr) g_lists = new Lists{.retired = {}, .inherited = {}, .parents = g_lists};
  g_look_again.store(false, std::memory_order_relaxed);
  g_look_is_due.store(false, std::memory_order_relaxed);
  g_lock.unlock();
}

}  // namespace penstock::internal
