// Building and checking of control messages (control.fbs).
#ifndef PENSTOCK_STORE_WIRE_CONTROL_MESSAGE_H_
#define PENSTOCK_STORE_WIRE_CONTROL_MESSAGE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/wire/control_generated.h"

namespace penstock {

struct WelcomeFacts {
  uint64_t session = 0;
  uint64_t incarnation = 0;
  uint64_t index_bytes = 0;
  uint64_t arena_bytes = 0;
  uint32_t capacity = 0;
  int32_t daemon_pid = 0;
  bool read_only = false;
};

// What one daemon writes and the next one reads.
struct StoreLayouts {
  uint32_t index = 0;
  uint32_t session = 0;
  uint32_t lease = 0;
  uint32_t spill = 0;
};

struct StatusFacts {
  std::vector<std::pair<std::string, uint64_t>> counters;
  std::vector<std::string> notes;
};

// `read_only`: a client that gives up writing, though it might be allowed to.
std::string HelloMessage(wire::Role role, uint32_t index_layout, uint32_t session_layout,
                         bool read_only = false);
std::string WelcomeMessage(const WelcomeFacts& facts);
std::string RefusedMessage(const absl::Status& why);
std::string GoodbyeMessage();
std::string RestartedMessage(uint32_t restarts);
std::string ReturnLeasesMessage();
// `spill_dir`: as CanonicalDirectory gives it; empty: none.
std::string TakeOverMessage(const StoreLayouts& layouts, const std::string& spill_dir = "");
// `flags`: that this daemon was given, each as "--name value".
std::string HandOverMessage(const std::vector<std::string>& flags);
std::string StatusRequestMessage();
std::string StatusReplyMessage(const StatusFacts& facts);

// The message in `bytes`, which must outlive it. InvalidArgument when they are none: the
// verifier has looked at every offset before anybody follows one.
absl::StatusOr<const wire::Message*> ParseMessage(std::string_view bytes);

WelcomeFacts FactsOf(const wire::Welcome& welcome);
absl::Status StatusOf(const wire::Refused& refused);
StatusFacts FactsOf(const wire::StatusReply& reply);

}  // namespace penstock

#endif  // PENSTOCK_STORE_WIRE_CONTROL_MESSAGE_H_
