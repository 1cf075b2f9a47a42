// The handshake, and what a library would do with its rings.
#include "bench/penstock-bench/ring_session.h"

#include <sys/resource.h>

#include <algorithm>
#include <vector>

#include "bench/harness/clock.h"
#include "store/base/errors.h"
#include "store/base/store_directory.h"
#include "store/shm/slot_layout.h"
#include "store/wire/control_message.h"
#include "store/wire/packet_socket.h"

namespace penstock::bench {
namespace {

constexpr double kPatienceSeconds = 60;
// What a daemon has open beside its sessions; far less.
constexpr uint64_t kDaemonsOwnDescriptors = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<RingSession>> RingSession::Open(const std::string& dir,
                                                               const RingSession* sibling) {
  std::unique_ptr<RingSession> made(new RingSession);
  const std::string hello =
      HelloMessage(wire::Role_Client, kIndexLayoutVersion, kSessionLayoutVersion);
  PENSTOCK_ASSIGN_OR_RETURN(Conversation begun, ConnectAndAsk(SocketPath(dir), {&hello, 1}));
  made->socket_ = std::move(begun.socket);
  PENSTOCK_ASSIGN_OR_RETURN(const wire::Message* const message,
                            ParseMessage(begun.answer.bytes));
  if (const auto* refused = message->body_as_Refused()) return StatusOf(*refused);
  const auto* const welcome = message->body_as_Welcome();
  std::vector<UniqueFd>& fds = begun.answer.fds;
  if (welcome == nullptr || !PlaceWelcomeFds(welcome->read_only(), fds)) {
    return absl::InvalidArgumentError("what answers there sent no welcome");
  }
  const WelcomeFacts facts = FactsOf(*welcome);
  const SessionGeometry geometry = SessionGeometry::For(facts.capacity);
  if (sibling != nullptr) {
    made->index_mapping_ = sibling->index_mapping_;
  } else {
    PENSTOCK_ASSIGN_OR_RETURN(Mapping index, Mapping::Map(fds[kFdIndex].get(), facts.index_bytes,
                                                          Access::kReadOnly, OnFork::kInherit));
    made->index_mapping_ = std::make_shared<const Mapping>(std::move(index));
  }
  PENSTOCK_ASSIGN_OR_RETURN(
      made->client_mapping_, Mapping::Map(fds[kFdClientSegment].get(), geometry.client_bytes,
                                          Access::kReadWrite, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(
      made->daemon_mapping_, Mapping::Map(fds[kFdDaemonSegment].get(), geometry.daemon_bytes,
                                          Access::kReadOnly, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(
      made->index_, IndexSegment::Attach(made->index_mapping_->data(), facts.index_bytes));
  made->segments_ = SessionSegments::At(made->client_mapping_.data(),
                                        made->daemon_mapping_.data(), facts.capacity,
                                        facts.session);
  PENSTOCK_RETURN_IF_ERROR(made->segments_.Check(facts.capacity));
  made->daemon_doorbell_ = std::move(fds[kFdDaemonDoorbell]);
  made->producer_ = made->segments_.MakeSubmissionProducer();
  made->consumer_ = made->segments_.MakeCompletionConsumer();
  made->pins_ = PinRow(made->segments_.bitmap, made->segments_.pins);
  made->number_ = facts.session;
  made->incarnation_ = facts.incarnation;
  made->segments_.client->use.store(kInUse, std::memory_order_release);
  return made;
}

void RingSession::RingIfNeeded() {
  const auto ring = [this] { RingDoorbell(daemon_doorbell_.get()); };
  // SYNC S1 parking, producer's half: of this ring, then of the daemon.
  if (unwatched_rung_.RingOnce(segments_.daemon->unwatched, ring)) return;
  rung_.RingOnce(index_.header().parked, ring);
}

void RingSession::Publish() {
  producer_.Publish();
  RingIfNeeded();
}

absl::StatusOr<Completion> RingSession::Ask(Submission record) {
  constexpr uint32_t kRequest = 0xfffffff0;
  record.request = kRequest;
  const int64_t start_ns = NowNs();
  bool is_written = false;
  for (;;) {
    if (!is_written && TryWrite(record)) {
      is_written = true;
      Publish();
    }
    Completion answer;
    Take([&](const Completion& completion) {
      if (completion.request == kRequest) answer = completion;
    });
    if (answer.op != CompletionOp::kNone) return answer;
    if (IsRevoked()) return absl::AbortedError("the daemon has ended a session of the benchmark");
    if (SecondsSince(start_ns) > kPatienceSeconds) {
      return absl::DeadlineExceededError("the daemon did not answer a session of the benchmark");
    }
    SleepNs(20'000);
  }
}

bool RingSession::PinSealed(uint32_t slot) {
  pins_.Pin(slot, index_.header().epoch.load(std::memory_order_relaxed));
  if (StateOf(index_.slot(slot).state.load(std::memory_order_seq_cst)) == SlotState::kSealed) {
    return true;
  }
  Unpin(slot);
  return false;
}

void RingSession::Unpin(uint32_t slot) {
  pins_.Unpin(slot);
  const uint64_t word = index_.slot(slot).state.load(std::memory_order_seq_cst);
  const SlotState state = StateOf(word);
  if (IsPlainlySealed(word) || state == SlotState::kFree || state == SlotState::kLeased) return;
  Submission release{};
  release.op = SubmissionOp::kRelease;
  release.slot = slot;
  release.generation = GenerationOf(word);
  while (!TryWrite(release)) {
    Publish();
    if (IsRevoked()) return;
    SleepNs(20'000);
  }
}

void RingSession::TakeAndRelease(const Completion& object) {
  pins_.Pin(object.object.slot, index_.header().epoch.load(std::memory_order_relaxed));
  Submission confirm{};
  confirm.op = SubmissionOp::kConfirm;
  confirm.slot = object.object.slot;
  confirm.generation = object.object.generation;
  confirm.flags_or_count = object.count;
  while (!TryWrite(confirm)) {
    Publish();
    if (IsRevoked()) return;
    SleepNs(20'000);
  }
  Unpin(object.object.slot);
}

uint64_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

uint32_t MostSessionsHere() {
  const uint64_t limit = RaiseDescriptorLimit();
  if (limit <= kDaemonsOwnDescriptors) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(
      (limit - kDaemonsOwnDescriptors) / RingSession::kDaemonDescriptors, 65'536));
}

}  // namespace penstock::bench
