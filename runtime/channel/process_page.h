// ProcessPage: the one page by which a process of the runtime is woken. Written by that
// process alone; every peer maps it read-only and is handed the process's eventfd.
//
// LAYOUT: magic at 0, layout version at 8, `parked` at 64. SYNC S1 parking
// (store/shm/parking.h): the consumer's flag for all of its channels at once. TRUST: a peer
// that writes nonsense there is rung too often or never wakes: it harms its own calls.
#ifndef PENSTOCK_RUNTIME_CHANNEL_PROCESS_PAGE_H_
#define PENSTOCK_RUNTIME_CHANNEL_PROCESS_PAGE_H_

#include <cstddef>
#include <cstdint>

#include "store/shm/parking.h"

namespace penstock {

inline constexpr uint64_t kProcessPageMagic = 0x4750434b4e5450ull;
inline constexpr uint64_t kProcessPageBytes = 4096;

struct ProcessPage {
  uint64_t magic;
  uint32_t layout_version;  // kChannelLayoutVersion
  uint32_t reserved;
  alignas(64) ParkedFlag parked;
  alignas(64) uint64_t padding_after_parked[8];
};
static_assert(sizeof(ProcessPage) == 192 && offsetof(ProcessPage, parked) == 64);

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_CHANNEL_PROCESS_PAGE_H_
