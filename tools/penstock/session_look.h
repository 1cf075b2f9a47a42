// What the two segments of a session show to who may only read them.
#ifndef PENSTOCK_TOOLS_PENSTOCK_SESSION_LOOK_H_
#define PENSTOCK_TOOLS_PENSTOCK_SESSION_LOOK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/penstock/process_state.h"
#include "tools/penstock/window.h"

namespace penstock {

struct SessionLook {
  uint64_t number = 0;
  int32_t pid = 0;
  uint32_t uid = 0;
  bool is_read_only = false;
  ProcessState process = ProcessState::kGone;
  // Nothing: the client's words make no sense, as `trouble` says.
  std::optional<uint32_t> unread_submissions;
  std::optional<uint32_t> unread_completions;
  uint64_t submissions_taken = 0;  // by the daemon, since the session began
  uint64_t completions_given = 0;
  bool is_parked = false;
  bool is_revoked = false;
  bool is_backlogged = false;  // completions wait for room in the ring
  bool said_goodbye = false;
  std::string trouble;
};

// `count` pins of a slot in the row of a session, of which `session` is the place in the list.
struct PinLook {
  uint32_t slot = 0;
  uint32_t session = 0;
  uint32_t count = 0;
};

// Reads what `page` has of a session of a store of `capacity` slots, and appends its pins.
// Every value in the client's segment is that client's to choose: a bad one is said in
// `trouble`. No page is read, and so made, that has no memory yet.
SessionLook LookAt(const WindowPage::Session& page, uint32_t capacity, uint32_t place,
                   std::vector<PinLook>& pins);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCK_SESSION_LOOK_H_
