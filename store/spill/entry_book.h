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
  explicit EntryBook(uint32_t capacity) : links_(capacity) {}

  // All entries must be announced once, as free or in a list, before the first Take.
  void AddFree(SpillHandle handle) { free_.push_back(handle); }
  // kNoSpillHandle when the table is full.
  SpillHandle Take() {
    if (free_.empty()) return kNoSpillHandle;
    const SpillHandle handle = free_.back();
    free_.pop_back();
    return handle;
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
  std::vector<Link> links_;
  std::vector<SpillHandle> free_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_ENTRY_BOOK_H_
