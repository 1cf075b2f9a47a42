// Any bytes as a packet on the daemon's socket: refused, or everything in it can be read
// and says the same after another round.
#include "store/wire/control_message.h"
#include "tests/fuzz/input.h"

namespace penstock {
namespace {

const wire::Message& Parsed(const std::string& bytes) {
  const auto message = ParseMessage(bytes);
  PENSTOCK_CHECK(message.ok()) << "its own message: " << message.status().ToString();
  return **message;
}

void ReadWelcome(const wire::Welcome& welcome) {
  const WelcomeFacts facts = FactsOf(welcome);
  const std::string again = WelcomeMessage(facts);
  const WelcomeFacts same = FactsOf(*Parsed(again).body_as_Welcome());
  PENSTOCK_CHECK(same.session == facts.session && same.incarnation == facts.incarnation &&
                 same.index_bytes == facts.index_bytes && same.arena_bytes == facts.arena_bytes &&
                 same.capacity == facts.capacity && same.daemon_pid == facts.daemon_pid);
}

void ReadRefused(const wire::Refused& refused) {
  const absl::Status why = StatusOf(refused);
  PENSTOCK_CHECK(!why.ok()) << "a refusal that is none";
  const std::string again = RefusedMessage(why);
  const absl::Status same = StatusOf(*Parsed(again).body_as_Refused());
  PENSTOCK_CHECK(same.code() == why.code() && same.message() == why.message());
}

void ReadStatusReply(const wire::StatusReply& reply) {
  const StatusFacts facts = FactsOf(reply);
  const std::string again = StatusReplyMessage(facts);
  const StatusFacts same = FactsOf(*Parsed(again).body_as_StatusReply());
  PENSTOCK_CHECK(same.counters == facts.counters && same.notes == facts.notes);
}

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  const fuzz::ExactCopy packet({data, size});
  const auto parsed = ParseMessage(packet.text());
  if (!parsed.ok()) return 0;
  const wire::Message& message = **parsed;
  if (const auto* const hello = message.body_as_Hello()) {
    const std::string again =
        HelloMessage(hello->role(), hello->index_layout(), hello->session_layout());
    const auto* const same = Parsed(again).body_as_Hello();
    PENSTOCK_CHECK(same->role() == hello->role() &&
                   same->index_layout() == hello->index_layout() &&
                   same->session_layout() == hello->session_layout());
  }
  if (const auto* const welcome = message.body_as_Welcome()) ReadWelcome(*welcome);
  if (const auto* const refused = message.body_as_Refused()) ReadRefused(*refused);
  if (const auto* const restarted = message.body_as_Restarted()) {
    const std::string again = RestartedMessage(restarted->restarts());
    PENSTOCK_CHECK(Parsed(again).body_as_Restarted()->restarts() == restarted->restarts());
  }
  if (const auto* const reply = message.body_as_StatusReply()) ReadStatusReply(*reply);
  return 0;
}
