// What the spill store is asked for and what it answers.
#ifndef PENSTOCK_STORE_SPILL_SPILL_TYPES_H_
#define PENSTOCK_STORE_SPILL_SPILL_TYPES_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <penstock/object_id.h>

#include "store/base/units.h"

namespace penstock {

// Why an object could not be written or read.
enum class SpillFault : uint8_t {
  kNone,
  kDiskFull,    // ENOSPC, EDQUOT, EFBIG
  kLimit,       // SpillOptions::limit_bytes
  kTableFull,   // more objects on disk than the table has entries
  kUnwritable,  // the directory is gone, read-only or forbidden
  kIo,          // the disk said so, see error_number
  kMissing,     // the file is gone
  kTruncated,   // the file ends before the object does
  kAltered,     // other bytes than were written
  kCancelled,   // SpillStore::Close came first
};
inline constexpr size_t kSpillFaults = 10;
std::string_view NameOf(SpillFault fault);

// kAuto: io_uring, or threads where the kernel or a container refuses it.
enum class SpillIo : uint8_t { kAuto, kUring, kThreads };

inline constexpr uint64_t kLeastSpillLimitBytes = kMiB;

struct SpillOptions {
  // Made with mode 0700 when it is missing (its parent must be there). Belongs to one store
  // at a time.
  std::string dir = {};
  // Most bytes that the files may take together, dead records included. 0: as far as the
  // disk goes. Less than 16 x file_bytes leaves little to compaction. Moving objects out of
  // a file may exceed it for a moment, by no more than what was live in that file.
  uint64_t limit_bytes = 0;
  // A file takes records until it has this many bytes; a larger record gets a file of its
  // own. 1 MiB to 1 TiB, a multiple of 4096.
  uint64_t file_bytes = 256 * kMiB;
  SpillIo io = SpillIo::kAuto;
  uint64_t incarnation = 0;  // of the store; that of the table
};

using SpillHandle = uint32_t;  // an entry of the table
inline constexpr SpillHandle kNoSpillHandle = ~SpillHandle{0};

struct SpilledObject {
  ObjectId id;
  uint64_t size = 0;  // of the payload
  uint32_t metadata_size = 0;
  uint32_t type_tag = 0;
  uint32_t flags = 0;
  uint64_t maker_session = 0;
  int32_t maker_pid = 0;
  uint64_t origin = 0;  // what it was in memory when it was written; the caller's
  friend bool operator==(const SpilledObject&, const SpilledObject&) = default;
};

struct SpillDone {
  enum class Kind : uint8_t { kWritten, kRead };
  uint64_t ticket = 0;
  Kind kind = Kind::kWritten;
  SpillFault fault = SpillFault::kNone;
  SpillHandle handle = kNoSpillHandle;  // kWritten with a fault: none
  int error_number = 0;                 // errno behind the fault, or 0
  uint32_t file = 0;                    // number of the file concerned, or 0
};

struct SpillStats {
  uint64_t live_objects = 0;
  uint64_t live_bytes = 0;       // records, padding included
  uint64_t file_bytes = 0;       // all files, dead records included
  uint64_t files = 0;
  uint64_t written_objects = 0;  // since Open, like all below
  uint64_t written_bytes = 0;    // stored bytes
  uint64_t read_objects = 0;
  uint64_t read_bytes = 0;
  uint64_t compacted_files = 0;
  uint64_t compacted_bytes = 0;  // records copied out of files
  uint64_t damaged_objects = 0;  // met by compaction and left where they are
  uint64_t damaged_files = 0;    // whose header was another at Open; records still count
  std::array<uint64_t, kSpillFaults> faults{};  // by SpillFault; [kNone] stays 0
  uint64_t waiting_writes = 0;   // asked for and not done, at this moment
  uint64_t waiting_reads = 0;
  bool moving = false;           // compaction runs
  bool direct = true;            // O_DIRECT; else through the page cache
  std::string_view io = "";      // "io_uring" or "threads"
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_TYPES_H_
