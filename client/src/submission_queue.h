// SubmissionQueue: the client's ring towards the daemon, shared by the process's threads.
#ifndef PENSTOCK_CLIENT_SRC_SUBMISSION_QUEUE_H_
#define PENSTOCK_CLIENT_SRC_SUBMISSION_QUEUE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "store/base/spin_lock.h"
#include "store/shm/index_segment.h"
#include "store/shm/parking.h"
#include "store/shm/session_segment.h"

namespace penstock::internal {

// A sealed object that the daemon may not have published yet.
struct Unpublished {
  uint32_t slot = 0;
  uint64_t generation = 0;
  uint64_t offset = 0;
  uint64_t size = 0;
  uint32_t metadata_size = 0;
  uint32_t type_tag = 0;
};

enum class Bell { kRing, kQuiet };

// Thread safety: every call from any thread.
class SubmissionQueue {
 public:
  // `socket`: the session's, whose other end is closed when there will be no daemon any more.
  SubmissionQueue(const SessionSegments& segments, const IndexHeader* index,
                  int daemon_doorbell, int socket, const std::atomic<bool>* dead)
      : producer_(segments.MakeSubmissionProducer()), index_(index),
        daemon_doorbell_(daemon_doorbell), socket_(socket),
        revoked_(&segments.daemon->revoked), unwatched_(&segments.daemon->unwatched),
        dead_(dead) {}

  // A call that has a deadline does not wait here: PushSome, PushOrOwe.
  // Publishes the record and wakes a sleeping daemon (kQuiet: only if it does not look at this
  // ring any more, so that others' business does not wait for ours). Waits
  // while the ring is full. False when the session is dead, also before anybody else knows:
  // the thread that is to notice may be the one that waits.
  bool Push(const Submission& record, Bell bell = Bell::kRing) {
    return PushMany({&record, 1}, {}, bell);
  }
  // A seal; `offset` is kept so that this process reads its own write at once.
  bool PushSeal(const Submission& record, uint64_t offset) {
    return PushMany({&record, 1}, {&offset, 1}, Bell::kRing);
  }
  // All, in parts where the ring has no room for them at once; what other threads push may come
  // between the parts. `offsets`: one for each record, or none at all.
  bool PushMany(std::span<const Submission> records, std::span<const uint64_t> offsets,
                Bell bell);

  // As many of the first ones as there is room for: how many. Never waits.
  size_t PushSome(std::span<const Submission> records);
  // Now, or before the next record that is pushed when there is no room: a word that only spares
  // the daemon work. Never waits.
  void PushOrOwe(const Submission& record);
  // What is owed, as far as there is room. Costs a look at a flag where nothing is.
  void PayIfOwed() {
    if (!is_any_owed_.load(std::memory_order_relaxed)) [[likely]] return;
    PushSome({});
  }
  // Whether the daemon takes nothing from this ring any more: there is none, or it has ended the
  // session. Costs a system call.
  bool IsTakenNoMore() const;

  // A delete of what this process sealed a moment ago: where the seal is among the last few
  // records, the delete follows it, and nothing of the index is looked at, whose lines the
  // daemon is just writing. kNotFound: look in the index.
  enum class OwnDelete { kPushed, kNotFound };
  OwnDelete PushDeleteOfNewest(const ObjectId& id);

  // Wakes the daemon if it sleeps, and has it look at this ring if it does not.
  void RingIfParked() {
    // SYNC S1 parking, producer's half: our publication was a full fence.
    if (RingIfUnwatched()) return;
    rings_.RingOnce(index_->parked, [this] { Ring(); });
  }
  void Ring() { RingDoorbell(daemon_doorbell_); }

  // This process's own seal of `id`, if the daemon may not have taken it yet.
  std::optional<Unpublished> FindUnpublished(const ObjectId& id);

  // Records that the daemon has taken so far.
  uint64_t taken() {
    const std::lock_guard lock(lock_);
    return producer_.LoadHead();
  }
  // Seals and deletes pushed so far.
  uint64_t changes() {
    const std::lock_guard lock(lock_);
    return changes_;
  }
  // Leases that ended by a seal or were given back.
  uint64_t ended_leases() {
    const std::lock_guard lock(lock_);
    return ended_leases_;
  }

 private:
  // True: there is no more to do, this bell wakes the daemon too.
  bool RingIfUnwatched() {
    return unwatched_rings_.RingOnce(*unwatched_, [this] { Ring(); });
  }
  // With the lock held.
  size_t Write(std::span<const Submission> records, std::span<const uint64_t> offsets);
  void PayOwed();
  std::optional<Unpublished> Find(const ObjectId& id, uint64_t most_records);

  SpinLock lock_;  // guards what follows
  SubmissionProducer producer_;
  std::array<uint64_t, kSubmissionEntries> offsets_{};  // of the seals in the ring
  std::vector<Submission> owed_;  // as many as there were leases and unanswered requests at most
  std::atomic<bool> is_any_owed_{false};  // a copy, for a look without the lock
  uint64_t ended_leases_ = 0;
  uint64_t changes_ = 0;

  RingMemory rings_;            // by index_->parked
  RingMemory unwatched_rings_;  // by *unwatched_
  const IndexHeader* const index_;
  const int daemon_doorbell_;
  const int socket_;
  const std::atomic<uint32_t>* const revoked_;
  const ParkedFlag* const unwatched_;
  const std::atomic<bool>* const dead_;
};

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_SUBMISSION_QUEUE_H_
