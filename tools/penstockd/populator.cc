// The background thread that populates and collapses.
#include "tools/penstockd/populator.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "store/base/units.h"
#include "store/shm/huge_pages.h"
#include "store/shm/parking.h"

namespace penstock {
namespace {

// Small enough that the first client has room within milliseconds.
constexpr uint64_t kFirstStepBytes = 8 * kMiB;
constexpr uint64_t kStepBytes = 32 * kMiB;
constexpr int kRetries = 40;
constexpr auto kRetryPause = std::chrono::milliseconds(250);

}  // namespace

Populator::Populator(PopulatorTarget arena, PopulatorTarget index, bool collapse,
                     bool pages_are_huge, int notify_fd)
    : arena_(arena), index_(index), collapse_(collapse), pages_are_huge_(pages_are_huge),
      notify_fd_(notify_fd) {}

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

// How many bytes are in huge pages now.
uint64_t Populator::Collapse(const PopulatorTarget& target, uint64_t offset, uint64_t bytes) {
  if (pages_are_huge_ && &target == &arena_) return bytes;
  uint64_t huge = 0;
  for (uint64_t done = 0; collapse_ && done < bytes && !stopping(); done += kHugePageBytes) {
    const absl::Status status =
        CollapsePages(target.mapping->data() + offset + done, kHugePageBytes);
    if (status.ok()) {
      huge += kHugePageBytes;
    } else if (absl::IsUnimplemented(status)) {
      collapse_ = false;
      SetNote("4 KiB pages only: " + std::string(status.message()));
    } else {
      failed_.emplace_back(&target, offset + done);
    }
  }
  return huge;
}

void Populator::Run() {
  // Beside clients that have work to do, this one waits.
  setpriority(PRIO_PROCESS, 0, 10);
  const uint64_t arena_bytes = arena_.file->bytes();
  bool index_done = false;
  for (uint64_t offset = 0; offset < arena_bytes && !stopping();) {
    const uint64_t step = std::min(offset == 0 ? kFirstStepBytes : kStepBytes,
                                   arena_bytes - offset);
    if (!Populate(arena_, offset, step)) break;
    const uint64_t huge = Collapse(arena_, offset, step);
    {
      const std::lock_guard lock(mutex_);
      ready_.emplace_back(offset, step);
      progress_.populated_bytes += step;
      progress_.huge_bytes += huge;
    }
    RingDoorbell(notify_fd_);
    offset += step;
    if (!index_done) {
      // After the first extent, so that nobody waits for it: look-ups work on any pages.
      index_done = true;
      const uint64_t index_bytes = index_.file->bytes();
      for (uint64_t at = 0; at < index_bytes && !stopping(); at += kStepBytes) {
        const uint64_t part = std::min(kStepBytes, index_bytes - at);
        if (!Populate(index_, at, part)) break;
        const uint64_t index_huge = Collapse(index_, at, part);
        const std::lock_guard lock(mutex_);
        progress_.index_huge_bytes += index_huge;
      }
    }
  }
  {
    const std::lock_guard lock(mutex_);
    progress_.done = true;
  }
  RingDoorbell(notify_fd_);
  RetryCollapse();
}

void Populator::RetryCollapse() {
  for (int i = 0; i < kRetries && !failed_.empty() && collapse_ && !stopping(); ++i) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, kRetryPause, [this] { return stopping(); });
    }
    const auto again = std::exchange(failed_, {});
    for (const auto& [target, offset] : again) {
      const uint64_t huge = Collapse(*target, offset, kHugePageBytes);
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
