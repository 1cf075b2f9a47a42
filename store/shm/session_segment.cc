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

}  // namespace penstock
