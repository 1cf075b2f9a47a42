// Pin rows: a count and a last-use epoch for each slot, in the client's own segment.
//
// SYNC S2 pin/evict: the client increments its own pin word, then reads the slot; the
// daemon marks the slot, then reads the pin words. Both are sequentially consistent, so
// at least one of the two sees the other's store: either the client sees the mark and
// takes its pin away, or the daemon sees the pin and leaves the object alone.
// SYNC S3 last release: the same shape with the decrement in the place of the increment:
// either the client sees the mark and pushes a release record, or the daemon sees the pin
// gone.
// Models: tests/model/s2_pin_evict.pml, tests/model/s3_last_release.pml.
#ifndef PENSTOCK_STORE_SHM_PIN_ROW_H_
#define PENSTOCK_STORE_SHM_PIN_ROW_H_

#include <atomic>
#include <cstdint>

#include "store/shm/index_segment.h"
#include "store/shm/session_layout.h"

namespace penstock {

// Client's half: the process that owns the row. Thread safety: any thread of it.
class PinRow {
 public:
  PinRow() = default;
  PinRow(std::atomic<uint64_t>* bitmap, Pin* pins) : bitmap_(bitmap), pins_(pins) {}

  // The increment is a full fence: read the slot after it, never before. `epoch` is not 0.
  void Pin(uint32_t slot, uint32_t epoch) {
    penstock::Pin& pin = pins_[slot];
    // A pin of this epoch lies in a page whose bit stands already.
    if (pin.epoch.load(std::memory_order_acquire) != epoch) [[unlikely]] Touch(slot, epoch);
    pin.count.fetch_add(1, std::memory_order_seq_cst);
  }

  // The same where this slot was pinned in `epoch` before; else does nothing: false.
  bool PinAgain(uint32_t slot, uint32_t epoch) {
    penstock::Pin& pin = pins_[slot];
    if (pin.epoch.load(std::memory_order_acquire) != epoch) [[unlikely]] return false;
    pin.count.fetch_add(1, std::memory_order_seq_cst);
    return true;
  }

  // The decrement is a full fence: read the slot after it (SYNC S3).
  void Unpin(uint32_t slot) { pins_[slot].count.fetch_sub(1, std::memory_order_seq_cst); }

  uint32_t Count(uint32_t slot) const {
    return pins_[slot].count.load(std::memory_order_seq_cst);
  }
  void Prefetch(uint32_t slot) const { __builtin_prefetch(&pins_[slot], 1); }

 private:
  // A page's bit stands before the first pin in it; the daemon reads no other page.
  void Touch(uint32_t slot, uint32_t epoch) {
    const std::atomic<uint64_t>& word = bitmap_[slot / kPinsPerPage / 64];
    const uint64_t bit = uint64_t{1} << (slot / kPinsPerPage % 64);
    if ((word.load(std::memory_order_relaxed) & bit) == 0) ClaimPage(slot);
    pins_[slot].epoch.store(epoch, std::memory_order_release);
  }
  // Sets the bit of the slot's page. Where 64 of the 512 pages of 2 MiB are in use, it has
  // them collapsed into a huge page: the only system call that a get ever makes, once for
  // 262,144 slots, beside 64 page faults (docs/decisions/0010).
  void ClaimPage(uint32_t slot);

  std::atomic<uint64_t>* bitmap_ = nullptr;
  penstock::Pin* pins_ = nullptr;
};

// Daemon's half: reads one client's row. The values are that client's to choose; all they
// can do is keep memory.
class PinRowReader {
 public:
  PinRowReader() = default;
  PinRowReader(const std::atomic<uint64_t>* bitmap, const Pin* pins)
      : bitmap_(bitmap), pins_(pins) {}

  // Whether any slot of its page was ever pinned.
  bool Touched(uint32_t slot, std::memory_order order) const {
    return (bitmap_[WordOf(slot)].load(order) & BitOf(slot)) != 0;
  }
  // Call after the mark (SYNC S2, S3).
  bool IsPinned(uint32_t slot) const {
    return Touched(slot, std::memory_order_seq_cst) && HasPins(slot);
  }
  // 0 when this client never used the slot. A hint.
  uint32_t LastUse(uint32_t slot) const {
    return Touched(slot, std::memory_order_relaxed) ? LastUseOfTouched(slot) : 0;
  }

  // The same in two steps, for many slots: the word of the bitmap in which the bit of a slot's
  // page stands, and then, of slots whose bit does, the rest.
  static uint32_t WordOf(uint32_t slot) { return slot / kPinsPerPage / 64; }
  static uint64_t BitOf(uint32_t slot) { return uint64_t{1} << (slot / kPinsPerPage % 64); }
  void PrefetchPages(uint32_t word) const { __builtin_prefetch(&bitmap_[word]); }
  uint64_t TouchedPages(uint32_t word) const {
    return bitmap_[word].load(std::memory_order_seq_cst);
  }
  bool HasPins(uint32_t slot) const {
    return pins_[slot].count.load(std::memory_order_seq_cst) != 0;
  }
  uint32_t LastUseOfTouched(uint32_t slot) const {
    return pins_[slot].epoch.load(std::memory_order_relaxed);
  }

  // For who only looks: calls visit(slot, count) for each pinned slot in [begin, end) whose
  // page is touched.
  template <typename Visit>
  void ForEachPinned(uint32_t begin, uint32_t end, Visit visit) const {
    for (uint32_t slot = begin; slot < end;) {
      if (!Touched(slot, std::memory_order_relaxed)) {
        slot = (slot / kPinsPerPage + 1) * kPinsPerPage;
        continue;
      }
      const uint32_t count = pins_[slot].count.load(std::memory_order_relaxed);
      if (count != 0) visit(slot, count);
      ++slot;
    }
  }

 private:
  const std::atomic<uint64_t>* bitmap_ = nullptr;
  const Pin* pins_ = nullptr;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_PIN_ROW_H_
