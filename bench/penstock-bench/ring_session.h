// RingSession: a client's session without the library: its two rings and its row of pins, and
// nothing of its own beside them.
//
// For what a benchmark needs thousands of in one process: a session of the library has a thread
// and four descriptors, and its calls that wait take a thread each. The daemon sees the same
// records either way.
#ifndef PENSTOCK_BENCH_RING_SESSION_H_
#define PENSTOCK_BENCH_RING_SESSION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"
#include "store/shm/index_segment.h"
#include "store/shm/mapping.h"
#include "store/shm/parking.h"
#include "store/shm/pin_row.h"
#include "store/shm/session_segment.h"

namespace penstock::bench {

// Thread safety: one thread at a time. Never sleeps: its owner looks for answers.
class RingSession {
 public:
  // Descriptors that one of them takes in its own process, in the daemon's and in the keeper's.
  static constexpr uint32_t kOwnDescriptors = 2;
  static constexpr uint32_t kDaemonDescriptors = 7;

  // `sibling`: another session of the same store, whose mapping of the index serves both.
  static absl::StatusOr<std::unique_ptr<RingSession>> Open(const std::string& dir,
                                                           const RingSession* sibling = nullptr);
  RingSession(const RingSession&) = delete;
  RingSession& operator=(const RingSession&) = delete;

  uint64_t number() const { return number_; }
  const IndexSegment& index() const { return index_; }
  // Ids that this session may seal under.
  ObjectId NextId() { return {incarnation_, number_, next_sequence_++}; }

  // False when the ring is full: publish, and look for answers.
  bool TryWrite(const Submission& record) {
    if (!producer_.HasRoom()) return false;
    producer_.Write(record);
    return true;
  }
  // What was written is the daemon's to read; rings where it sleeps, or does not look here.
  void Publish();
  // Takes what is there and calls visit(completion) for each. How many there were.
  template <typename Visit>
  uint32_t Take(Visit&& visit) {
    const uint32_t count = consumer_.Available().value_or(0);
    for (uint32_t i = 0; i < count; ++i) visit(consumer_.Take());
    if (count > 0) {
      // SYNC S1: a full fence before the look at the daemon's flag.
      consumer_.PublishHeadFenced();
      if (segments_.daemon->backlogged.load(std::memory_order_seq_cst) != 0) {
        RingDoorbell(daemon_doorbell_.get());
      }
    }
    return count;
  }
  // Of one record and its answer, which ends the wait; other completions are dropped.
  absl::StatusOr<Completion> Ask(Submission record);

  // SYNC S2: pins a slot whatever it holds, if that is a sealed object. It stays pinned.
  bool PinSealed(uint32_t slot);
  // SYNC S3: lets it go and says so where the daemon wants to hear it.
  void Unpin(uint32_t slot);
  // The daemon holds the object of this answer for us: takes it over and lets it go. Publish.
  void TakeAndRelease(const Completion& object);

  // The daemon has ended this session.
  bool IsRevoked() const {
    return segments_.daemon->revoked.load(std::memory_order_relaxed) != 0;
  }

 private:
  RingSession() = default;
  void RingIfNeeded();

  UniqueFd socket_;
  UniqueFd daemon_doorbell_;
  std::shared_ptr<const Mapping> index_mapping_;
  Mapping client_mapping_;
  Mapping daemon_mapping_;
  IndexSegment index_;
  SessionSegments segments_;
  SubmissionProducer producer_;
  CompletionConsumer consumer_;
  PinRow pins_;
  RingMemory rung_;            // by the index's `parked`
  RingMemory unwatched_rung_;  // by our segment's `unwatched`
  uint64_t number_ = 0;
  uint64_t incarnation_ = 0;
  uint64_t next_sequence_ = 1;
};

// Raises the limit of open descriptors of this process as far as it goes. What that is.
uint64_t RaiseDescriptorLimit();
// How many sessions one daemon of this host can have: its descriptors are the limit.
uint32_t MostSessionsHere();

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_RING_SESSION_H_
