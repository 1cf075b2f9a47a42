// Core: what one session may hold of the store, and who pins most of it.
#include <fmt/format.h>

#include "store/base/units.h"
#include "store/object/core.h"

namespace penstock {
namespace {

// Looking through every row costs microseconds a session: not for each of a flood of refusals.
constexpr uint64_t kTurnsBetweenLooks = 256;

}  // namespace

// Objects in memory that the session made, and what it has leased.
uint64_t Core::HeldBytes(SessionRow row) const {
  return sessions_[row]->leased_bytes + makers_[sessions_[row]->maker].bytes;
}

bool Core::IsWithinQuota(SessionRow row, uint64_t block_bytes) const {
  return limits_.client_quota_bytes == 0 ||
         HeldBytes(row) + block_bytes <= limits_.client_quota_bytes;
}

uint64_t Core::PinnedBytes(SessionRow row) const {
  uint64_t bytes = 0;
  sessions_[row]->pins.ForEachPinned(0, fresh_slot_, [&](uint32_t slot, uint32_t) {
    if (leases_[slot].kind == LeaseKind::kObject) bytes += leases_[slot].block_bytes;
  });
  return bytes;
}

void Core::FindTopPinner() {
  if (top_pinner_.is_known && stats_.turns - top_pinner_.turn < kTurnsBetweenLooks) return;
  top_pinner_ = {.is_known = true, .turn = stats_.turns};
  for (const SessionRow row : open_rows_) {
    const uint64_t bytes = PinnedBytes(row);
    if (bytes <= top_pinner_.bytes) continue;
    top_pinner_.bytes = bytes;
    top_pinner_.pid = sessions_[row]->pid;
  }
}

void Core::EnforcePinQuota(int64_t now_ms) {
  if (limits_.pin_quota_bytes == 0) return;
  for (const SessionRow row : std::vector<SessionRow>(open_rows_)) {
    CoreSession& session = *sessions_[row];
    const uint64_t bytes = somebody_waits_for_releases() && !session.broken ? PinnedBytes(row) : 0;
    if (bytes <= limits_.pin_quota_bytes) {
      session.over_pin_quota_since_ms = 0;
      continue;
    }
    if (session.over_pin_quota_since_ms == 0) {
      session.over_pin_quota_since_ms = now_ms;
      host_->PinQuotaExceeded(row, bytes);
      continue;
    }
    if (now_ms - session.over_pin_quota_since_ms < limits_.pin_quota_grace_ms) continue;
    Drain(row);  // what it has sealed counts
    if (session.broken) continue;
    const auto [pinned, quota] = FormatBytesApart(bytes, limits_.pin_quota_bytes);
    Break(row, fmt::format("it pins {}, beyond its quota of {}, while others wait for room",
                           pinned, quota));
  }
}

}  // namespace penstock
