// The spill table, as pure data: one entry for each object on disk, in a segment that only
// daemon and keeper hold, so that a daemon after kill -9 knows what lies where.
//
// 1. LAYOUT (little endian): SpillTableHeader (64 bytes), then capacity x SpillEntry
//    (128 bytes). `location` is file number << 32 | offset in the file / 4096.
// 2. WHO WRITES EACH WORD: the daemon's process alone, by two of its threads.
//      entry.state     spill thread: free -> live, ended -> free (store release);
//                      daemon's thread: live -> ended (store release); both load acquire
//      entry.location  spill thread, store release; loaded by it, and by a later daemon
//      entry.<others>  spill thread, plain, while the state is free
//      header.next_file  spill thread, plain, before a file of that number is made
//      header.used       spill thread, store release, before an entry is live for the first
//                        time; load acquire
//      header.<others>   written once, `magic` last
// 3. STATES of an entry
//      free -> live    its record is on disk, whole
//      live -> ended   dropped: the first store of a drop (SpillTable::End)
//      ended -> free   the spill thread has taken it off its file
// 4. SYNC POINTS: none with another process. An entry's fields stand before its state says
//    live, and the record before the entry; a process killed between two stores has made
//    all earlier ones.
// 5. INVARIANTS
//      a. A live entry names a whole record (SpillWriter publishes after the write ended).
//      b. A file is deleted only when no live entry names it (SpillFiles::Settle); an
//         object that moves changes its place by the one store of `location`.
//      c. A file number is never used twice (header.next_file).
//      d. Every entry that is live or ended lies below header.used, so that a restart, and
//         whoever looks, reads what was used and not the whole table.
// 6. CRASH SAFETY: killed anywhere, each entry is live with its old or its new place, or it
//    is not live; both places hold the record, since a file goes last. What no entry names
//    is deleted by the next SpillStore::Open. tests/unit/spill/restart_test.cc,
//    tests/unit/spill/kill_test.cc.
// 7. TRUST: private to the daemon. What an entry names is a file that anybody with the
//    directory may have damaged: every read compares it with the entry's checksum.
// 8. VERSION: kSpillTableVersion, in the header; SpillTable::Attach refuses another.
// 9. TESTS: tests/unit/spill/{spill_table,restart,kill,spill_property}_test.cc. More of all
//    parts in docs/formats/spill_table.md.
#ifndef PENSTOCK_STORE_SPILL_SPILL_LAYOUT_H_
#define PENSTOCK_STORE_SPILL_SPILL_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <penstock/object_id.h>

namespace penstock {

inline constexpr uint64_t kSpillTableMagic = 0x4c42544c50535450;  // "PTSPLTBL"
inline constexpr uint32_t kSpillTableVersion = 2;

enum class SpillEntryState : uint64_t { kFree = 0, kLive = 1, kEnded = 2 };

struct SpillTableHeader {
  uint64_t magic;  // 0 until the table is made
  uint32_t version;
  uint32_t capacity;     // entries
  uint64_t incarnation;  // of the store, part of every file's name
  uint32_t next_file;    // number of the next file
  std::atomic<uint32_t> used;  // no entry from here on was ever live, or touched
  uint32_t reserved[8];  // zero
};
static_assert(sizeof(SpillTableHeader) == 64 && offsetof(SpillTableHeader, next_file) == 24);
static_assert(offsetof(SpillTableHeader, used) == 28);

struct alignas(64) SpillEntry {
  std::atomic<SpillEntryState> state;
  std::atomic<uint64_t> location;
  ObjectId id;
  uint64_t size;
  uint64_t stored_bytes;   // payload, gap and metadata
  uint64_t checksum;       // XXH3, 64 bits, of the stored bytes
  uint64_t maker_session;
  int32_t maker_pid;
  uint32_t metadata_size;
  uint32_t type_tag;
  uint32_t flags;
  uint64_t origin;         // slot and generation of the object that was written
  uint64_t reserved[4];    // zero
};
static_assert(sizeof(SpillEntry) == 128);
static_assert(offsetof(SpillEntry, location) == 8 && offsetof(SpillEntry, id) == 16);
static_assert(offsetof(SpillEntry, size) == 40 && offsetof(SpillEntry, checksum) == 56);
static_assert(offsetof(SpillEntry, maker_pid) == 72 && offsetof(SpillEntry, origin) == 88);
static_assert(std::atomic<SpillEntryState>::is_always_lock_free &&
              std::atomic<uint64_t>::is_always_lock_free);
static_assert(std::is_trivially_destructible_v<SpillEntry>);

// Where a record starts. Places are multiples of kSpillBlockBytes.
inline constexpr uint64_t kSpillBlockBytes = 4096;
struct SpillPlace {
  uint32_t file = 0;
  uint32_t block = 0;
  uint64_t offset() const { return uint64_t{block} * kSpillBlockBytes; }
  friend bool operator==(const SpillPlace&, const SpillPlace&) = default;
};
constexpr uint64_t LocationWord(SpillPlace place) {
  return (uint64_t{place.file} << 32) | place.block;
}
constexpr SpillPlace PlaceOf(uint64_t location) {
  return {static_cast<uint32_t>(location >> 32), static_cast<uint32_t>(location)};
}

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_LAYOUT_H_
