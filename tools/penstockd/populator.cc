// The background threads that populate and collapse.
#include "tools/penstockd/populator.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <system_error>
#include <tuple>

#include <fmt/format.h>

#include "store/base/errors.h"
#include "store/base/threads.h"
#include "store/base/units.h"
#include "store/shm/host_cpus.h"
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
// Of what the host has free, while a step is fetched: others take memory at the same time, and
// a cgroup at its limit may kill and not refuse.
constexpr uint64_t kLeftToOthers = 64 * kMiB;
constexpr const char* kRestWaits = "the rest of the arena waits for the host's memory: ";

using Extents = Populator::Extents;

// What of the `parts` no one of the others covers.
Extents Without(Extents parts, const Extents& others) {
  for (const auto& [other_at, other_bytes] : others) {
    Extents left;
    for (const auto& [at, bytes] : parts) {
      const uint64_t end = at + bytes;
      const uint64_t from = std::clamp(other_at, at, end);
      const uint64_t to = std::clamp(other_at + other_bytes, from, end);
      if (at < from) left.emplace_back(at, from - at);
      if (to < end) left.emplace_back(to, end - to);
    }
    parts = std::move(left);
  }
  return parts;
}

// The entries in order, without what one has in common with another.
Extents InOrder(const std::vector<ExtentEntry>& entries, uint64_t arena_bytes) {
  Extents extents;
  for (const ExtentEntry& entry : entries) extents.emplace_back(entry.offset, entry.bytes);
  const Extents arena = {{0, arena_bytes}};
  return Without(arena, Without(arena, extents));
}

Extents InSteps(const Extents& extents) {
  Extents steps;
  for (const auto& [offset, bytes] : extents) {
    for (uint64_t at = offset; at < offset + bytes;) {
      const uint64_t most = at == 0 ? kFirstStepBytes : kStepBytes;
      steps.emplace_back(at, std::min(most, offset + bytes - at));
      at += steps.back().second;
    }
  }
  return steps;
}

uint64_t BytesOf(const Extents& extents) {
  uint64_t sum = 0;
  for (const auto& extent : extents) sum += extent.second;
  return sum;
}

}  // namespace

Populator::Populator(PopulatorTarget arena, PopulatorTarget index, int notify_fd,
                     PopulatorOptions options)
    : arena_(arena), index_(index), notify_fd_(notify_fd), options_(std::move(options)),
      ready_before_(InOrder(options_.ready, arena.file->bytes())),
      rest_(options_.rest_waits && options_.goes_on
                ? Without({{0, arena.file->bytes()}}, ready_before_)
                : Extents()),
      collapse_(options_.collapse),
      arena_is_huge_((arena.file->bytes() + kHugePageBytes - 1) / kHugePageBytes) {
  LeaveToHost(rest_);
  const Extents steps = InSteps(Without({{0, arena.file->bytes()}}, rest_));
  steps_.assign(steps.begin(), steps.end());
  progress_.populated_bytes = BytesOf(ready_before_);
}

Populator::~Populator() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_relaxed);
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

absl::Status Populator::Start() {
  PENSTOCK_ASSIGN_OR_RETURN(
      thread_, StartThread("starting the thread that populates the arena", [this] { Run(); }));
  return absl::OkStatus();
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
  if (options_.pages_are_huge && &target == &arena_) {
    PENSTOCK_RETURN_IF_ERROR(options_.allocate(fd, offset, bytes));
    for (uint64_t at = offset; at < offset + bytes; at += kHugePageBytes) CountHuge(target, at);
    return absl::OkStatus();
  }
  for (uint64_t at = offset; at < offset + bytes; at += kHugePageBytes) {
    const uint64_t part = std::min(kHugePageBytes, offset + bytes - at);
    if (collapse_ && part == kHugePageBytes) {
      PENSTOCK_RETURN_IF_ERROR(options_.allocate(fd, at, kSmallPageBytes));
      if (Collapse(target, at)) continue;
    }
    PENSTOCK_RETURN_IF_ERROR(options_.allocate(fd, at, part));
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

// False when there is nothing left to do.
bool Populator::PopulateNextStep() {
  uint64_t offset, step;
  {
    const std::lock_guard lock(mutex_);
    if (steps_.empty() || stopping()) return false;
    std::tie(offset, step) = steps_.front();
    steps_.pop_front();
  }
  // All that the last daemon had not got ready, or had given back.
  const Extents parts = Without({{offset, step}}, ready_before_);
  absl::Status made;
  if (options_.rest_waits) made = HostCanGive(BytesOf(parts));
  if (made.ok()) made = Fill(arena_, offset, step);
  if (made.ok()) {
    const std::lock_guard lock(mutex_);
    ready_.insert(ready_.end(), parts.begin(), parts.end());
    progress_.populated_bytes += BytesOf(parts);
  } else if (options_.rest_waits) {
    for (const auto& [at, bytes] : parts) Punch(at, bytes);
    const std::lock_guard lock(mutex_);
    progress_.note = kRestWaits + std::string(made.message());
    host_was_short_ = true;
    LeaveToHost(parts);
    LeaveToHost(Without({steps_.begin(), steps_.end()}, ready_before_));
    steps_.clear();
  } else {
    const std::lock_guard lock(mutex_);
    progress_.note = "population stopped: " + std::string(made.message());
    steps_.clear();
  }
  RingDoorbell(notify_fd_);
  return made.ok();
}

// The lowest is fetched first.
void Populator::LeaveToHost(const Extents& parts) {
  const Extents steps = InSteps(parts);
  returned_.insert(returned_.end(), steps.rbegin(), steps.rend());
  progress_.returned_bytes += BytesOf(parts);
}

void Populator::PopulateArena() {
  while (DoTask() || PopulateNextStep()) {
  }
}

void Populator::PopulateIndex() {
  const uint64_t index_bytes = index_.file->bytes();
  for (uint64_t at = 0; at < index_bytes && !stopping(); at += kStepBytes) {
    const uint64_t part = std::min(kStepBytes, index_bytes - at);
    const absl::Status made = Fill(index_, at, part);
    if (!made.ok()) return SetNote("population stopped: " + std::string(made.message()));
    while (DoTask()) {
    }
  }
}

void Populator::Run() {
  // Beside clients that have work to do, this thread and those it starts wait.
  setpriority(PRIO_PROCESS, 0, 10);
  // The last daemon may have died between taking it out of its table and giving it back.
  for (const auto& [at, bytes] : rest_) ReturnPages(arena_.file->fd(), at, bytes).IgnoreError();
  // The index after the first extent, so that nobody waits for it: look-ups work on any pages.
  if (PopulateNextStep() || options_.rest_waits) {
    std::vector<std::thread> helpers;
    const unsigned threads = std::min(ReadHostCpus().count, kMostThreads);
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
  while (!stopping()) {
    bool is_time_to_retry = false;
    {
      std::unique_lock lock(mutex_);
      const auto has_reason = [this] { return stopping() || !tasks_.empty(); };
      if (!failed_.empty() && collapse_ && retries_ < kRetries) {
        is_time_to_retry = !wake_.wait_for(lock, kRetryPause, has_reason);
      } else {
        wake_.wait(lock, has_reason);
      }
    }
    if (DoTask() || !is_time_to_retry || !RetryCollapse()) continue;
    const std::lock_guard lock(mutex_);
    if (++retries_ == kRetries && !failed_.empty() && collapse_) {
      progress_.note = std::to_string(failed_.size()) + " ranges of 2 MiB stay in 4 KiB pages: "
                       "the host has no free huge pages just now";
    }
  }
}

// False when there is none.
bool Populator::DoTask() {
  std::optional<Task> task;
  {
    const std::lock_guard lock(mutex_);
    if (tasks_.empty() || stopping()) return false;
    task = tasks_.front();
    tasks_.pop_front();
  }
  if (task->kind == Task::kReturn) {
    Return(task->offset, task->bytes);
  } else {
    Fetch(task->offset, task->bytes);
  }
  return true;
}

// False when there was something else to do first.
bool Populator::RetryCollapse() {
  std::vector<std::pair<const PopulatorTarget*, uint64_t>> again;
  {
    const std::lock_guard lock(mutex_);
    again = std::exchange(failed_, {});
  }
  for (auto next = again.begin(); next != again.end(); ++next) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping() || !tasks_.empty()) {
        failed_.insert(failed_.end(), next, again.end());
        return false;
      }
    }
    Collapse(*next->first, next->second);
  }
  return true;
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
  uint64_t coming_bytes = fetching_bytes_ + BytesOf(ready_);
  if (coming_bytes >= bytes) return;
  // Those that have not gone yet are ready.
  const bool was_ready = !ready_.empty();
  std::erase_if(tasks_, [&](const Task& task) {
    if (task.kind != Task::kReturn || coming_bytes >= bytes) return false;
    ready_.emplace_back(task.offset, task.bytes);
    coming_bytes += task.bytes;
    return true;
  });
  if (!ready_.empty() && !was_ready) RingDoorbell(notify_fd_);
  while (coming_bytes < bytes && !returned_.empty()) {
    const auto [offset, step] = returned_.back();
    returned_.pop_back();
    tasks_.push_back({Task::kFetch, offset, step});
    fetching_bytes_ += step;
    coming_bytes += step;
  }
  wake_.notify_all();
}

bool Populator::TakeShortage() {
  const std::lock_guard lock(mutex_);
  return std::exchange(host_was_short_, false);
}

void Populator::Punch(uint64_t offset, uint64_t bytes) {
  const absl::Status gone = ReturnPages(arena_.file->fd(), offset, bytes);
  if (!gone.ok()) SetNote(std::string(gone.message()));
  const std::lock_guard lock(mutex_);
  std::erase_if(failed_, [&](const auto& item) {
    return item.first == &arena_ && item.second >= offset && item.second < offset + bytes;
  });
  for (uint64_t at = offset; at < offset + bytes; at += kHugePageBytes) {
    if (arena_is_huge_[at / kHugePageBytes]) progress_.huge_bytes -= kHugePageBytes;
    arena_is_huge_[at / kHugePageBytes] = false;
  }
}

void Populator::Return(uint64_t offset, uint64_t bytes) {
  Punch(offset, bytes);
  const std::lock_guard lock(mutex_);
  returned_.emplace_back(offset, bytes);
  progress_.populated_bytes -= bytes;
  progress_.returned_bytes += bytes;
  RingDoorbell(notify_fd_);  // who waits for room may have found nothing to fetch
}

absl::Status Populator::HostCanGive(uint64_t bytes) const {
  if (bytes == 0) return absl::OkStatus();
  if (options_.pages_are_huge) return absl::OkStatus();  // fallocate refuses, and nobody is killed
  const HostMemory host = options_.host();
  if (host.limit_bytes == 0) return absl::OkStatus();  // it does not say
  if (host.available_bytes >= bytes + kLeftToOthers) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      fmt::format("{} has {} free, and to fetch {} it should have {} more than that. Free some, "
                  "or raise the limit", host.available_in, FormatBytes(host.available_bytes),
                  FormatBytes(bytes), FormatBytes(kLeftToOthers)));
}

void Populator::Fetch(uint64_t offset, uint64_t bytes) {
  uint64_t filling_bytes;
  {
    const std::lock_guard lock(mutex_);
    filling_bytes = filling_bytes_ += bytes;
  }
  absl::Status made = HostCanGive(filling_bytes);
  if (made.ok()) made = Fill(arena_, offset, bytes);
  {
    const std::lock_guard lock(mutex_);
    if (!made.ok()) progress_.note = kRestWaits + std::string(made.message());
    if (made.ok() && progress_.note.starts_with(kRestWaits)) progress_.note.clear();
    progress_.populated_bytes += bytes;
    progress_.returned_bytes -= bytes;
    fetching_bytes_ -= bytes;
    filling_bytes_ -= bytes;
    if (made.ok()) {
      retries_ = 0;
      ready_.emplace_back(offset, bytes);
    }
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
