// One client's or observer's connection: the socket, its process, the session's segments.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_CONNECTION_H_
#define PENSTOCK_TOOLS_PENSTOCKD_CONNECTION_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"
#include "store/object/session.h"
#include "store/shm/mapping.h"
#include "store/shm/memory_file.h"
#include "store/shm/session_segment.h"
#include "tools/penstockd/bitmap_window.h"
#include "tools/penstockd/kept_store.h"

namespace penstock {

struct Connection {
  UniqueFd socket;
  UniqueFd pidfd;
  int32_t pid = 0;
  uint32_t uid = 0;
  std::vector<uint32_t> gids;
  SessionRole role = SessionRole::kReadOnly;  // what it may do
  uint32_t refused_packets = 0;
  uint64_t number = 0;  // of the session

  // A client's, after its Hello.
  std::optional<SessionRow> row;
  MemoryFile client_file;
  MemoryFile daemon_file;
  UniqueFd daemon_read_only;
  Mapping client_mapping;
  Mapping daemon_mapping;
  BitmapWindow::Pane bitmap_pane;
  UniqueFd daemon_doorbell;  // rung by the client
  UniqueFd client_doorbell;  // rung by us: our own open file of it, which nobody else has

  // Makes and formats the segments and doorbells of a session.
  absl::Status MakeSession(uint32_t capacity, uint64_t number, BitmapWindow& bitmaps);
  // The session of a daemon that died, as the keeper kept it.
  static absl::StatusOr<Connection> Keep(KeptConnection kept, uint32_t capacity,
                                         BitmapWindow& bitmaps);
  // Its bitmap is read through the pane, if it has one.
  SessionSegments segments(uint32_t capacity) const;

  // What the client gets of its doorbell.
  absl::StatusOr<UniqueFd> DoorbellForClient() const;

  // All but the socket, of a connection that is at its end.
  std::vector<UniqueFd> TakeDescriptors();

  // Takes over an accepted socket and asks the kernel for the process behind it. On failure it
  // leaves the socket, for the reason to be said there.
  static absl::StatusOr<Connection> Accept(UniqueFd& socket);

  // What the keeper is to hold of the session.
  SessionDescriptors descriptors() const {
    return {number, pid, uid, role == SessionRole::kReadOnly, socket.get(), pidfd.get(),
            client_file.fd(), daemon_file.fd(), daemon_read_only.get(), daemon_doorbell.get(),
            client_doorbell.get()};
  }

 private:
  absl::Status MapSession(uint32_t capacity, BitmapWindow& bitmaps);
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_CONNECTION_H_
