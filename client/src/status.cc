// QueryStatus: asking the daemon how it is, over a connection of its own.
#include <penstock/client.h>

#include <algorithm>
#include <array>
#include <limits>

#include "store/base/errors.h"
#include "store/base/store_directory.h"
#include "store/shm/session_layout.h"
#include "store/shm/slot_layout.h"
#include "store/wire/control_message.h"
#include "store/wire/packet_socket.h"

namespace penstock {

uint64_t DaemonStatus::Counter(std::string_view name) const {
  for (const auto& [known, value] : counters) {
    if (known == name) return value;
  }
  return 0;
}

absl::StatusOr<DaemonStatus> QueryStatus(const std::string& dir, absl::Duration patience) {
  const std::array<std::string, 2> packets = {
      HelloMessage(wire::Role_Observer, kIndexLayoutVersion, kSessionLayoutVersion),
      StatusRequestMessage()};
  // Negative ones count as 0: to poll they are for ever.
  const int patience_ms = static_cast<int>(std::clamp<int64_t>(
      absl::ToInt64Milliseconds(patience), 0, std::numeric_limits<int>::max()));
  const std::string place = StoreDirectory(dir);
  PENSTOCK_RETURN_IF_ERROR(CheckStoreDirectory(place));
  PENSTOCK_ASSIGN_OR_RETURN(const Conversation begun,
                            ConnectAndAsk(SocketPath(place), packets, patience_ms));
  const Packet& packet = begun.answer;
  PENSTOCK_ASSIGN_OR_RETURN(const wire::Message* message, ParseMessage(packet.bytes));
  if (const auto* refused = message->body_as_Refused()) return StatusOf(*refused);
  const auto* reply = message->body_as_StatusReply();
  if (reply == nullptr) {
    return absl::InvalidArgumentError("what answers there sent no status: another program");
  }
  StatusFacts facts = FactsOf(*reply);
  return DaemonStatus{std::move(facts.counters), std::move(facts.notes)};
}

}  // namespace penstock
