// Pushing submissions, and looking through those not yet taken.
#include "client/src/submission_queue.h"
#include "store/base/crash_point.h"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <mutex>

namespace penstock::internal {
namespace {

constexpr int kYieldsBeforeNap = 200;
constexpr timespec kNap{0, 50'000};
constexpr uint64_t kNewest = 4;  // records

}  // namespace

// The ring is full: the daemon is behind. Called with the lock held; others wait for it.
bool SubmissionQueue::WaitForRoom() {
  producer_.Publish();
  RingIfParked();
  for (int i = 0; !producer_.HasRoom(); ++i) {
    if (dead_->load(std::memory_order_relaxed)) return false;
    if (i < kYieldsBeforeNap) {
      sched_yield();
    } else {
      if (IsTakenNoMore()) return false;
      nanosleep(&kNap, nullptr);
    }
  }
  return true;
}

bool SubmissionQueue::IsTakenNoMore() const {
  if (revoked_->load(std::memory_order_relaxed) != 0) return true;
  pollfd item{socket_, 0, 0};
  return poll(&item, 1, 0) > 0 && (item.revents & POLLHUP) != 0;
}

bool SubmissionQueue::PushMany(std::span<const Submission> records,
                               std::span<const uint64_t> offsets, Bell bell) {
  {
    const std::lock_guard lock(lock_);
    // First, since a lease ends with this call even when the session is dead.
    for (const Submission& record : records) {
      ended_leases_ +=
          record.op == SubmissionOp::kSeal || record.op == SubmissionOp::kReturnLease;
      changes_ += record.op == SubmissionOp::kSeal || record.op == SubmissionOp::kDelete ||
                  record.op == SubmissionOp::kDeleteById;
    }
    for (size_t i = 0; i < records.size(); ++i) {
      if (!producer_.HasRoom() && !WaitForRoom()) return false;
      if (records[i].op == SubmissionOp::kSeal) {
        offsets_[producer_.tail() % kSubmissionEntries] = offsets[i];
      }
      producer_.Write(records[i]);
    }
    PENSTOCK_CRASH_POINT(kClientRecordWritten);
    producer_.Publish();
    PENSTOCK_CRASH_POINT(kClientRecordPublished);
  }
  if (bell == Bell::kRing) {
    RingIfParked();
  } else {
    RingIfUnwatched();
  }
  return true;
}

SubmissionQueue::OwnDelete SubmissionQueue::PushDeleteOfNewest(const ObjectId& id) {
  {
    const std::lock_guard lock(lock_);
    const std::optional<Unpublished> own = Find(id, kNewest);
    if (!own) return OwnDelete::kNotFound;
    if (!producer_.HasRoom() && !WaitForRoom()) return OwnDelete::kDead;
    Submission record{};
    record.op = SubmissionOp::kDelete;
    record.slot = own->slot;
    record.generation = own->generation;
    record.id = id;
    producer_.Write(record);
    producer_.Publish();
    ++changes_;
  }
  RingIfParked();
  return OwnDelete::kPushed;
}

std::optional<Unpublished> SubmissionQueue::FindUnpublished(const ObjectId& id) {
  const std::lock_guard lock(lock_);
  return Find(id, kSubmissionEntries);
}

std::optional<Unpublished> SubmissionQueue::Find(const ObjectId& id, uint64_t most_records) {
  // The daemon publishes its head after it has published the objects, so what lies before
  // the head is in the index or gone. Newest first: that is what is asked for.
  const uint64_t head = producer_.LoadHead();
  const uint64_t tail = producer_.tail();
  if (tail - head > kSubmissionEntries) return std::nullopt;  // not a head we believe
  const uint64_t oldest = std::max(head, tail - std::min(tail, most_records));
  for (uint64_t at = tail; at-- > oldest;) {
    const Submission& record = producer_.At(at);
    if (record.op != SubmissionOp::kSeal || record.id != id) continue;
    return Unpublished{record.slot, record.generation, offsets_[at % kSubmissionEntries],
                       record.size, record.metadata_size, record.type_tag};
  }
  return std::nullopt;
}

}  // namespace penstock::internal
