// Node messages.
#include "runtime/wire/node_message.h"

#include "absl/status/status.h"

namespace penstock {
namespace {

using wire::Amount;

auto Pack(flatbuffers::FlatBufferBuilder& builder, const Amounts& amounts) {
  std::vector<flatbuffers::Offset<Amount>> offsets;
  for (const auto& [name, value] : amounts) {
    offsets.push_back(wire::CreateAmountDirect(builder, name.c_str(), value));
  }
  return builder.CreateVector(offsets);
}

Amounts Unpack(const flatbuffers::Vector<flatbuffers::Offset<Amount>>* packed) {
  Amounts amounts;
  if (packed == nullptr) return amounts;
  for (const Amount* const amount : *packed) {
    amounts.emplace_back(amount->name()->str(), amount->value());
  }
  return amounts;
}

std::string Text(const flatbuffers::String* text) { return text == nullptr ? "" : text->str(); }

}  // namespace

std::string EncodeNodeMessage(const NodeFacts& facts) {
  flatbuffers::FlatBufferBuilder builder;
  const auto resources = Pack(builder, facts.resources);
  const auto kept = Pack(builder, facts.kept);
  const auto name = builder.CreateString(facts.name);
  const auto text = builder.CreateString(facts.text);
  const auto message = wire::CreateNodeMessage(
      builder, facts.kind, facts.request, facts.process, facts.actor, facts.job, resources, kept,
      facts.dedicated, facts.code, facts.signal, facts.pid, name, text,
      facts.session);
  wire::FinishNodeMessageBuffer(builder, message);
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

absl::StatusOr<NodeFacts> DecodeNodeMessage(std::string_view bytes) {
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (!wire::VerifyNodeMessageBuffer(verifier)) {
    return absl::InvalidArgumentError("these bytes are no message of the runtime");
  }
  const wire::NodeMessage& message = *wire::GetNodeMessage(bytes.data());
  NodeFacts facts;
  facts.kind = message.kind();
  facts.request = message.request();
  facts.process = message.process();
  facts.actor = message.actor();
  facts.job = message.job();
  facts.resources = Unpack(message.resources());
  facts.kept = Unpack(message.kept());
  facts.dedicated = message.dedicated();
  facts.code = message.code();
  facts.signal = message.signal();
  facts.pid = message.pid();
  facts.name = Text(message.name());
  facts.text = Text(message.text());
  facts.session = message.session();
  return facts;
}

}  // namespace penstock
