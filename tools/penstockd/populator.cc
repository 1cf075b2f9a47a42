// The background threads that populate and collapse.
#include "tools/penstockd/populator.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <system_error>

#include "store/base/units.h"
#include "store/shm/huge_pages.h"
#include "store/shm/parking.h"

namespace penstock {
namespace {

// Small enough that the first client has room within milliseconds.
constexpr uint64_t kFirstStepBytes = 8 * kMiB;
constexpr uint64_t kStepBytes = 32 * kMiB;
constexpr uint64_t kSmallPageBytes = 4096;
constexpr int kRetries = 40;
constexpr auto kRetryPause = std::chrono::milliseconds(250);
constexpr unsigned kMostThreads = 4;

}  // namespace

Populator::Populator(PopulatorTarget arena, PopulatorTarget index, bool collapse,
                     bool pages_are_huge, int notify_fd, std::vector<ExtentEntry> ready)
    : arena_(arena), index_(index), collapse_(collapse), pages_are_huge_(pages_are_huge),
      notify_fd_(notify_fd), ready_before_(std::move(ready)) {}

Populator::~Populator() {
  stop_.store(true, std::memory_order_relaxed);
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Populator::Start() {
  thread_ = std::thread([this] { Run(); });
}

std::vector<std::pair<uint64_t, uint64_t>> Populator::TakeReady() {
  const std::lock_guard lock(mutex_);
  return std::exchange(ready_, {});
}

PopulatorProgress Populator::Progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

void Populator::SetNote(std::string note) {
  const std::lock_guard lock(mutex_);
  progress_.note = std::move(note);
}

bool Populator::Populate(const PopulatorTarget& target, uint64_t offset, uint64_t bytes) {
  const absl::Status status = PopulatePages(target.file->fd(), offset, bytes);
  if (!status.ok()) SetNote("population stopped: " + std::string(status.message()));
  return status.ok();
}

// Makes the bytes present, in huge pages where they can be had. `huge`: how many are.
//
// A range with one page in it collapses into a huge page at once, the holes filled with
// zeros: clearing 512 small pages first, only to copy them, takes eight times as long
// (docs/decisions/0009). Where it does not collapse, the small pages are made after all.
bool Populator::Fill(const PopulatorTarget& target, uint64_t offset, uint64_t bytes,
                     uint64_t& huge) {
  huge = 0;
  if (pages_are_huge_ && &target == &arena_) {
    huge = bytes;
    return Populate(target, offset, bytes);
  }
  for (uint64_t at = offset; at < offset + bytes; at += kHugePageBytes) {
    const uint64_t part = std::min(kHugePageBytes, offset + bytes - at);
    if (collapse_ && part == kHugePageBytes) {
      if (!Populate(target, at, kSmallPageBytes)) return false;
      if (Collapse(target, at)) {
        huge += part;
        continue;
      }
    }
    if (!Populate(target, at, part)) return false;
  }
  return true;
}

// One huge page's range; false when it stays in small pages for now.
bool Populator::Collapse(const PopulatorTarget& target, uint64_t offset) {
  const absl::Status status = CollapsePages(target.mapping->data() + offset, kHugePageBytes);
  if (status.ok()) return true;
  if (absl::IsUnimplemented(status)) {
    collapse_ = false;
    SetNote("4 KiB pages only: " + std::string(status.message()));
  } else {
    const std::lock_guard lock(mutex_);
    failed_.emplace_back(&target, offset);
  }
  return false;
}

// Steps are the same in every daemon, so one is ready as a whole or not at all.
bool Populator::WasReady(uint64_t offset) const {
  return std::any_of(ready_before_.begin(), ready_before_.end(), [&](const ExtentEntry& e) {
    return offset >= e.offset && offset < e.offset + e.bytes;
  });
}

// False when there is nothing left to do.
bool Populator::PopulateNextStep() {
  uint64_t offset, step;
  {
    const std::lock_guard lock(mutex_);
    const uint64_t left = arena_.file->bytes() - next_offset_;
    if (left == 0 || out_of_memory_ || stopping()) return false;
    offset = next_offset_;
    step = std::min(offset == 0 ? kFirstStepBytes : kStepBytes, left);
    next_offset_ += step;
  }
  uint64_t huge = 0;
  const bool made = Fill(arena_, offset, step, huge);
  {
    const std::lock_guard lock(mutex_);
    if (!made) {
      out_of_memory_ = true;
      return false;
    }
    if (!WasReady(offset)) ready_.emplace_back(offset, step);
    progress_.populated_bytes += step;
    progress_.huge_bytes += huge;
  }
  RingDoorbell(notify_fd_);
  return true;
}

void Populator::PopulateArena() {
  while (PopulateNextStep()) {
  }
}

void Populator::PopulateIndex() {
  const uint64_t index_bytes = index_.file->bytes();
  for (uint64_t at = 0; at < index_bytes && !stopping(); at += kStepBytes) {
    const uint64_t part = std::min(kStepBytes, index_bytes - at);
    uint64_t index_huge = 0;
    if (!Fill(index_, at, part, index_huge)) return;
    const std::lock_guard lock(mutex_);
    progress_.index_huge_bytes += index_huge;
  }
}

void Populator::Run() {
  // Beside clients that have work to do, this thread and those it starts wait.
  setpriority(PRIO_PROCESS, 0, 10);
  // The index after the first extent, so that nobody waits for it: look-ups work on any pages.
  if (PopulateNextStep()) {
    std::vector<std::thread> helpers;
    const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreads);
    try {
      for (unsigned i = 1; i < threads; ++i) helpers.emplace_back([this] { PopulateArena(); });
    } catch (const std::system_error&) {
      // A limit on threads: those that there are do all of it.
    }
    PopulateIndex();
    PopulateArena();
    for (std::thread& helper : helpers) helper.join();
  }
  {
    const std::lock_guard lock(mutex_);
    progress_.done = true;
  }
  RingDoorbell(notify_fd_);
  RetryCollapse();
}

// The helpers have ended.
void Populator::RetryCollapse() {
  for (int i = 0; i < kRetries && !failed_.empty() && collapse_ && !stopping(); ++i) {
    std::vector<std::pair<const PopulatorTarget*, uint64_t>> again;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, kRetryPause, [this] { return stopping(); });
      again = std::exchange(failed_, {});
    }
    for (const auto& [target, offset] : again) {
      const uint64_t huge = Collapse(*target, offset) ? kHugePageBytes : 0;
      const std::lock_guard lock(mutex_);
      (target == &arena_ ? progress_.huge_bytes : progress_.index_huge_bytes) += huge;
    }
  }
  if (!failed_.empty() && collapse_) {
    SetNote(std::to_string(failed_.size()) + " ranges of 2 MiB stay in 4 KiB pages: the "
            "host has no free huge pages just now");
  }
}

}  // namespace penstock
