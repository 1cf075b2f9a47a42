// Core: what one session may hold of the store, and who pins most of it.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "store/base/units.h"
#include "store/object/core.h"

namespace penstock {
namespace {

// One step of a walk through all pins: cache lines of pins and of leases, and makers. Some 0.1 ms.
constexpr uint64_t kLinesCounted = 1024;
constexpr size_t kMakersCounted = 1024;
constexpr uint32_t kSlotsOfWord = 64 * kPinsPerPage;

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

// Not twice in a turn: thousands may be refused in it.
void Core::CountHolders() {
  if (top_holders_.turn == stats_.turns && stats_.turns != 0) return;
  top_holders_.turn = stats_.turns;
  CountPins();
  CountMade();
}

void Core::CountPins() {
  TopHolders& top = top_holders_;
  for (uint64_t lines = 0; lines < kLinesCounted;) {
    if (top.row >= sessions_.size()) {
      top.pins = std::exchange(top.pins_in_this_walk, {});
      top.row = 0;
      return;
    }
    CoreSession* const session = sessions_[top.row].get();
    if (session != nullptr && session->open && top.slot < fresh_slot_) {
      // A word of the bitmap where nothing is touched, or a page of pins.
      const uint32_t word = PinRowReader::WordOf(top.slot);
      const bool is_empty = session->pins.TouchedPages(word) == 0;
      const uint32_t end = std::min(
          fresh_slot_, is_empty ? (word + 1) * kSlotsOfWord
                                : (top.slot / kPinsPerPage + 1) * kPinsPerPage);
      lines += is_empty ? 1 : kPinsPerPage * sizeof(Pin) / 64;
      session->pins.ForEachPinned(top.slot, end, [&](uint32_t slot, uint32_t) {
        ++lines;
        if (leases_[slot].kind == LeaseKind::kObject) top.row_bytes += leases_[slot].block_bytes;
      });
      top.slot = end;
      if (top.slot < fresh_slot_) continue;
    }
    ++lines;
    if (session != nullptr && session->open) {
      session->pinned_bytes = top.row_bytes;
      if (top.row_bytes > top.pins_in_this_walk.bytes) {
        top.pins_in_this_walk = {session->pid, top.row_bytes};
      }
    }
    ++top.row;
    top.slot = 0;
    top.row_bytes = 0;
  }
}

void Core::CountMade() {
  TopHolders& top = top_holders_;
  for (size_t most = kMakersCounted; top.maker < makers_.size(); ++top.maker, --most) {
    if (most == 0) return;
    const Maker& maker = makers_[top.maker];
    uint64_t bytes = maker.bytes;
    if (maker.live) bytes += sessions_[maker.row]->leased_bytes;
    if (bytes > top.made_in_this_walk.bytes) top.made_in_this_walk = {maker.pid, bytes};
  }
  top.made = std::exchange(top.made_in_this_walk, {});
  top.maker = 0;
}

void Core::EnforcePinQuota(int64_t now_ms) {
  if (limits_.pin_quota_bytes == 0) return;
  for (int step = 0; step < 4 && somebody_waits_for_releases(); ++step) CountPins();
  for (const SessionRow row : std::vector<SessionRow>(open_rows_)) {
    CoreSession& session = *sessions_[row];
    const uint64_t bytes =
        somebody_waits_for_releases() && !session.broken ? session.pinned_bytes : 0;
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
    // What was counted may be some time ago.
    session.pinned_bytes = PinnedBytes(row);
    if (session.pinned_bytes <= limits_.pin_quota_bytes) continue;
    Drain(row);  // what it has sealed counts
    if (session.broken) continue;
    const auto [pinned, quota] = FormatBytesApart(bytes, limits_.pin_quota_bytes);
    Break(row, fmt::format("it pins {}, beyond its quota of {}, while others wait for room",
                           pinned, quota));
  }
}

}  // namespace penstock
