// Replies and errors, packed and taken apart.
#include "runtime/process/records.h"

#include <msgpack.hpp>
#include <penstock/errors.h>

#include "absl/status/status.h"

namespace penstock::internal {

std::string PackError(const ErrorFacts& facts) {
  msgpack::sbuffer buffer;
  msgpack::pack(buffer, std::make_tuple(static_cast<uint8_t>(facts.kind), facts.message,
                                        facts.function, facts.node, facts.pid, facts.signal,
                                        facts.code));
  return {buffer.data(), buffer.size()};
}

void ThrowError(std::string_view packed) {
  std::tuple<uint8_t, std::string, std::string, std::string, int32_t, int32_t, int32_t> facts;
  try {
    facts = Unpack<decltype(facts)>(packed);
  } catch (const std::exception&) {
    throw ObjectLost("the error of this call cannot be read: its process wrote nonsense");
  }
  const auto& [kind, message, function, node, pid, signal, code] = facts;
  switch (static_cast<ErrorKind>(kind)) {
    case ErrorKind::kTask: throw TaskFailed(message, function, node, pid);
    case ErrorKind::kWorker: throw WorkerDied(message, pid, signal, code);
    case ErrorKind::kActor: throw ActorDied(message, code != 0);
    case ErrorKind::kInfeasible: throw ResourcesInfeasible(message);
    case ErrorKind::kLimit: throw WorkerLimit(message);
    case ErrorKind::kUsage: throw UsageError(message);
    case ErrorKind::kUnavailable: throw RuntimeUnavailable(message);
    default: throw ObjectLost(message);
  }
}

absl::StatusOr<ParsedReply> ParseReply(std::string_view bytes) {
  ParsedReply reply;
  const auto broken = [] {
    return absl::DataLossError("a reply that says more than it holds");
  };
  if (!TakeFrom(bytes, reply.header)) return broken();
  for (auto* const ids : {&reply.borrowed, &reply.contained}) {
    const uint32_t count =
        ids == &reply.borrowed ? reply.header.borrowed : reply.header.contained;
    if (count > bytes.size() / sizeof(ObjectId)) return broken();
    ids->resize(count);
    for (ObjectId& id : *ids) TakeFrom(bytes, id);
  }
  reply.body = bytes;
  return reply;
}

}  // namespace penstock::internal
