// Pin rows on huge pages, where they are used densely.
#include "store/shm/pin_row.h"

#include <bit>
#include <cstdint>

#include "store/base/units.h"
#include "store/shm/huge_pages.h"

namespace penstock {
namespace {

constexpr uint32_t kPinsPerHugePage = kHugePageBytes / sizeof(penstock::Pin);
constexpr uint32_t kWordsPerHugePage = kPinsPerHugePage / kPinsPerPage / 64;
// An eighth of its pages: a row of few pins stays as small as it is.
constexpr int kPagesWorthAHugeOne = 64;

}  // namespace

void PinRow::ClaimPage(uint32_t slot) {
  bitmap_[slot / kPinsPerPage / 64].fetch_or(uint64_t{1} << (slot / kPinsPerPage % 64),
                                             std::memory_order_seq_cst);
  penstock::Pin* const begin = pins_ + slot / kPinsPerHugePage * uint64_t{kPinsPerHugePage};
  if (reinterpret_cast<uintptr_t>(begin) % kHugePageBytes != 0) return;
  const std::atomic<uint64_t>* const words =
      bitmap_ + slot / kPinsPerHugePage * uint64_t{kWordsPerHugePage};
  int touched = 0;
  for (uint32_t i = 0; i < kWordsPerHugePage; ++i) {
    touched += std::popcount(words[i].load(std::memory_order_relaxed));
  }
  // Again at each doubling, should the kernel refuse: one that did it before sees so at once.
  if (touched < kPagesWorthAHugeOne || !std::has_single_bit(static_cast<unsigned>(touched))) {
    return;
  }
  CollapsePages(reinterpret_cast<std::byte*>(begin), kHugePageBytes).IgnoreError();
}

}  // namespace penstock
