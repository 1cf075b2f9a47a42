// Formatting and checking of session segments.
#include "store/shm/session_segment.h"

#include <fmt/format.h>

namespace penstock {

void SessionSegments::Format(uint32_t capacity, uint64_t session) const {
  client->layout_version = kSessionLayoutVersion;
  client->capacity = capacity;
  client->magic = kClientSegmentMagic;
  daemon->layout_version = kSessionLayoutVersion;
  daemon->session = session;
  daemon->magic = kDaemonSegmentMagic;
}

absl::Status SessionSegments::Check(uint32_t capacity) const {
  if (client->magic != kClientSegmentMagic || daemon->magic != kDaemonSegmentMagic) {
    return absl::InvalidArgumentError(
        "the memory received is no Penstock session: something else answers on this socket");
  }
  if (client->layout_version != kSessionLayoutVersion ||
      daemon->layout_version != kSessionLayoutVersion || client->capacity != capacity) {
    return absl::FailedPreconditionError(fmt::format(
        "the daemon's session has layout version {} and {} pins, this library expects "
        "version {} and {}: use the same release of Penstock for both",
        daemon->layout_version, client->capacity, kSessionLayoutVersion, capacity));
  }
  return absl::OkStatus();
}

std::string_view NameOf(SpillTrouble trouble) {
  switch (trouble) {
    case SpillTrouble::kNone: return "no trouble";
    case SpillTrouble::kDiskFull: return "the disk is full";
    case SpillTrouble::kUnwritable: return "the directory cannot be written to";
    case SpillTrouble::kIo: return "the disk reports an error";
    case SpillTrouble::kMissing: return "its file is gone";
    case SpillTrouble::kTruncated: return "its file was cut off";
    case SpillTrouble::kAltered: return "its file was altered";
    case SpillTrouble::kLimit: return "the limit set by --spill-limit is reached";
    case SpillTrouble::kTableFull: return "as many objects are on disk as it takes";
    case SpillTrouble::kGone: return "the directory is gone";
  }
  return "an unknown trouble";
}

std::string_view NextStepOf(SpillTrouble trouble) {
  switch (trouble) {
    case SpillTrouble::kDiskFull: return "make room on that disk, and writing goes on by itself";
    case SpillTrouble::kLimit:
      return "delete objects, or raise it with penstockd --take-over --spill-limit";
    case SpillTrouble::kTableFull:
      return "delete objects, or start the daemon with more --objects";
    case SpillTrouble::kGone:
      return "make it again with mkdir -m 700, and writing goes on by itself";
    case SpillTrouble::kUnwritable:
      return "it has to be the store's user's alone, no other store's, and on a writable disk";
    case SpillTrouble::kIo: return "look at that disk: writing is tried again";
    default: return "";
  }
}

}  // namespace penstock
