// CompletionQueue: what the daemon says, and the threads that wait for it.
//
// One waiting thread at a time is the leader: it alone reads the ring, spins briefly, then
// sleeps on the process's doorbell. The others sleep on a condition of their own. When the
// leader has its answer, it makes a follower the leader.
#ifndef PENSTOCK_CLIENT_SRC_COMPLETION_QUEUE_H_
#define PENSTOCK_CLIENT_SRC_COMPLETION_QUEUE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <list>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include <penstock/subscription.h>

#include "absl/container/flat_hash_map.h"
#include "client/src/lease_cache.h"
#include "client/src/submission_queue.h"
#include "store/base/spin_budget.h"
#include "store/shm/parking.h"
#include "store/shm/session_segment.h"

namespace penstock::internal {

class CompletionQueue;

// Some requests whose answers one thread waits for. Their records are kept until then, to
// ask the next daemon when one dies. Its end cancels what is unanswered, also when the thread is
// cancelled in the middle of its wait.
class PendingCall {
 public:
  explicit PendingCall(std::vector<Submission> asked)
      : records(std::move(asked)), results(records.size()), remaining(records.size()) {}
  ~PendingCall();
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;

  // Whoever takes an object or a lease answers for it from then on; what is not taken goes back
  // with the call.
  Completion TakeResult(size_t i) { return std::exchange(results[i], Completion{}); }

  std::vector<Submission> records;  // `request` is filled by Register
  std::vector<Completion> results;  // kNone where none came
  size_t remaining;
  size_t pushed = 0;                // of the records: the others are not known to the daemon
  bool wants_last_word = false;     // cancelled, and waits for what the daemon says to that
  bool asked_again = false;
  std::condition_variable ready;
  CompletionQueue* queue = nullptr;  // that it is registered with
};

// How long a call whose deadline has passed waits for the daemon's last word.
inline constexpr int64_t kLastWordPatience_ns = 500'000'000;

// In one call: a daemon says a thousand in less than a millisecond.
inline constexpr size_t kMostLastWords = 1024;

// Thread safety: every call from any thread.
class CompletionQueue {
 public:
  CompletionQueue(const SessionSegments& segments, int own_doorbell,
                  SubmissionQueue* submissions, LeaseCache* leases,
                  const std::atomic<bool>* dead);

  // Numbers the call's records; push those, then Wait.
  void Register(PendingCall& call);
  // Until all answers are there, the deadline (monotonic ns, kNever) has passed, or the
  // session is dead. True: all are there.
  bool Wait(PendingCall& call, int64_t deadline_ns);
  // The caller waits no longer: has the daemon told to forget what is unanswered, and does not wait
  // for that.
  void Cancel(PendingCall& call);
  // The same, and waits until `until_ns` for what the daemon says to it: of each request a
  // cancellation, a refusal, or what was asked for after all. Nothing of what it had not been
  // asked yet, nor of more than kMostLastWords. False: it is silent.
  bool TakeLastWords(PendingCall& call, int64_t until_ns);

  // Another daemon has taken the session over: what is unanswered is asked again. A request
  // that is in the ring still, or whose answer is, comes twice; neither side minds.
  void AskAgain();

  // Takes what is in the ring, if nobody else is at it. Never sleeps.
  void DrainIfReady();

  // The next event of the subscription.
  bool NextEvent(int64_t deadline_ns, Event* event);
  void ForgetEvents();
  // Events happened that nobody counted.
  void LoseEvents();

  // Seals that the daemon did not publish, because an object of their id existed already: how
  // many since this was asked last, and the first.
  struct RefusedSeals {
    uint64_t count = 0;
    ObjectId first;
  };
  RefusedSeals TakeRefusedSeals();

  // The session died: everybody wakes.
  void WakeAll();

 private:
  struct Target {
    PendingCall* call;
    size_t index;
  };

  friend class PendingCall;
  // Of a call that ends: cancels what is unanswered, and gives back what was not taken.
  void PutAway(PendingCall& call);
  void PutAway(const Completion& answer);

  // Of a thread that waits, whatever ends that: its lead, its place, and who looks from then on.
  class Lead;
  class Place;
  class Exit;

  struct Cancels {
    std::vector<Submission> with_last_word;
    std::vector<Submission> silent;
  };
  Cancels CancelsOf(PendingCall& call, size_t most_last_words);
  void PushSoon(std::span<const Submission> records, int64_t until_ns);
  bool Dead() const { return dead_->load(std::memory_order_acquire); }
  // Leads or follows until `done` (under mutex_), the deadline or death.
  template <typename Done>
  bool WaitUntil(std::condition_variable& own, int64_t deadline_ns, Done&& done);
  bool Look(int64_t deadline_ns);
  bool RingHasWork() const;
  void Drain();
  void Dispatch(const Completion& completion);
  void TakeGrant(const Completion& grant, uint32_t first);
  void TakeEvent(const Completion& completion);

  static constexpr size_t kMostEvents = 65536;

  ClientHeader* const client_;
  const DaemonHeader* const daemon_;
  const int own_doorbell_;
  SubmissionQueue* const submissions_;
  LeaseCache* const leases_;
  const std::atomic<bool>* const dead_;

  std::mutex mutex_;  // guards what follows
  absl::flat_hash_map<uint32_t, Target> targets_;
  uint32_t next_request_ = 1;
  bool leading_ = false;
  std::list<std::condition_variable*> followers_;
  std::deque<Event> events_;
  uint64_t events_lost_ = 0;
  bool lost_uncounted_ = false;
  RefusedSeals refused_seals_;

  // The leader's, or under mutex_ while nobody leads.
  CompletionConsumer consumer_;
  std::atomic<uint64_t> taken_;  // consumer_'s position, for a look without the lock
  SpinBudget spin_;
  Parker parker_;
};

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_COMPLETION_QUEUE_H_
