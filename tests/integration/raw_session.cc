// The handshake by hand.
#include "tests/integration/raw_session.h"

#include <array>

#include "store/base/store_directory.h"
#include "store/shm/parking.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

std::string TextOfRefusal(const absl::StatusOr<Packet>& packet) {
  if (!packet.ok() || packet->bytes.empty()) return "";
  const auto* const refused = Must(ParseMessage(packet->bytes))->body_as_Refused();
  return refused == nullptr ? "" : std::string(StatusOf(*refused).message());
}

}  // namespace

RawSession::RawSession(const std::string& dir, bool read_only)
    : socket(Must(ConnectTo(SocketPath(dir)))) {
  const std::array<std::string, 1> hello = {HelloMessage(
      wire::Role_Client, kIndexLayoutVersion, kSessionLayoutVersion, read_only)};
  Packet packet = Must(AskDaemon(socket.get(), hello));
  const auto* const welcome = Must(ParseMessage(packet.bytes))->body_as_Welcome();
  if (welcome == nullptr) GiveUp("no welcome");
  facts = FactsOf(*welcome);
  fds = std::move(packet.fds);
  if (!PlaceWelcomeFds(facts.read_only, fds)) GiveUp("descriptors are missing");
  const auto map = [&](FdOrder which, uint64_t bytes, Access access) {
    return Must(Mapping::Map(fds.at(which).get(), bytes, access, OnFork::kInherit));
  };
  const SessionGeometry geometry = SessionGeometry::For(facts.capacity);
  arena = map(kFdArenaReadOnly, facts.arena_bytes, Access::kReadOnly);
  index_mapping = map(kFdIndex, facts.index_bytes, Access::kReadOnly);
  client_mapping = map(kFdClientSegment, geometry.client_bytes, Access::kReadWrite);
  daemon_mapping = map(kFdDaemonSegment, geometry.daemon_bytes, Access::kReadOnly);
  index = Must(IndexSegment::Attach(index_mapping.data(), facts.index_bytes));
  segments = SessionSegments::At(client_mapping.data(), daemon_mapping.data(),
                                 facts.capacity, facts.session);
  Must(segments.Check(facts.capacity));
  producer_ = segments.MakeSubmissionProducer();
  consumer_ = segments.MakeCompletionConsumer();
}

void RawSession::Push(const Submission& record) {
  const auto revoked = [this] { return segments.daemon->revoked.load() != 0; };
  if (!Eventually([&] { return producer_.HasRoom() || revoked(); })) {
    GiveUp("the ring stays full");
  }
  if (revoked()) return;  // nobody reads it any more; the refusal says why
  producer_.Write(record);
  producer_.Publish();
  RingDoorbell(fds.at(kFdDaemonDoorbell).get());
}

void RawSession::PublishTail(uint64_t tail) {
  segments.client->submission_tail.exchange(tail);
  RingDoorbell(fds.at(kFdDaemonDoorbell).get());
}

Completion RawSession::AnswerTo(uint32_t request) {
  Completion answer;
  const bool came = Eventually([&] {
    while (consumer_.Available().value_or(0) > 0) {
      answer = consumer_.Take();
      consumer_.PublishHead();
      if (answer.request == request) return true;
    }
    return false;
  });
  if (!came) GiveUp("no answer comes");
  return answer;
}

void RawSession::Drain() {
  while (consumer_.Available().value_or(0) > 0) consumer_.Take();
  consumer_.PublishHeadFenced();
}

GrantedLease RawSession::TakeLease(uint64_t block_bytes) {
  Submission ask{};
  ask.op = SubmissionOp::kLease;
  ask.request = 77;
  ask.size = block_bytes;
  ask.flags_or_count = 1;
  Push(ask);
  const Completion answer = AnswerTo(77);
  if (answer.op != CompletionOp::kGrant || answer.count != 1) GiveUp("no lease");
  return answer.grant.leases[0];
}

std::string RawSession::Refusal(int timeout_ms) {
  return TextOfRefusal(ReceivePacketWithin(socket.get(), timeout_ms));
}

std::string RefusalOf(const std::string& dir, const std::string& packet,
                      const std::vector<int>& fds) {
  const UniqueFd socket = Must(ConnectTo(SocketPath(dir)));
  Must(SendPacket(socket.get(), packet, fds));
  return TextOfRefusal(ReceivePacketWithin(socket.get(), 20'000));
}

}  // namespace penstock::testing
