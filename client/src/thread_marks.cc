// The list of the threads' marks, and the fence between them and a look at them.
#include "client/src/thread_marks.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include <penstock/internal/session_head.h>

#include "store/base/spin_lock.h"

namespace penstock::internal {

constinit thread_local ThreadMark t_mark;

namespace {

constexpr int kLooks = 200;        // at a thread in a get, which takes tens of nanoseconds
constexpr int kLooksAwake = 100;   // of these before it is given the processor

constinit SpinLock g_lock;  // guards what follows
constinit ThreadMark* g_first = nullptr;

struct UnregisterAtThreadsEnd {
  ~UnregisterAtThreadsEnd() {
    UnregisterThread();
    t_mark.thread_ends = true;
  }
};

int Membarrier(int command) {
  return static_cast<int>(syscall(SYS_membarrier, command, 0, 0));
}

// The long call first: a thread that left it cannot come back, and if it still was in a short
// one within it, that one is over too when the second word says so.
bool IsOutside(const ThreadMark& mark, uintptr_t session) {
  const uintptr_t word = mark.in_session.load(std::memory_order_acquire);
  return word != session && word != ThreadMark::kAny &&
         mark.in_fast.load(std::memory_order_acquire) == 0;
}

bool WasOutside(const ThreadMark& mark, uintptr_t session, Patience patience) {
  for (int i = 0; i < kLooks; ++i) {
    if (IsOutside(mark, session)) return true;
    if (patience == Patience::kNone) return false;
    // It may wait in there for long.
    if (mark.in_session.load(std::memory_order_relaxed) == session) return false;
    if (i < kLooksAwake) {
      CpuRelax();
    } else {
      sched_yield();
    }
  }
  return false;
}

}  // namespace

void RegisterThread() {
  UnregisterThread();
  {
    const std::lock_guard lock(g_lock);
    t_mark.next = g_first;
    t_mark.previous = nullptr;
    if (g_first != nullptr) g_first->previous = &t_mark;
    g_first = &t_mark;
  }
  t_mark.fork_generation = CurrentForkGeneration();
  if (t_mark.thread_ends) return;
  static thread_local const UnregisterAtThreadsEnd at_end;
}

void UnregisterThread() {
  if (t_mark.fork_generation == 0) return;
  t_mark.fork_generation = 0;
  const std::lock_guard lock(g_lock);
  if (t_mark.next != nullptr) t_mark.next->previous = t_mark.previous;
  if (t_mark.previous != nullptr) {
    t_mark.previous->next = t_mark.next;
  } else {
    g_first = t_mark.next;
  }
}

void ForgetOtherThreads() {
  // Another thread may have held the lock, in the middle of a change.
  g_first = nullptr;
  g_lock.unlock();
  t_mark.fork_generation = 0;
}

bool FenceAllThreads() {
  if (Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) return true;
  if (errno != EPERM) return false;
  return Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 &&
         Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}

void PrepareFence() {
  static const int registered = Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
  static_cast<void>(registered);
}

bool EachThreadWasOutside(uintptr_t session, Patience patience) {
  const std::lock_guard lock(g_lock);
  for (const ThreadMark* mark = g_first; mark != nullptr; mark = mark->next) {
    if (!WasOutside(*mark, session, patience)) return false;
  }
  return true;
}

}  // namespace penstock::internal
