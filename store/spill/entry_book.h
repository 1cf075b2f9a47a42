// EntryBook: which entries of the table are free, and which belong to each file. Private
// memory of the spill thread; a restart rebuilds it from the table.
#ifndef PENSTOCK_STORE_SPILL_ENTRY_BOOK_H_
#define PENSTOCK_STORE_SPILL_ENTRY_BOOK_H_

#include <cstdint>
#include <vector>

#include "store/base/check.h"
#include "store/spill/spill_types.h"

namespace penstock {

// The entries of one file, linked through the book.
struct EntryList {
  SpillHandle head = kNoSpillHandle;
};

class EntryBook {
 public:
  explicit EntryBook(uint32_t capacity) : capacity_(capacity) {}

  // Entries below `used` are announced after this, before the first Take, each once: as free
  // or in a list. Those from it on are free.
  void Resume(SpillHandle used) { links_.resize(used); }
  void AddFree(SpillHandle handle) { free_.push_back(handle); }
  // kNoSpillHandle when the table is full.
  SpillHandle Take() {
    if (!free_.empty()) {
      const SpillHandle handle = free_.back();
      free_.pop_back();
      return handle;
    }
    if (links_.size() == capacity_) return kNoSpillHandle;
    links_.emplace_back();
    return static_cast<SpillHandle>(links_.size() - 1);
  }
  void GiveBack(SpillHandle handle) {
    links_[handle] = Link();
    free_.push_back(handle);
  }

  void Insert(EntryList& list, SpillHandle handle) {
    Link& link = links_[handle];
    PENSTOCK_CHECK(link.prev == kNoSpillHandle && link.next == kNoSpillHandle);
    link.next = list.head;
    if (list.head != kNoSpillHandle) links_[list.head].prev = handle;
    list.head = handle;
  }
  void Remove(EntryList& list, SpillHandle handle) {
    Link& link = links_[handle];
    (link.prev != kNoSpillHandle ? links_[link.prev].next : list.head) = link.next;
    if (link.next != kNoSpillHandle) links_[link.next].prev = link.prev;
    link.prev = link.next = kNoSpillHandle;
  }
  std::vector<SpillHandle> All(const EntryList& list) const {
    std::vector<SpillHandle> handles;
    for (SpillHandle handle = list.head; handle != kNoSpillHandle;
         handle = links_[handle].next) {
      handles.push_back(handle);
    }
    return handles;
  }

  // A damaged record stays where it is until its object is dropped.
  bool IsDamaged(SpillHandle handle) const { return links_[handle].damaged; }
  void MarkDamaged(SpillHandle handle) { links_[handle].damaged = true; }

 private:
  struct Link {
    SpillHandle prev = kNoSpillHandle;
    SpillHandle next = kNoSpillHandle;
    bool damaged = false;
  };
  const uint32_t capacity_;
  std::vector<Link> links_;  // of the entries used so far: of what is not there, no memory
  std::vector<SpillHandle> free_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_ENTRY_BOOK_H_
