// Options of the client's calls: structs in which every field has a default, so that
// {.evictable = true} compiles without a warning (-Wmissing-field-initializers).
#ifndef PENSTOCK_OPTIONS_H_
#define PENSTOCK_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <penstock/object_id.h>

#include "absl/time/time.h"

namespace penstock {

struct ClientOptions {
  // Directory of the daemon's socket. Empty: the environment's PENSTOCK_DIR, else
  // /run/penstock for root, $XDG_RUNTIME_DIR/penstock, or /tmp/penstock-<uid>. Settled once, in
  // Connect: a relative one is from the current directory of then, whatever that is when the
  // client connects again. (But where only the relative path is short enough for a socket.)
  std::string dir = {};
  // Asks for a session that cannot write: no descriptor of the arena that could be mapped
  // writable comes into this process, and Create, Put and Delete say PermissionDenied. A
  // user whom the daemon's --allow lets read only gets such a session either way.
  bool read_only = false;
};

// What makes room for others in a full store, of a kind (evictable, or on disk as well, or to be
// written there): low before normal before high.
enum class Priority : uint8_t { kLow, kNormal, kHigh };

struct CreateOptions {
  // Empty: the library makes a fresh id, without a round trip. An id of Client::NextId()
  // costs none either; any other is reserved by one, and of two who create it the second
  // is told AlreadyExists. InvalidArgument for one of this session that it has not given.
  std::optional<ObjectId> id = std::nullopt;
  // Bytes kept beside the payload; copied by Create and Put. At most 1 MiB.
  std::span<const std::byte> metadata = {};
  // What the payload is, in the caller's own numbering. Tags from 2^31 on are Penstock's.
  uint32_t type_tag = 0;
  // May be dropped, least recently used first, when room is needed: a cache.
  bool evictable = false;
  // Of evictable objects: which is dropped first. Of others, where the daemon has a
  // --spill-dir: which goes to disk first, and which of those there leaves memory first.
  Priority priority = Priority::kNormal;
  // Is deleted when the session that made it ends.
  bool session_bound = false;
  // How long to wait for room in a full store, until ResourceExhausted says who holds the
  // memory. 0: not at all.
  absl::Duration deadline = absl::Seconds(10);
};

struct SubscribeOptions {
  bool seals = true;
  bool deletions = true;  // and evictions
};

}  // namespace penstock

#endif  // PENSTOCK_OPTIONS_H_
