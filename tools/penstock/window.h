// The tools' end of the keeper's window (store/wire/window_message.h).
#ifndef PENSTOCK_TOOLS_PENSTOCK_WINDOW_H_
#define PENSTOCK_TOOLS_PENSTOCK_WINDOW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"
#include "store/wire/window_message.h"

namespace penstock {

// One packet of the keeper's. A descriptor that did not come is invalid.
struct WindowPage {
  struct Session {
    WindowSession facts{};
    UniqueFd daemon_segment;
    UniqueFd client_segment;
  };
  WindowAnswer facts{};
  // Its process numbers are those of another process namespace: /proc here shows others there.
  bool is_elsewhere = false;
  UniqueFd index;
  UniqueFd leases;
  UniqueFd spill_table;
  std::vector<Session> sessions;
};

// Sessions whose number is above `after_session`, as many as fit into a packet. `dir` is the
// store's. Waits for `patience_ms` at most. Errors say what to do: NotFound where there is no
// store, PermissionDenied where it is somebody else's, DeadlineExceeded from a keeper that does
// not answer.
absl::StatusOr<WindowPage> AskKeeper(const std::string& dir, uint64_t after_session,
                                     int patience_ms = 2000);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCK_WINDOW_H_
