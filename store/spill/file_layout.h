// A spill file, as pure data: a file header, then records. A file can be verified alone.
//
// 1. LAYOUT (little endian): block 0 holds SpillFileHeader; each record starts at a multiple
//    of 4096 with a RecordHeader (128 bytes). The stored bytes (payload, gap, metadata)
//    follow at `data_offset`: right behind the header in a record that is packed with others
//    into one write, at 4096 in a larger one, so that they go to and from disk without a
//    copy. The rest up to the next multiple of 4096 is padding, of any content.
// 2. WHO WRITES IT: the spill thread of the store that made the file; never changed.
// 3. STATES: a record counts when an entry of the spill table names it, and not before.
// 4. SYNC POINTS: none. The piece of a record that holds its header is written last.
// 5. INVARIANTS: a header's own place, id and lengths are those of the entry that names it
//    (CheckRecord).
// 6. CRASH SAFETY: a record that was half written is named by no entry; its file takes no
//    further records after a restart and goes when nothing in it is live.
//    tests/unit/spill/kill_test.cc
// 7. TRUST: hostile input. Header and stored bytes carry checksums of 64 bits and are
//    compared with the entry before anybody is told that a read went well.
// 8. VERSION: kSpillFileVersion, in the file's header and in each record's.
// 9. TESTS: tests/unit/spill/{damage,restart}_test.cc, tests/fuzz/spill_files.cc. More of
//    all parts in docs/formats/spill_file.md.
#ifndef PENSTOCK_STORE_SPILL_FILE_LAYOUT_H_
#define PENSTOCK_STORE_SPILL_FILE_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include <penstock/object_id.h>

#include "store/base/units.h"
#include "store/spill/spill_layout.h"

namespace penstock {

inline constexpr uint64_t kSpillFileMagic = 0x454c464c50535450;  // "PTSPLFLE"
inline constexpr uint64_t kRecordMagic = 0x4443524c50535450;      // "PTSPLRCD"
inline constexpr uint32_t kSpillFileVersion = 1;

struct SpillFileHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t number;
  uint64_t incarnation;
  uint64_t checksum;  // XXH3, 64 bits, of the bytes before
};
static_assert(sizeof(SpillFileHeader) == 32 && offsetof(SpillFileHeader, checksum) == 24);

struct RecordHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t data_offset;    // from the start of the record
  uint64_t incarnation;
  uint64_t location;       // the record's own
  ObjectId id;
  uint64_t size;
  uint64_t stored_bytes;
  uint64_t data_checksum;  // XXH3, 64 bits, of the stored bytes
  uint64_t maker_session;
  int32_t maker_pid;
  uint32_t metadata_size;
  uint32_t type_tag;
  uint32_t flags;
  uint64_t reserved[2];    // zero
  uint64_t checksum;       // XXH3, 64 bits, of the bytes before
};
static_assert(sizeof(RecordHeader) == 128 && offsetof(RecordHeader, id) == 32);
static_assert(offsetof(RecordHeader, maker_pid) == 88);
static_assert(offsetof(RecordHeader, checksum) == 120);

// Up to this many bytes a record is packed with others. Above, a copy costs more than a
// write of its own does.
inline constexpr uint64_t kPackedRecordBytes = 128 * kKiB;

constexpr bool IsPacked(uint64_t stored_bytes) {
  return sizeof(RecordHeader) + stored_bytes <= kPackedRecordBytes;
}
constexpr uint64_t DataOffset(uint64_t stored_bytes) {
  return IsPacked(stored_bytes) ? sizeof(RecordHeader) : kSpillBlockBytes;
}
// Of the whole record, padding included.
constexpr uint64_t RecordBytes(uint64_t stored_bytes) {
  return RoundUp(DataOffset(stored_bytes) + stored_bytes, kSpillBlockBytes);
}

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_FILE_LAYOUT_H_
