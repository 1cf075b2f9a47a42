// CopyChoice: keeping back, and the trial's thread.
#include "tools/penstockd/copy_choice.h"

#include <algorithm>
#include <system_error>

#include "store/base/units.h"
#include "store/shm/parking.h"

namespace penstock {
namespace {

constexpr uint64_t kMostKeptBytes = 256 * kMiB;  // destinations enough for any cache of a core

constexpr uint64_t RoundDown(uint64_t bytes) { return bytes / kHugePageBytes * kHugePageBytes; }

}  // namespace

CopyChoice::CopyChoice(std::byte* arena, uint64_t arena_bytes, int notify_fd)
    : arena_(arena), most_kept_bytes_(RoundDown(std::min(arena_bytes / 8, kMostKeptBytes))),
      kept_from_(arena_bytes - most_kept_bytes_), notify_fd_(notify_fd) {}

CopyChoice::~CopyChoice() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
}

CopyChoice::Extents CopyChoice::Keep(const Extents& ready) {
  if (state_ != State::kWaiting || most_kept_bytes_ < kLeastTrialBytes) return ready;
  Extents rest;
  for (const auto& [offset, bytes] : ready) {
    const uint64_t end = offset + bytes;
    const uint64_t cut = std::clamp(kept_from_, offset, end);
    if (cut > offset) rest.emplace_back(offset, cut - offset);
    if (end > cut) kept_.emplace_back(cut, end - cut);
  }
  return rest;
}

void CopyChoice::Begin() {
  if (state_ != State::kWaiting) return;
  if (kept_.empty()) return GiveUp();  // nothing to copy in
  state_ = State::kRunning;
  CopyTrialOptions options;
  for (const auto& [offset, bytes] : kept_) options.room.push_back({arena_ + offset, bytes});
  options.must_stop = [this] { return stop_.load(std::memory_order_relaxed); };
  try {
    thread_ = std::thread([this, options = std::move(options)] {
      plan_ = RunCopyTrial(options).plan;
      is_over_.store(true, std::memory_order_release);
      RingDoorbell(notify_fd_);
    });
  } catch (const std::system_error&) {
    // A limit on threads: the default holds.
    is_over_.store(true, std::memory_order_relaxed);
    RingDoorbell(notify_fd_);
  }
}

uint64_t CopyChoice::kept_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [offset, extent_bytes] : kept_) bytes += extent_bytes;
  return bytes;
}

void CopyChoice::GiveUp() {
  stop_.store(true, std::memory_order_relaxed);
  if (state_ != State::kWaiting) return;
  state_ = State::kRunning;  // with nothing to run
  is_over_.store(true, std::memory_order_relaxed);
  RingDoorbell(notify_fd_);
}

std::optional<CopyChoice::Outcome> CopyChoice::TakeOutcome() {
  if (state_ != State::kRunning || !is_over_.load(std::memory_order_acquire)) {
    return std::nullopt;
  }
  if (thread_.joinable()) thread_.join();
  state_ = State::kEnded;
  return Outcome{std::exchange(kept_, {}), plan_};
}

}  // namespace penstock
