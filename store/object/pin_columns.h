// PinColumns: the pin rows of all open sessions side by side, asked about many slots at once.
//
// A store may have thousands of clients of which few do anything. So the look at all rows is
// made for a batch of slots: a row in which none of their pages was ever touched costs one load
// for each 32,768 slots in a range, and thousands of those stay in the second-level cache.
//
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_OBJECT_PIN_COLUMNS_H_
#define PENSTOCK_STORE_OBJECT_PIN_COLUMNS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "store/object/session.h"
#include "store/shm/pin_row.h"

namespace penstock {

// What the rows say of one slot.
struct SlotLook {
  uint32_t slot = 0;
  bool is_pinned = false;
  uint64_t last_use = 0;  // an epoch (Core::Epoch); in: the last one known
};

// From here on a look at all rows takes about as long as the rest of a delete or an eviction.
inline constexpr size_t kManySessions = 64;

// Words of pins that deletes may have read in a turn: some 0.3 ms.
inline constexpr size_t kPinWordsInATurn = 8192;

// That of `slot`, among looks in the order that PinColumns has left them in.
inline const SlotLook& LookAt(const std::vector<SlotLook>& looks, uint32_t slot) {
  return *std::lower_bound(looks.begin(), looks.end(), slot,
                           [](const SlotLook& look, uint32_t s) { return look.slot < s; });
}

class PinColumns {
 public:
  void Open(SessionRow row, const PinRowReader& reader);
  void Close(SessionRow row);
  size_t size() const { return columns_.size(); }

  // Call after the mark (SYNC S2, S3), of each slot and before either of these two.
  bool IsPinned(uint32_t slot) const;
  // Orders `looks` by slot. How many words of pins were read: of the slots in pages that rows have
  // touched.
  size_t LookForPins(std::span<SlotLook> looks) const;

  // The latest epoch in which anybody got the slot, `last` if that is later. A hint: rows hold the
  // lower half of an epoch, which is taken for the latest one not after `now`, whatever a client
  // has written there.
  uint64_t LastUse(uint32_t slot, uint64_t last, uint64_t now) const;
  // Orders `looks` by slot.
  void LookForUses(std::span<SlotLook> looks, uint64_t now) const;

 private:
  struct Column {
    PinRowReader reader;
    SessionRow row;
  };
  template <typename Visit>
  void ForEachTouched(std::span<SlotLook> looks, Visit visit) const;

  std::vector<Column> columns_;
  std::vector<uint32_t> places_;  // in columns_, by row
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_PIN_COLUMNS_H_
