// Waiting for completions and handing them out.
#include "client/src/completion_queue.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "client/src/clock.h"
#include "store/shm/parking.h"

namespace penstock::internal {
namespace {

constexpr int64_t kMostSpin_ns = 100'000;  // what a wake-up costs sleeper and waker

constexpr timespec kNap{0, 50'000};

Submission CancelOf(const Submission& asked) {
  Submission cancel{};
  cancel.op = SubmissionOp::kCancel;
  cancel.request = asked.request;
  return cancel;
}

}  // namespace

CompletionQueue::CompletionQueue(const SessionSegments& segments, int own_doorbell,
                                 SubmissionQueue* submissions, LeaseCache* leases,
                                 const std::atomic<bool>* dead)
    : client_(segments.client), daemon_(segments.daemon), own_doorbell_(own_doorbell),
      submissions_(submissions), leases_(leases), dead_(dead),
      consumer_(segments.MakeCompletionConsumer()), taken_(0), spin_(kMostSpin_ns) {}

PendingCall::~PendingCall() {
  if (queue != nullptr) queue->PutAway(*this);
}

void CompletionQueue::PutAway(PendingCall& call) {
  bool is_unanswered;
  {
    const std::lock_guard lock(mutex_);  // a leader may be about to say that it is ready
    is_unanswered = call.remaining > 0;
  }
  if (is_unanswered) Cancel(call);
  for (const Completion& answer : call.results) PutAway(answer);
}

// Answered after its asker had given up.
void CompletionQueue::PutAway(const Completion& answer) {
  Submission record{};
  if (answer.op == CompletionOp::kObject) {  // drop the daemon's hold
    record.op = SubmissionOp::kConfirm;
    record.slot = answer.object.slot;
    record.generation = answer.object.generation;
    record.flags_or_count = answer.count;
  } else if (answer.op == CompletionOp::kGrant && answer.count > 0) {
    record.op = SubmissionOp::kReturnLease;
    record.slot = answer.grant.leases[0].slot();
    record.generation = answer.grant.leases[0].generation;
    leases_->CountTaken();
  } else {
    return;
  }
  submissions_->PushOrOwe(record);
}

void CompletionQueue::Register(PendingCall& call) {
  const std::lock_guard lock(mutex_);
  call.queue = this;
  for (size_t i = 0; i < call.records.size(); ++i) {
    // Never 0, and never one that is still unanswered after 2^32 others.
    while (next_request_ == 0 || targets_.contains(next_request_)) ++next_request_;
    call.records[i].request = next_request_;
    targets_[next_request_++] = {&call, i};
  }
}

bool CompletionQueue::Wait(PendingCall& call, int64_t deadline_ns) {
  return WaitUntil(call.ready, deadline_ns, [&call] { return call.remaining == 0; });
}

void CompletionQueue::Cancel(PendingCall& call) {
  for (const Submission& cancel : CancelsOf(call, 0).silent) submissions_->PushOrOwe(cancel);
}

bool CompletionQueue::TakeLastWords(PendingCall& call, int64_t until_ns) {
  const Cancels cancels = CancelsOf(call, kMostLastWords);
  PushSoon(cancels.with_last_word, until_ns);
  for (const Submission& cancel : cancels.silent) submissions_->PushOrOwe(cancel);
  if (Wait(call, until_ns)) return true;
  Cancel(call);
  return false;
}

// Of what is unanswered. Without a last word to wait for it is nobody's request from then on.
CompletionQueue::Cancels CompletionQueue::CancelsOf(PendingCall& call, size_t most_last_words) {
  Cancels cancels;
  const std::lock_guard lock(mutex_);
  call.wants_last_word = most_last_words > 0;
  // A successor of the daemon may have been asked what was never pushed by us.
  const size_t known = call.asked_again ? call.records.size() : call.pushed;
  for (size_t i = 0; i < call.records.size(); ++i) {
    const uint32_t request = call.records[i].request;
    if (!targets_.contains(request)) continue;
    if (i < known && cancels.with_last_word.size() < most_last_words) {
      cancels.with_last_word.push_back(CancelOf(call.records[i]));
      continue;
    }
    targets_.erase(request);
    --call.remaining;
    if (i >= known) continue;
    // One record for a run of numbers, which the daemon answers nothing to.
    std::vector<Submission>& silent = cancels.silent;
    if (!silent.empty() && request == silent.back().request + silent.back().flags_or_count) {
      ++silent.back().flags_or_count;
      continue;
    }
    silent.push_back(CancelOf(call.records[i]));
    silent.back().flags_or_count = 1;
  }
  return cancels;
}

// The caller waits for what is said to them: a ring that is full is waited for as long.
void CompletionQueue::PushSoon(std::span<const Submission> records, int64_t until_ns) {
  while (!records.empty() && !Dead() && NowNs() < until_ns) {
    const size_t count = submissions_->PushSome(records);
    records = records.subspan(count);
    if (count > 0) continue;
    DrainIfReady();
    nanosleep(&kNap, nullptr);
  }
}

void CompletionQueue::AskAgain() {
  std::vector<Submission> records;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [request, target] : targets_) {
      target.call->asked_again = true;
      records.push_back(target.call->records[target.index]);
      if (target.call->wants_last_word) records.push_back(CancelOf(records.back()));
    }
  }
  // In the order in which they were asked first; a request before its cancellation. (Not
  // std::stable_sort: its buffer knows nothing of a record's alignment.)
  std::sort(records.begin(), records.end(), [](const Submission& a, const Submission& b) {
    const auto later = static_cast<int32_t>(a.request - b.request);
    return later != 0 ? later < 0
                      : a.op != SubmissionOp::kCancel && b.op == SubmissionOp::kCancel;
  });
  for (const Submission& record : records) submissions_->PushOrOwe(record);
}

class CompletionQueue::Lead {
 public:
  Lead(CompletionQueue* queue, std::unique_lock<std::mutex>* lock) : queue_(queue), lock_(lock) {
    queue_->leading_ = true;
    lock_->unlock();
  }
  ~Lead() {
    if (!lock_->owns_lock()) lock_->lock();  // cancelled while it looked
    queue_->leading_ = false;
  }
  Lead(const Lead&) = delete;
  Lead& operator=(const Lead&) = delete;

 private:
  CompletionQueue* const queue_;
  std::unique_lock<std::mutex>* const lock_;
};

class CompletionQueue::Place {
 public:
  Place(CompletionQueue* queue, std::condition_variable* own)
      : queue_(queue), place_(queue->followers_.insert(queue->followers_.end(), own)) {}
  ~Place() { queue_->followers_.erase(place_); }  // with the lock held, as a wait ends
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  CompletionQueue* const queue_;
  const std::list<std::condition_variable*>::iterator place_;
};

// Whoever leaves while nobody leads makes a follower look. Made and gone with the lock held.
class CompletionQueue::Exit {
 public:
  explicit Exit(CompletionQueue* queue) : queue_(queue) {}
  ~Exit() {
    if (!queue_->leading_ && !queue_->followers_.empty()) {
      queue_->followers_.front()->notify_one();
    }
  }
  Exit(const Exit&) = delete;
  Exit& operator=(const Exit&) = delete;

 private:
  CompletionQueue* const queue_;
};

template <typename Done>
bool CompletionQueue::WaitUntil(std::condition_variable& own, int64_t deadline_ns,
                                Done&& done) {
  std::unique_lock lock(mutex_);
  const Exit exit(this);
  while (!done()) {
    if (Dead()) return false;
    if (!leading_) {
      bool in_time;
      {
        const Lead lead(this, &lock);
        in_time = Look(deadline_ns);
        lock.lock();
        Drain();
      }
      if (!in_time && !done()) break;
      continue;
    }
    const Place place(this, &own);
    bool in_time = true;
    if (deadline_ns == kNever) {
      own.wait(lock);
    } else {
      using Clock = std::chrono::steady_clock;
      const Clock::time_point until{std::chrono::nanoseconds(deadline_ns)};
      in_time = own.wait_until(lock, until) != std::cv_status::timeout;
    }
    if (!in_time && !done()) break;
  }
  return done();
}

bool CompletionQueue::RingHasWork() const {
  // Seq_cst: after Park this is the second look of SYNC S1 parking.
  return daemon_->completion_tail.load(std::memory_order_seq_cst) !=
         taken_.load(std::memory_order_relaxed);
}

// The leader looks at the ring: spins, then sleeps. False when the deadline has passed.
bool CompletionQueue::Look(int64_t deadline_ns) {
  if (SpinFor(spin_, [this] { return RingHasWork(); })) return true;
  bool in_time = true;
  // SYNC S1 parking, consumer's half.
  parker_.Park(client_->parked);
  if (!RingHasWork() && !Dead()) {
    int64_t timeout_ns = -1;
    if (deadline_ns != kNever) timeout_ns = std::max<int64_t>(0, deadline_ns - NowNs());
    in_time = SleepOnDoorbell(own_doorbell_, timeout_ns);
  }
  Parker::Unpark(client_->parked);
  return in_time || RingHasWork();
}

void CompletionQueue::DrainIfReady() {
  if (!RingHasWork()) return;
  const std::lock_guard lock(mutex_);
  if (!leading_) Drain();
}

// With mutex_ held, by the leader or while nobody leads.
void CompletionQueue::Drain() {
  submissions_->PayIfOwed();
  const uint32_t available = consumer_.Available().value_or(0);
  if (available == 0) return;
  const size_t events_before = events_.size() + events_lost_;
  for (uint32_t i = 0; i < available; ++i) Dispatch(consumer_.Take());
  if (events_.size() + events_lost_ != events_before) {
    // One of the followers may wait for events; which one is not worth knowing.
    for (std::condition_variable* follower : followers_) follower->notify_one();
  }
  taken_.store(consumer_.head(), std::memory_order_relaxed);
  // SYNC S1: room made (a full fence), then a look whether the daemon waits for it.
  consumer_.PublishHeadFenced();
  if (daemon_->backlogged.load(std::memory_order_seq_cst) != 0) submissions_->Ring();
}

void CompletionQueue::Dispatch(const Completion& completion) {
  if (completion.op == CompletionOp::kEvent || completion.op == CompletionOp::kEventsLost) {
    TakeEvent(completion);
    return;
  }
  if (completion.op == CompletionOp::kSealRefused) {
    if (refused_seals_.count++ == 0) refused_seals_.first = completion.object.id;
    return;
  }
  const auto found = completion.request == 0 ? targets_.end()
                                             : targets_.find(completion.request);
  const bool awaited = found != targets_.end();
  if (completion.op == CompletionOp::kGrant) {
    // Good only for an id whose creator has given up.
    if (completion.for_reserved_id != 0 && !awaited) return PutAway(completion);
    TakeGrant(completion, awaited ? 1 : 0);
  }
  if (awaited) {
    const Target target = found->second;
    targets_.erase(found);
    target.call->results[target.index] = completion;
    if (--target.call->remaining == 0) target.call->ready.notify_one();
  } else if (completion.op == CompletionOp::kObject) {
    PutAway(completion);
  }
}

// Leases from `first` on go to the magazines.
void CompletionQueue::TakeGrant(const Completion& grant, uint32_t first) {
  if (first > 0) leases_->Granted(grant.grant.block_bytes);
  for (uint32_t i = first; i < grant.count && i < kLeasesPerGrant; ++i) {
    const GrantedLease& lease = grant.grant.leases[i];
    leases_->Add(grant.grant.block_bytes,
                 HeldLease{lease.generation, lease.offset(), lease.slot()});
  }
}

void CompletionQueue::TakeEvent(const Completion& completion) {
  if (completion.op == CompletionOp::kEventsLost) {
    events_lost_ += completion.detail[0];
  } else if (events_.size() >= kMostEvents || events_lost_ > 0 || lost_uncounted_) {
    ++events_lost_;
  } else {
    events_.push_back({completion.count == 1   ? Event::Kind::kSealed
                       : completion.count == 2 ? Event::Kind::kDeleted
                                               : Event::Kind::kEvicted,
                       completion.object.id, completion.object.size, 0});
  }
}

bool CompletionQueue::NextEvent(int64_t deadline_ns, Event* event) {
  std::condition_variable ready;
  const bool came = WaitUntil(ready, deadline_ns, [this] {
    return !events_.empty() || events_lost_ > 0 || lost_uncounted_;
  });
  if (!came) return false;
  const std::lock_guard lock(mutex_);
  if (!events_.empty()) {
    *event = events_.front();
    events_.pop_front();
    return true;
  }
  // The lost ones stood after all that were kept.
  if (events_lost_ == 0 && !lost_uncounted_) return false;  // another thread was faster
  *event = Event{Event::Kind::kLost, ObjectId{}, 0, lost_uncounted_ ? 0 : events_lost_};
  events_lost_ = 0;
  lost_uncounted_ = false;
  return true;
}

void CompletionQueue::ForgetEvents() {
  const std::lock_guard lock(mutex_);
  events_.clear();
  events_lost_ = 0;
  lost_uncounted_ = false;
}

void CompletionQueue::LoseEvents() {
  const std::lock_guard lock(mutex_);
  lost_uncounted_ = true;
  RingDoorbell(own_doorbell_);
  for (std::condition_variable* follower : followers_) follower->notify_one();
}

CompletionQueue::RefusedSeals CompletionQueue::TakeRefusedSeals() {
  const std::lock_guard lock(mutex_);
  return std::exchange(refused_seals_, {});
}

void CompletionQueue::WakeAll() {
  const std::lock_guard lock(mutex_);
  RingDoorbell(own_doorbell_);
  for (std::condition_variable* follower : followers_) follower->notify_one();
}

}  // namespace penstock::internal
