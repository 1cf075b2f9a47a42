// Looking through all rows.
#include "store/object/pin_columns.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"

namespace penstock {
namespace {

// A miss of the second-level cache takes as long as some rows.
constexpr size_t kAhead = 8;

// Slots whose pages have their bits in one word of the bitmap.
struct Group {
  uint32_t word;
  uint64_t bits;
  uint32_t begin;
  uint32_t end;
};

// `use`: the lower half of an epoch; 0: never used.
uint64_t Later(uint32_t use, uint64_t last, uint64_t now) {
  if (use == 0) return last;
  return std::max(last, now - (static_cast<uint32_t>(now) - use));
}

}  // namespace

void PinColumns::Open(SessionRow row, const PinRowReader& reader) {
  if (places_.size() <= row) places_.resize(row + 1);
  places_[row] = static_cast<uint32_t>(columns_.size());
  columns_.push_back({reader, row});
}

void PinColumns::Close(SessionRow row) {
  const uint32_t place = places_[row];
  columns_[place] = columns_.back();
  places_[columns_[place].row] = place;
  columns_.pop_back();
}

bool PinColumns::IsPinned(uint32_t slot) const {
  return std::any_of(columns_.begin(), columns_.end(), [slot](const Column& column) {
    return column.reader.IsPinned(slot);
  });
}

uint64_t PinColumns::LastUse(uint32_t slot, uint64_t last, uint64_t now) const {
  for (const Column& column : columns_) last = Later(column.reader.LastUse(slot), last, now);
  return last;
}

// Calls visit(look, reader) for each look and each row that has touched its page.
template <typename Visit>
void PinColumns::ForEachTouched(std::span<SlotLook> looks, Visit visit) const {
  std::sort(looks.begin(), looks.end(),
            [](const SlotLook& a, const SlotLook& b) { return a.slot < b.slot; });
  absl::InlinedVector<Group, 8> groups;
  for (uint32_t i = 0; i < looks.size(); ++i) {
    const uint32_t word = PinRowReader::WordOf(looks[i].slot);
    if (groups.empty() || groups.back().word != word) groups.push_back({word, 0, i, i});
    groups.back().bits |= PinRowReader::BitOf(looks[i].slot);
    groups.back().end = i + 1;
  }
  for (size_t at = 0; at < columns_.size(); ++at) {
    if (at + kAhead < columns_.size()) {
      columns_[at + kAhead].reader.PrefetchPages(groups.front().word);
    }
    const PinRowReader& reader = columns_[at].reader;
    for (const Group& group : groups) {
      const uint64_t touched = reader.TouchedPages(group.word) & group.bits;
      if (touched == 0) [[likely]] continue;
      for (uint32_t i = group.begin; i < group.end; ++i) {
        if ((touched & PinRowReader::BitOf(looks[i].slot)) != 0) visit(looks[i], reader);
      }
    }
  }
}

size_t PinColumns::LookForPins(std::span<SlotLook> looks) const {
  if (looks.empty()) return 0;
  size_t words = 0;
  for (SlotLook& look : looks) look.is_pinned = false;
  ForEachTouched(looks, [&words](SlotLook& look, const PinRowReader& reader) {
    ++words;
    look.is_pinned = look.is_pinned || reader.HasPins(look.slot);
  });
  return words;
}

void PinColumns::LookForUses(std::span<SlotLook> looks, uint64_t now) const {
  if (looks.empty()) return;
  ForEachTouched(looks, [now](SlotLook& look, const PinRowReader& reader) {
    look.last_use = Later(reader.LastUseOfTouched(look.slot), look.last_use, now);
  });
}

}  // namespace penstock
