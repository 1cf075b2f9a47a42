// The background threads that populate and collapse.
#include "tools/penstockd/populator.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <system_error>

#include "store/base/errors.h"
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
constexpr const char* kNoMemoryComes = "memory that was given back does not come again: ";

}  // namespace

Populator::Populator(PopulatorTarget arena, PopulatorTarget index, bool collapse,
                     bool pages_are_huge, int notify_fd, std::vector<ExtentEntry> ready,
                     Allocate allocate)
    : arena_(arena), index_(index), collapse_(collapse), pages_are_huge_(pages_are_huge),
      notify_fd_(notify_fd), ready_before_(std::move(ready)), allocate_(std::move(allocate)),
      arena_is_huge_((arena.file->bytes() + kHugePageBytes - 1) / kHugePageBytes) {}

Populator::~Populator() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_relaxed);
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Populator::Start() {
  thread_ = std::thread([this] { Run(); });
}

Populator::Extents Populator::TakeReady() {
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

// Makes the bytes present, in huge pages where they can be had.
//
// A range with one page in it collapses into a huge page at once, the holes filled with
// zeros: clearing 512 small pages first, only to copy them, takes eight times as long
// (docs/decisions/0009). Where it does not collapse, the small pages are made after all.
absl::Status Populator::Fill(const PopulatorTarget& target, uint64_t offset, uint64_t bytes) {
  const int fd = target.file->fd();
  if (pages_are_huge_ && &target == &arena_) {
    PENSTOCK_RETURN_IF_ERROR(allocate_(fd, offset, bytes));
    for (uint64_t at = offset; at < offset + bytes; at += kHugePageBytes) CountHuge(target, at);
    return absl::OkStatus();
  }
  for (uint64_t at = offset; at < offset + bytes; at += kHugePageBytes) {
    const uint64_t part = std::min(kHugePageBytes, offset + bytes - at);
    if (collapse_ && part == kHugePageBytes) {
      PENSTOCK_RETURN_IF_ERROR(allocate_(fd, at, kSmallPageBytes));
      if (Collapse(target, at)) continue;
    }
    PENSTOCK_RETURN_IF_ERROR(allocate_(fd, at, part));
  }
  return absl::OkStatus();
}

// One huge page's range; false when it stays in small pages for now.
bool Populator::Collapse(const PopulatorTarget& target, uint64_t offset) {
  const absl::Status status = CollapsePages(target.mapping->data() + offset, kHugePageBytes);
  if (status.ok()) {
    CountHuge(target, offset);
    return true;
  }
  if (absl::IsUnimplemented(status)) {
    collapse_ = false;
    SetNote("4 KiB pages only: " + std::string(status.message()));
  } else {
    const std::lock_guard lock(mutex_);
    failed_.emplace_back(&target, offset);
  }
  return false;
}

void Populator::CountHuge(const PopulatorTarget& target, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  if (&target == &arena_) {
    arena_is_huge_[offset / kHugePageBytes] = true;
    progress_.huge_bytes += kHugePageBytes;
  } else {
    progress_.index_huge_bytes += kHugePageBytes;
  }
}

// What of these bytes is to be handed out: all that the last daemon had not got ready, or had
// given back.
Populator::Extents Populator::NewIn(uint64_t offset, uint64_t bytes) const {
  Extents parts = {{offset, bytes}};
  for (const ExtentEntry& ready : ready_before_) {
    Extents left;
    for (const auto& [at, part_bytes] : parts) {
      const uint64_t end = at + part_bytes;
      const uint64_t from = std::clamp(ready.offset, at, end);
      const uint64_t to = std::clamp(ready.offset + ready.bytes, from, end);
      if (at < from) left.emplace_back(at, from - at);
      if (to < end) left.emplace_back(to, end - to);
    }
    parts = std::move(left);
  }
  return parts;
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
  const absl::Status made = Fill(arena_, offset, step);
  if (!made.ok()) SetNote("population stopped: " + std::string(made.message()));
  {
    const std::lock_guard lock(mutex_);
    if (!made.ok()) {
      out_of_memory_ = true;
      return false;
    }
    for (const auto& part : NewIn(offset, step)) ready_.push_back(part);
    progress_.populated_bytes += step;
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
    const absl::Status made = Fill(index_, at, part);
    if (!made.ok()) return SetNote("population stopped: " + std::string(made.message()));
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
  Serve();
}

// The helpers have ended.
void Populator::Serve() {
  int retries = 0;
  while (!stopping()) {
    std::optional<Task> task;
    bool is_time_to_retry = false;
    {
      std::unique_lock lock(mutex_);
      const auto has_reason = [this] { return stopping() || !tasks_.empty(); };
      if (!failed_.empty() && collapse_ && retries < kRetries) {
        is_time_to_retry = !wake_.wait_for(lock, kRetryPause, has_reason);
      } else {
        wake_.wait(lock, has_reason);
      }
      if (!tasks_.empty()) {
        task = tasks_.front();
        tasks_.pop_front();
      }
    }
    if (task && task->kind == Task::kReturn) {
      Return(task->offset, task->bytes);
    } else if (task) {
      Fetch(task->offset, task->bytes);
      retries = 0;
    } else if (is_time_to_retry) {
      RetryCollapse();
      if (++retries == kRetries && !failed_.empty() && collapse_) {
        SetNote(std::to_string(failed_.size()) + " ranges of 2 MiB stay in 4 KiB pages: the "
                "host has no free huge pages just now");
      }
    }
  }
}

void Populator::RetryCollapse() {
  std::vector<std::pair<const PopulatorTarget*, uint64_t>> again;
  {
    const std::lock_guard lock(mutex_);
    again = std::exchange(failed_, {});
  }
  for (const auto& [target, offset] : again) {
    if (stopping()) return;
    Collapse(*target, offset);
  }
}

void Populator::GiveBack(const Extents& extents) {
  const std::lock_guard lock(mutex_);
  for (const auto& [offset, bytes] : extents) {
    for (uint64_t at = offset; at < offset + bytes; at += kStepBytes) {
      tasks_.push_back({Task::kReturn, at, std::min(kStepBytes, offset + bytes - at)});
    }
  }
  wake_.notify_all();
}

void Populator::FetchAgain(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (fetching_bytes_ >= bytes) return;
  // Those that have not gone yet are ready.
  uint64_t ready_bytes = 0;
  std::erase_if(tasks_, [&](const Task& task) {
    if (task.kind != Task::kReturn || fetching_bytes_ + ready_bytes >= bytes) return false;
    ready_.emplace_back(task.offset, task.bytes);
    ready_bytes += task.bytes;
    return true;
  });
  if (ready_bytes > 0) RingDoorbell(notify_fd_);
  while (fetching_bytes_ + ready_bytes < bytes && !returned_.empty()) {
    const auto [offset, step] = returned_.back();
    returned_.pop_back();
    tasks_.push_back({Task::kFetch, offset, step});
    fetching_bytes_ += step;
  }
  wake_.notify_all();
}

bool Populator::TakeShortage() {
  const std::lock_guard lock(mutex_);
  return std::exchange(host_was_short_, false);
}

void Populator::Return(uint64_t offset, uint64_t bytes) {
  const absl::Status gone = ReturnPages(arena_.file->fd(), offset, bytes);
  if (!gone.ok()) SetNote(std::string(gone.message()));
  const std::lock_guard lock(mutex_);
  returned_.emplace_back(offset, bytes);
  progress_.populated_bytes -= bytes;
  progress_.returned_bytes += bytes;
  std::erase_if(failed_, [&](const auto& item) {
    return item.first == &arena_ && item.second >= offset && item.second < offset + bytes;
  });
  for (uint64_t at = offset; at < offset + bytes; at += kHugePageBytes) {
    if (arena_is_huge_[at / kHugePageBytes]) progress_.huge_bytes -= kHugePageBytes;
    arena_is_huge_[at / kHugePageBytes] = false;
  }
  RingDoorbell(notify_fd_);  // who waits for room may have found nothing to fetch
}

void Populator::Fetch(uint64_t offset, uint64_t bytes) {
  const absl::Status made = Fill(arena_, offset, bytes);
  {
    const std::lock_guard lock(mutex_);
    if (!made.ok()) progress_.note = kNoMemoryComes + std::string(made.message());
    if (made.ok() && progress_.note.starts_with(kNoMemoryComes)) progress_.note.clear();
    progress_.populated_bytes += bytes;
    progress_.returned_bytes -= bytes;
    fetching_bytes_ -= bytes;
    if (made.ok()) ready_.emplace_back(offset, bytes);
  }
  if (!made.ok()) {
    Return(offset, bytes);  // what of it had come
    const std::lock_guard lock(mutex_);
    host_was_short_ = true;
    std::erase_if(tasks_, [this](const Task& task) {
      if (task.kind != Task::kFetch) return false;
      fetching_bytes_ -= task.bytes;
      returned_.emplace_back(task.offset, task.bytes);
      return true;
    });
  }
  RingDoorbell(notify_fd_);
}

}  // namespace penstock
