// SlotTable: the daemon's named operations on slots. It is the only writer.
#ifndef PENSTOCK_STORE_SHM_SLOT_TABLE_H_
#define PENSTOCK_STORE_SHM_SLOT_TABLE_H_

#include <atomic>
#include <cstdint>

#include "store/base/check.h"
#include "store/shm/index_segment.h"

namespace penstock {

// A reader without a pin takes a slot's fields between two looks at its state: what it read
// counts if the state did not change. Between the fields and the second look stands this
// fence. ThreadSanitizer knows no fences, and sees one side of the race only: the other is
// another process.
inline void FenceBeforeSecondLook() {
#ifdef __SANITIZE_THREAD__
  std::atomic_signal_fence(std::memory_order_acquire);
#else
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
}

// What a slot says of a sealed object.
struct ObjectFacts {
  ObjectId id;
  uint64_t offset = 0;
  uint64_t size = 0;
  uint32_t metadata_size = 0;
  uint32_t type_tag = 0;
  uint32_t flags = 0;
};

// Thread safety: one thread, the daemon's.
class SlotTable {
 public:
  explicit SlotTable(IndexSegment index) : index_(index) {}

  uint64_t Word(uint32_t slot) const {
    return index_.slot(slot).state.load(std::memory_order_relaxed);
  }
  uint64_t Generation(uint32_t slot) const { return GenerationOf(Word(slot)); }
  SlotState State(uint32_t slot) const { return StateOf(Word(slot)); }
  const Slot& operator[](uint32_t slot) const { return index_.slot(slot); }

  // free -> leased. Relaxed: the client hears of it through its completion ring.
  void Lease(uint32_t slot) {
    Set(slot, SlotState::kFree, SlotState::kLeased, std::memory_order_relaxed);
  }

  // leased -> sealed. Release: whoever reads the state sees the fields.
  void Publish(uint32_t slot, const ObjectFacts& facts) {
    Fill(slot, facts);
    Set(slot, SlotState::kLeased, SlotState::kSealed, std::memory_order_release);
  }
  // leased -> deleted: its seal was refused, and its maker may pin it all the same. The mark of
  // SYNC S2 and S3, as below.
  void PublishDeleted(uint32_t slot, const ObjectFacts& facts) {
    PENSTOCK_CHECK(State(slot) == SlotState::kLeased) << "slot " << slot << " refused unsealed";
    Fill(slot, facts);
    Mark(slot, SlotState::kDeleted);
  }

  // SYNC S2 pin/evict, daemon's half, first step: the mark. A sequentially consistent
  // exchange is the full fence between the mark and the look at the pin column.
  void MarkEvicting(uint32_t slot) { Mark(slot, SlotState::kEvicting); }
  void MarkDeleted(uint32_t slot) { Mark(slot, SlotState::kDeleted); }
  // SYNC S3 last release: the daemon waits for somebody's pin or hold.
  void MarkWanted(uint32_t slot) {
    index_.slot(slot).state.exchange(Word(slot) | kSlotWanted, std::memory_order_seq_cst);
  }

  // While evicting, and nobody pins it: its bytes lie at `offset` too, from now on only there.
  // The put-back publishes it (release). Stored before what the caller stores next, should the
  // daemon die in between.
  void Move(uint32_t slot, uint64_t offset) {
    PENSTOCK_CHECK(State(slot) == SlotState::kEvicting) << "slot " << slot << " moved unmarked";
    index_.slot(slot).offset = offset;
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  // evicting -> sealed: somebody pins it, or it has moved.
  void PutBack(uint32_t slot) {
    Set(slot, SlotState::kEvicting, SlotState::kSealed, std::memory_order_release);
  }

  // sealed and wanted -> sealed: nobody waits any more.
  void ForgetWanted(uint32_t slot) {
    Set(slot, SlotState::kSealed, SlotState::kSealed, std::memory_order_release);
  }

  // any -> free, generation + 1: whoever still holds the old generation is too late.
  void Free(uint32_t slot) {
    const uint64_t next = (Generation(slot) + 1) & kSlotGenerationMask;
    PENSTOCK_CHECK(next != 0) << "slot " << slot << " used up 2^48 generations";
    index_.slot(slot).state.store(SlotWord(SlotState::kFree, next),
                                  std::memory_order_release);
  }

 private:
  void Fill(uint32_t slot, const ObjectFacts& facts) {
    Slot& target = index_.slot(slot);
    target.id = facts.id;
    target.offset = facts.offset;
    target.size = facts.size;
    target.metadata_size = facts.metadata_size;
    target.type_tag = facts.type_tag;
    target.flags = facts.flags;
  }
  void Set(uint32_t slot, SlotState from, SlotState to, std::memory_order order) {
    const uint64_t word = Word(slot);
    PENSTOCK_CHECK(StateOf(word) == from) << "slot " << slot << " word " << word;
    index_.slot(slot).state.store(SlotWord(to, GenerationOf(word)), order);
  }
  void Mark(uint32_t slot, SlotState mark) {
    index_.slot(slot).state.exchange(SlotWord(mark, Generation(slot)),
                                     std::memory_order_seq_cst);
  }

  IndexSegment index_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_SLOT_TABLE_H_
