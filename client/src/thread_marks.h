// Thread marks: whether a thread is in a call of the library, and in which session, so that the
// memory of a session is let go only when no thread is in it.
//
// A call costs its thread plain stores. A look at them, which is rare, pays for the order: it has
// the kernel run a fence on all threads of the process (membarrier). After it, a thread whose mark
// does not show had not yet read which session is in use, and will find the next one.
#ifndef PENSTOCK_CLIENT_SRC_THREAD_MARKS_H_
#define PENSTOCK_CLIENT_SRC_THREAD_MARKS_H_

#include <atomic>
#include <cstdint>

namespace penstock::internal {

// One for each thread, written by that thread alone.
struct ThreadMark {
  static constexpr uintptr_t kNone = 0;
  static constexpr uintptr_t kAny = 1;  // some session: it is about to find out which

  // Gets and releases that end at once. They may happen within another call, hence a word of
  // their own; which session they are in is not worth a store.
  void EnterFast() {
    in_fast.store(1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // FenceAllThreads does the rest
  }
  // Release: what the call did comes before what follows when the mark is seen gone.
  void LeaveFast() {
    in_fast.store(0, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // before a look whether a look is due
  }
  // All others. `session`: a Session's address, kAny, or what was there before.
  void Enter(uintptr_t session) {
    in_session.store(session, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  void Leave(uintptr_t before) {
    in_session.store(before, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  uint32_t fork_generation = 0;  // in which it was registered; 0: not looked at
  std::atomic<uint32_t> in_fast{0};
  std::atomic<uintptr_t> in_session{kNone};
  bool thread_ends = false;
  ThreadMark* next = nullptr;  // under the registry's lock
  ThreadMark* previous = nullptr;
};

// Initial-exec: one instruction instead of a call where the library is in a shared object.
extern constinit thread_local ThreadMark t_mark [[gnu::tls_model("initial-exec")]];

inline bool ThisThreadIsRegistered(uint32_t fork_generation) {
  return t_mark.fork_generation == fork_generation;
}
// From now on others see this thread's mark, until the thread ends.
void RegisterThread();
// For a thread whose thread_local objects are being destroyed: nothing would do it later.
void UnregisterThread();
// In the child of a fork, which has one thread.
void ForgetOtherThreads();

// Whatever a thread has stored before this returns, in its program's order, is seen after it.
// False: this kernel cannot (seccomp may forbid it).
bool FenceAllThreads();
// Once in a process. With more than one thread it takes some 10 ms, in which nobody should wait.
void PrepareFence();

// Whether each thread was seen outside of `session` (an address) at some moment of this call. Call
// after FenceAllThreads. kSome: a thread in a get or release is given a moment, and the processor.
enum class Patience { kNone, kSome };
bool EachThreadWasOutside(uintptr_t session, Patience patience);

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_THREAD_MARKS_H_
