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

bool SubmissionQueue::IsTakenNoMore() const {
  if (revoked_->load(std::memory_order_relaxed) != 0) return true;
  pollfd item{socket_, 0, 0};
  return poll(&item, 1, 0) > 0 && (item.revents & POLLHUP) != 0;
}

// As many as there is room for, after what is owed. How many.
size_t SubmissionQueue::Write(std::span<const Submission> records,
                              std::span<const uint64_t> offsets) {
  const uint64_t before = producer_.tail();
  if (!owed_.empty()) [[unlikely]] PayOwed();
  size_t count = 0;
  for (; count < records.size() && producer_.HasRoom(); ++count) {
    const Submission& record = records[count];
    if (record.op == SubmissionOp::kSeal) {
      offsets_[producer_.tail() % kSubmissionEntries] = offsets[count];
    }
    ended_leases_ += record.op == SubmissionOp::kSeal || record.op == SubmissionOp::kReturnLease;
    changes_ += record.op == SubmissionOp::kSeal || record.op == SubmissionOp::kDelete ||
                record.op == SubmissionOp::kDeleteById;
    producer_.Write(record);
  }
  // Not where the ring is full: the daemon that is to make room reads this line.
  if (producer_.tail() == before) return 0;
  PENSTOCK_CRASH_POINT(kClientRecordWritten);
  producer_.Publish();
  PENSTOCK_CRASH_POINT(kClientRecordPublished);
  return count;
}

void SubmissionQueue::PayOwed() {
  size_t paid = 0;
  for (; paid < owed_.size() && producer_.HasRoom(); ++paid) producer_.Write(owed_[paid]);
  owed_.erase(owed_.begin(), owed_.begin() + static_cast<ptrdiff_t>(paid));
  is_any_owed_.store(!owed_.empty(), std::memory_order_relaxed);
}

size_t SubmissionQueue::PushSome(std::span<const Submission> records) {
  size_t count;
  {
    const std::lock_guard lock(lock_);
    count = Write(records, {});
  }
  RingIfParked();
  return count;
}

void SubmissionQueue::PushOrOwe(const Submission& record) {
  {
    const std::lock_guard lock(lock_);
    if (Write({&record, 1}, {}) == 0) {
      owed_.push_back(record);
      is_any_owed_.store(true, std::memory_order_relaxed);
      ended_leases_ += record.op == SubmissionOp::kReturnLease;
    }
  }
  RingIfParked();
}

// Waits for room without the lock: a thread with a deadline comes by meanwhile.
bool SubmissionQueue::PushMany(std::span<const Submission> records,
                               std::span<const uint64_t> offsets, Bell bell) {
  for (int waits = 0;; ++waits) {
    size_t count;
    {
      const std::lock_guard lock(lock_);
      count = Write(records, offsets);
    }
    records = records.subspan(count);
    if (!offsets.empty()) offsets = offsets.subspan(count);
    if (records.empty()) break;
    RingIfParked();
    const bool is_dead = dead_->load(std::memory_order_relaxed);
    if (is_dead || (waits >= kYieldsBeforeNap && IsTakenNoMore())) {
      // A lease ends with this call also when the session is dead.
      const std::lock_guard lock(lock_);
      for (const Submission& record : records) {
        ended_leases_ +=
            record.op == SubmissionOp::kSeal || record.op == SubmissionOp::kReturnLease;
      }
      return false;
    }
    if (waits < kYieldsBeforeNap) {
      sched_yield();
    } else {
      nanosleep(&kNap, nullptr);
    }
  }
  if (bell == Bell::kRing) {
    RingIfParked();
  } else {
    RingIfUnwatched();
  }
  return true;
}

SubmissionQueue::OwnDelete SubmissionQueue::PushDeleteOfNewest(const ObjectId& id) {
  Submission record{};
  record.op = SubmissionOp::kDelete;
  record.id = id;
  bool is_written;
  {
    const std::lock_guard lock(lock_);
    const std::optional<Unpublished> own = Find(id, kNewest);
    if (!own) return OwnDelete::kNotFound;
    record.slot = own->slot;
    record.generation = own->generation;
    is_written = Write({&record, 1}, {}) > 0;
  }
  if (is_written) {
    RingIfParked();
    return OwnDelete::kPushed;
  }
  // The ring is full: as everybody else. The generation makes it safe, however long that takes.
  return PushMany({&record, 1}, {}, Bell::kRing) ? OwnDelete::kPushed : OwnDelete::kNotFound;
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
