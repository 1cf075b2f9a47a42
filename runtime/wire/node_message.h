// Building and checking of node messages (node.fbs).
#ifndef PENSTOCK_RUNTIME_WIRE_NODE_MESSAGE_H_
#define PENSTOCK_RUNTIME_WIRE_NODE_MESSAGE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/wire/node_generated.h"

namespace penstock {

// Descriptors that a process registers with.
enum ProcessFd : size_t {
  kProcessPage = 0,   // read-only; ProcessPage
  kProcessDoorbell = 1,
  kProcessFdCount = 2,
  kLaunchFile = 2,    // a driver's: arguments and environment of its workers
  kExecutable = 3,
  kDirectory = 4,     // working directory
  kDriverFdCount = 5,
};
// Descriptors of a Meeting.
enum MeetingFd : size_t {
  kOwnSegment = 0,
  kPeerSegment = 1,   // read-only
  kPeerPage = 2,      // read-only
  kPeerDoorbell = 3,
  kMeetingFdCount = 4,
};

using Amounts = std::vector<std::pair<std::string, double>>;

// A message that has been read, or is to be written: node.fbs says which kind uses what.
struct NodeFacts {
  wire::NodeKind kind = wire::NodeKind_None;
  uint64_t request = 0;
  uint64_t process = 0;
  uint64_t actor = 0;
  uint64_t job = 0;
  Amounts resources = {};
  Amounts kept = {};
  bool dedicated = false;
  int32_t code = 0;
  int32_t signal = 0;
  int32_t pid = 0;
  std::string name = {};
  std::string text = {};
  uint64_t session = 0;
};

std::string EncodeNodeMessage(const NodeFacts& facts);
// InvalidArgument when the bytes are none: the verifier looks at every offset first.
absl::StatusOr<NodeFacts> DecodeNodeMessage(std::string_view bytes);

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_WIRE_NODE_MESSAGE_H_
