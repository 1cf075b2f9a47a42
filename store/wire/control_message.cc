// FlatBuffers in and out.
#include "store/wire/control_message.h"

#include "store/wire/packet_socket.h"

namespace penstock {
namespace {

template <typename Body>
std::string Finish(flatbuffers::FlatBufferBuilder& builder, wire::Body type,
                   flatbuffers::Offset<Body> body) {
  wire::FinishMessageBuffer(builder, wire::CreateMessage(builder, type, body.Union()));
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

}  // namespace

std::string HelloMessage(wire::Role role, uint32_t index_layout, uint32_t session_layout,
                         bool read_only) {
  flatbuffers::FlatBufferBuilder builder;
  return Finish(builder, wire::Body_Hello,
                wire::CreateHello(builder, kProtocolVersion, index_layout, session_layout, role,
                                  read_only));
}

std::string WelcomeMessage(const WelcomeFacts& facts) {
  flatbuffers::FlatBufferBuilder builder;
  return Finish(builder, wire::Body_Welcome,
                wire::CreateWelcome(builder, facts.session, facts.incarnation,
                                    facts.index_bytes, facts.arena_bytes, facts.capacity,
                                    facts.daemon_pid, facts.read_only));
}

std::string RefusedMessage(const absl::Status& why) {
  flatbuffers::FlatBufferBuilder builder;
  const auto text = builder.CreateString(std::string(why.message()));
  return Finish(builder, wire::Body_Refused,
                wire::CreateRefused(builder, static_cast<uint32_t>(why.code()), text));
}

std::string GoodbyeMessage() {
  flatbuffers::FlatBufferBuilder builder;
  return Finish(builder, wire::Body_Goodbye, wire::CreateGoodbye(builder));
}

std::string RestartedMessage(uint32_t restarts) {
  flatbuffers::FlatBufferBuilder builder;
  return Finish(builder, wire::Body_Restarted, wire::CreateRestarted(builder, restarts));
}

std::string ReturnLeasesMessage() {
  flatbuffers::FlatBufferBuilder builder;
  return Finish(builder, wire::Body_ReturnLeases, wire::CreateReturnLeases(builder));
}

std::string TakeOverMessage(const StoreLayouts& layouts, const std::string& spill_dir) {
  flatbuffers::FlatBufferBuilder builder;
  flatbuffers::Offset<flatbuffers::String> dir;
  if (!spill_dir.empty()) dir = builder.CreateString(spill_dir);
  return Finish(builder, wire::Body_TakeOver,
                wire::CreateTakeOver(builder, kProtocolVersion, layouts.index, layouts.session,
                                     layouts.lease, layouts.spill, dir));
}

std::string HandOverMessage(const std::vector<std::string>& flags) {
  flatbuffers::FlatBufferBuilder builder;
  return Finish(builder, wire::Body_HandOver,
                wire::CreateHandOver(builder, builder.CreateVectorOfStrings(flags)));
}

std::string StatusRequestMessage() {
  flatbuffers::FlatBufferBuilder builder;
  return Finish(builder, wire::Body_StatusRequest, wire::CreateStatusRequest(builder));
}

std::string StatusReplyMessage(const StatusFacts& facts) {
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<wire::Counter>> counters;
  for (const auto& [name, value] : facts.counters) {
    counters.push_back(wire::CreateCounter(builder, builder.CreateString(name), value));
  }
  const auto counters_at = builder.CreateVector(counters);
  const auto notes_at = builder.CreateVectorOfStrings(facts.notes);
  return Finish(builder, wire::Body_StatusReply,
                wire::CreateStatusReply(builder, counters_at, notes_at));
}

absl::StatusOr<const wire::Message*> ParseMessage(std::string_view bytes) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  flatbuffers::Verifier verifier(data, bytes.size());
  if (bytes.size() < 8 || !wire::MessageBufferHasIdentifier(data) ||
      !wire::VerifyMessageBuffer(verifier)) {
    return absl::InvalidArgumentError(
        "the packet is no Penstock control message: the other side speaks another protocol");
  }
  return wire::GetMessage(data);
}

WelcomeFacts FactsOf(const wire::Welcome& welcome) {
  return {welcome.session(),     welcome.incarnation(), welcome.index_bytes(),
          welcome.arena_bytes(), welcome.capacity(),    welcome.daemon_pid(),
          welcome.read_only()};
}

absl::Status StatusOf(const wire::Refused& refused) {
  const auto code = static_cast<absl::StatusCode>(refused.code());
  return absl::Status(code == absl::StatusCode::kOk ? absl::StatusCode::kInternal : code,
                      refused.message()->str());
}

StatusFacts FactsOf(const wire::StatusReply& reply) {
  StatusFacts facts;
  for (const wire::Counter* counter : *reply.counters()) {
    facts.counters.emplace_back(counter->name()->str(), counter->value());
  }
  if (reply.notes() != nullptr) {
    for (const auto* note : *reply.notes()) facts.notes.push_back(note->str());
  }
  return facts;
}

}  // namespace penstock
