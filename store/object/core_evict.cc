// Core: which evictable objects go when room is wanted.
#include <algorithm>

#include "store/base/crash_point.h"
#include "store/object/core.h"

namespace penstock {
namespace {

// How many objects one look at the pin columns may cover.
constexpr size_t kEvictionBatch = 16;
// Words of pins that are read as long as one candidate takes.
constexpr size_t kWordsForALook = 16;
constexpr size_t kMostEvictionLooks = 256;  // in a turn, where there are few sessions: 0.5 ms

}  // namespace

// Makes room: drops objects whose copy is on disk, then evictable ones, of both those of lower
// priority first and of those the least recently used; when there are none, has others written
// to disk, for which the caller waits. True if anything was freed. False if nothing evictable is
// unpinned, or if there is more to look at than belongs into one turn (HasMoreToEvict): then it
// goes on in the next. An object that is pinned leaves the queue and is wanted: its last release
// tells us (SYNC S3), and it is not looked at again before.
bool Core::EvictFor(uint64_t block_bytes) {
  if (DropClean(block_bytes)) return true;
  // A look at thousands of rows is to serve more than one object, if they are small.
  const uint64_t wanted_bytes = columns_.size() < kManySessions
                                    ? block_bytes : std::max(block_bytes, StoreBytes() / 1024);
  bool freed = false;
  while (!freed && share_.eviction_looks_left > 0 && !evictable_.empty()) {
    // SYNC S2 pin/evict: mark a batch, then one pass over the pin rows.
    std::vector<EvictionEntry> batch = LeastRecentlyUsed(wanted_bytes);
    std::vector<SlotLook> looks;
    for (const EvictionEntry& entry : batch) {
      slots_.MarkEvicting(entry.slot);
      infos_[entry.slot].wanted = false;
      PENSTOCK_CRASH_POINT(kEvictMarked);
      looks.push_back({.slot = entry.slot});
    }
    const size_t words = columns_.LookForPins(looks);
    share_.words_for_a_look = words / std::max<size_t>(looks.size(), 1);
    share_.eviction_looks_left -= std::min(share_.eviction_looks_left, words / kWordsForALook);
    std::vector<SlotLook> pinned;
    for (const EvictionEntry& entry : batch) {
      if (infos_[entry.slot].holds > 0 || LookAt(looks, entry.slot).is_pinned) {
        left_queue_.emplace(entry.slot, entry);
        pinned.push_back({.slot = entry.slot});
      } else {
        ++stats_.evicted;
        PENSTOCK_CRASH_POINT(kEvictDecided);
        Unlist(entry.slot);
        graves_.Bury(slots_[entry.slot].id.Hash(), AnswerCode::kEvicted);
        Announce(3, entry.slot);
        Free(entry.slot);
        freed = true;
      }
    }
    PutBackWanted(pinned);
  }
  if (freed) return true;
  if (HasMoreToEvict()) {
    room_changed_ = true;
    return false;
  }
  if (writing_bytes_ < block_bytes) StartSpill(block_bytes - writing_bytes_);
  return false;
}

// Of marked slots that somebody pins, and that have left their queue: their last release tells us.
void Core::PutBackWanted(std::vector<SlotLook>& pinned) {
  for (const SlotLook& look : pinned) {
    slots_.PutBack(look.slot);
    slots_.MarkWanted(look.slot);
    infos_[look.slot].wanted = true;
  }
  // SYNC S3: of one whose last pin went before the mark nobody tells.
  columns_.LookForPins(pinned);
  for (const SlotLook& look : pinned) {
    if (!look.is_pinned && infos_[look.slot].holds == 0) ReturnToQueue(look.slot);
  }
}

// A look costs as much as there are sessions; together they are some 0.1 ms.
void Core::BeginEvictionLooks() {
  share_.has_more_to_flush = false;
  share_.eviction_looks_left =
      std::max<size_t>(kMostEvictionLooks / (1 + columns_.size() / (8 * kManySessions)),
                       kEvictionBatch);
}

void Core::ReturnToQueue(uint32_t slot) {
  if (!left_queue_.empty()) {
    if (const auto entry = left_queue_.find(slot); entry != left_queue_.end()) {
      evictable_.PushAgain(entry->second);
      left_queue_.erase(entry);
    }
  }
  if (!left_clean_.empty()) {
    if (const auto item = left_clean_.find(slot); item != left_clean_.end()) {
      clean_[PriorityOf(slots_[slot].flags)].push_back(item->second);
      left_clean_.erase(item);
    }
  }
}

// Blocks that were freed lie in the allocator's stacks, where they do not become one with their
// neighbours. Some go back to them in each turn, and from now on those that are freed at once.
// True: the next turn may bring what is wanted.
bool Core::FlushesFor(uint64_t block_bytes) {
  if (FreeSlots() == 0 || !allocator_.MayMerge(block_bytes)) return false;
  allocator_.CloseStacks();
  share_.has_more_to_flush = room_changed_ = true;
  return true;
}

// Takes the next ones out of the queue, in the order of their true last use: one that was used
// since it was put there goes back. May come back with none.
std::vector<EvictionEntry> Core::LeastRecentlyUsed(uint64_t wanted_bytes) {
  std::vector<EvictionEntry> entries;
  std::vector<SlotLook> looks;
  uint64_t bytes = 0;
  const size_t most = std::clamp<size_t>(kPinWordsInATurn / 8 / (share_.words_for_a_look + 1), 1,
                                         kEvictionBatch);
  while (!evictable_.empty() && share_.eviction_looks_left > 0 && entries.size() < most &&
         (entries.empty() || bytes < wanted_bytes)) {
    const EvictionEntry entry = evictable_.Pop();
    --share_.eviction_looks_left;
    ++stats_.eviction_looks;
    const uint64_t word = slots_.Word(entry.slot);
    if (StateOf(word) != SlotState::kSealed || GenerationOf(word) != entry.generation) {
      continue;  // deleted meanwhile
    }
    bytes += leases_[entry.slot].block_bytes;
    entries.push_back(entry);
    looks.push_back({.slot = entry.slot, .last_use = infos_[entry.slot].epoch});
  }
  columns_.LookForUses(looks, Epoch());
  std::erase_if(entries, [&](const EvictionEntry& entry) {
    const uint64_t last_use = LookAt(looks, entry.slot).last_use;
    if (last_use == entry.epoch) return false;
    infos_[entry.slot].epoch = last_use;
    evictable_.Push(entry.priority, last_use, entry.slot, entry.generation);
    return true;
  });
  return entries;
}

}  // namespace penstock
