// Session: its end. When its client opens another, or is gone, views and builders of it may still
// be about, and threads in calls.
#include <unistd.h>

#include <utility>

#include "client/src/clock.h"
#include "client/src/session.h"

namespace penstock::internal {
namespace {

// Where the kernel has no fence for all threads: by then a processor has long shown a store.
constexpr int64_t kStoreIsSeen_ns = 1'000'000'000;

}  // namespace

// In this order:
// 1. The client's next session is in use, and the fence is behind. A get that is in this one shows
//    its mark, and one that begins now cannot get here: each thread seen outside once, no view can
//    come any more but by what a builder becomes.
// 2. No builder, then (a builder may have become a view) no pin: no thread has a way in.
// 3. But the thread that let the last of them go may still be about to look at its slot. It was
//    marked before it let go, and what we saw of that shows us its mark. Each thread seen outside
//    again.
Session::Rest Session::WhatKeepsIt(Patience patience) {
  const auto self = reinterpret_cast<uintptr_t>(this);
  const auto fence = [this](bool& done) {
    if (std::exchange(done, true)) return;
    no_getters_ = false;
    marks_count_from_ns_ = FenceAllThreads() ? 0 : NowNs() + kStoreIsSeen_ns;
  };
  fence(fenced_);
  // After it: the thread that lets this session die from now on sees that it is retired (Die).
  const bool is_dead = dead_.load(std::memory_order_acquire);
  if (is_dead) fence(fenced_when_dead_);
  if (!no_getters_) {
    if (marks_count_from_ns_ > 0 && NowNs() < marks_count_from_ns_) return Rest::kThreads;
    if (!EachThreadWasOutside(self, patience)) return Rest::kThreads;
    no_getters_ = true;
  }
  if (is_dead && !is_shed_) Shed();
  const std::unique_lock settled(returning_, std::try_to_lock);
  if (!settled.owns_lock()) return Rest::kThreads;
  if (OpenBuilders() != 0) {
    first_pinned_ = 0;
    witness_.store(kNoSlot, std::memory_order_seq_cst);
    return Rest::kHandles;
  }
  if (is_shed_) arena_writable_ = Mapping();
  if (HasPins()) return Rest::kHandles;
  return EachThreadWasOutside(self, patience) ? Rest::kNothing : Rest::kThreads;
}

// With no thread in it that may have found it alive. What is left is what a view reads (the arena,
// the index), where its release is counted (the row), and what a builder writes.
void Session::Shed() {
  is_shed_ = true;
  if (watcher_.joinable()) watcher_.join();  // it said that this session is dead, and ends
  builders_when_shed_ = leases_->taken() - submissions_->ended_leases();
  completions_.reset();
  submissions_.reset();
  leases_.reset();
  revoked_ = nullptr;
  segments_.daemon = nullptr;
  daemon_mapping_ = Mapping();
  for (UniqueFd* const fd : Descriptors()) fd->reset();
}

void Session::CloseInherited() {
  const std::array<UniqueFd*, 4> descriptors = Descriptors();
  for (size_t i = 0; i < descriptors.size(); ++i) {
    UniqueFd inherited(descriptors[i]->release());
    if (!marks_[i].IsStill(inherited.get())) inherited.release();
  }
}

// Leases that builders took and have not ended.
uint64_t Session::OpenBuilders() {
  const uint64_t ended_when_dead = ended_when_dead_.load(std::memory_order_acquire);
  if (is_shed_) return builders_when_shed_ - ended_when_dead;
  return leases_->taken() - submissions_->ended_leases() - ended_when_dead;
}

// All looks at a retired session together pass each slot once.
bool Session::HasPins() {
  while (first_pinned_ < index_.capacity()) {
    const uint32_t page = first_pinned_ / kPinsPerPage;
    const uint64_t word = segments_.bitmap[page / 64].load(std::memory_order_relaxed);
    if (((word >> (page % 64)) & 1) == 0) {
      first_pinned_ = (page + 1) * kPinsPerPage;
    } else if (pins_.Count(first_pinned_) == 0) {
      ++first_pinned_;
    } else {
      // The thread that lets its last pin go looks at this next: at least one of us sees the
      // other.
      witness_.store(first_pinned_, std::memory_order_seq_cst);
      if (pins_.Count(first_pinned_) != 0) return true;
    }
  }
  return false;
}

void Session::ReturnLease(const Builder& builder) {
  if (dead_.load(std::memory_order_acquire)) {
    ended_when_dead_.fetch_add(1, std::memory_order_release);
    return;
  }
  Submission record{};
  record.op = SubmissionOp::kReturnLease;
  record.slot = builder.lease_.slot;
  record.generation = builder.lease_.generation;
  submissions_->Push(record);
}

Session::~Session() {
  if (!FromThisProcess()) {
    // A child: the thread and most mappings are the parent's. Nothing to undo.
    if (watcher_.joinable()) watcher_.detach();
    return;
  }
  if (watcher_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t ignored = write(stop_watching_.get(), &one, sizeof(one));
    watcher_.join();
  }
  if (socket_.valid() && !dead_.load(std::memory_order_relaxed)) {
    if (segments_.client != nullptr) {
      segments_.client->use.store(kClosed, std::memory_order_release);
    }
    [[maybe_unused]] const absl::Status ignored =
        SendPacket(socket_.get(), GoodbyeMessage());
  }
}

}  // namespace penstock::internal
