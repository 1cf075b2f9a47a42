// Process: the one place where it waits, and the channels it looks at.
#include <algorithm>

#include "absl/time/clock.h"
#include "runtime/process/clock.h"
#include "runtime/process/process.h"
#include "store/base/spin_lock.h"

namespace penstock::internal {
namespace {

// Records of one peer in one turn, so that a flood of one starves nobody.
constexpr uint32_t kMostOfPeer = 64;
// Calls that wait to run here; beyond them the rings fill up, and callers wait.
constexpr size_t kMostInbox = 1024;
// While spinning, between two moments in which another thread may have the lock.
constexpr int kLooksOfRound = 32;
constexpr int kRoundsOfClock = 8;  // between two looks at the clock
constexpr absl::Duration kMostSleep = absl::Seconds(3600);
// With records of ours that found no room: nobody rings when there is some.
constexpr absl::Duration kBacklogSleep = absl::Microseconds(200);

}  // namespace

bool Process::AnythingThere() const {
  for (const Peer* const peer : peer_list_) {
    if (!peer->dead && peer->consumer.HasRecords()) return true;
  }
  return false;
}

bool Process::HasBacklog() const {
  return std::any_of(peer_list_.begin(), peer_list_.end(),
                     [](const Peer* peer) { return !peer->backlog.empty(); });
}

bool Process::WaitUntil(Lock& lock, absl::Time until, const std::function<bool()>& done) {
  bool blocked_here = false;
  const auto finish = [&](bool result) {
    if (blocked_here) EndBlocked();
    return result;
  };
  while (!done()) {
    if (leading_) {
      // Somebody else looks at the channels, and says when something came.
      ++followers_;
      bool in_time = true;
      if (until == absl::InfiniteFuture()) {
        turn_.wait(lock);
      } else {
        in_time = turn_.wait_until(lock, absl::ToChronoTime(until)) == std::cv_status::no_timeout;
      }
      --followers_;
      if (!in_time) return finish(done());
      continue;
    }
    leading_ = true;
    bool came = Pump();
    if (!came) came = Spin(lock, done);
    if (!came) {
      spin_.Missed();
      if (!blocked_here && !done()) blocked_here = BeginBlocked();
      // SYNC S1 parking, consumer's half, for all channels at once.
      parker_.Park(page_->parked);
      if (!AnythingThere() && !done()) {
        const absl::Duration left =
            std::min(until - absl::Now(), HasBacklog() ? kBacklogSleep : kMostSleep);
        lock.unlock();
        SleepOnDoorbell(doorbell_.get(), std::max<int64_t>(absl::ToInt64Nanoseconds(left), 0));
        lock.lock();
      }
      Parker::Unpark(page_->parked);
    }
    leading_ = false;
    if (followers_ > 0) turn_.notify_all();
    if (!came && absl::Now() >= until) return finish(done());
  }
  // Who waits without leading takes over.
  return finish(true);
}

// Looks for what may come at once, with the lock let go between two looks.
bool Process::Spin(Lock& lock, const std::function<bool()>& done) {
  const int64_t most_ns = spin_.ns();
  if (most_ns == 0) return false;
  // The clock is asked after the first few looks only: an answer that comes at once does not
  // wait for it.
  for (int64_t until_ns = 0;;) {
    for (int round = 0; round < kRoundsOfClock; ++round) {
      lock.unlock();
      CpuRelax();
      lock.lock();
      bool came = false;
      for (int look = 0; look < kLooksOfRound && !came; ++look) came = AnythingThere();
      if (came) Pump();
      if (came || done()) {  // the node may have said so
        spin_.Found();
        return true;
      }
    }
    const int64_t now_ns = SteadyNs();
    if (until_ns == 0) until_ns = now_ns + most_ns;
    if (now_ns >= until_ns) return false;
  }
}

bool Process::Pump() {
  bool came = false;
  for (size_t i = 0; i < peer_list_.size(); ++i) {
    Peer& peer = *peer_list_[i];
    if (!peer.dead) came |= PumpPeer(peer, kMostOfPeer);
  }
  if (has_trash_.load(std::memory_order_relaxed)) DrainTrash();
  if (came) DispatchHeld();
  if (blocked_) HandBackInbox();
  return came;
}

bool Process::PumpPeer(Peer& peer, uint32_t most) {
  if (peer.broken) return false;
  if (!peer.backlog.empty()) FlushBacklog(peer);
  if (inbox_.size() >= kMostInbox && !blocked_ && peer.sent.open() == 0) return false;
  uint32_t taken = 0;
  for (; taken < most; ++taken) {
    auto record = peer.consumer.Next();
    if (!record.ok()) {
      Break(peer, std::string(record.status().message()));
      return true;
    }
    if (!record->has_value()) break;
    const RecordHeader& header = (*record)->header;
    const std::string_view bytes(reinterpret_cast<const char*>((*record)->payload.data()),
                                 (*record)->payload.size());
    switch (header.kind) {
      case kCallRecord:
        OnCall(peer, header.number, bytes);
        break;
      case kReplyRecord:
        OnReply(peer, header.number, bytes);
        break;
      case kReleaseRecord: {
        std::string_view rest = bytes;
        ObjectId id;
        if (!TakeFrom(rest, id)) break;
        const auto lent = peer.lent.find(id);
        if (lent == peer.lent.end()) break;
        if (header.number < lent->second.times) {
          lent->second.times -= static_cast<uint32_t>(header.number);
        } else {
          peer.lent.erase(lent);
        }
        break;
      }
      default:
        break;  // of a later release: not for us
    }
  }
  if (taken > 0) peer.consumer.PublishHead();
  return taken > 0;
}

void Process::Ring(Peer& peer) {
  // SYNC S1 parking, producer's half: the publication was a full fence.
  if (!peer.producer.Publish()) return;
  const auto* const page = peer.page.At<const ProcessPage>(0);
  peer.rung.RingOnce(page->parked, [&peer] { RingDoorbell(peer.doorbell.get()); });
}

void Process::Send(Peer& peer, uint32_t kind, uint64_t number, std::string_view first,
                   std::string_view second) {
  if (peer.dead) return;
  const auto bytes = [](std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  };
  if (peer.backlog.empty() && peer.producer.Write(kind, number, bytes(first), bytes(second))) {
    return Ring(peer);
  }
  // Its ring is full: ours is drained by whoever waits, so both go on.
  std::string whole(first);
  whole.append(second);
  peer.backlog.emplace_back(RecordHeader{0, kind, number}, std::move(whole));
  FlushBacklog(peer);
}

void Process::FlushBacklog(Peer& peer) {
  while (!peer.backlog.empty()) {
    const auto& [header, bytes] = peer.backlog.front();
    if (!peer.producer.Write(header.kind, header.number,
                             std::as_bytes(std::span(bytes.data(), bytes.size())))) {
      break;
    }
    peer.backlog.pop_front();
  }
  Ring(peer);
}

bool Process::BeginBlocked() {
  // An actor holds no CPU, and keeps its calls in order.
  if (!runs_task || blocked_ || self_ != nullptr) return false;
  blocked_ = true;
  SendToNode({.kind = wire::NodeKind_Blocked});
  HandBackInbox();
  return true;
}

void Process::EndBlocked() {
  blocked_ = false;
  SendToNode({.kind = wire::NodeKind_Resumed});
}

// What waits behind a task that waits may be what it waits for.
void Process::HandBackInbox() {
  while (!inbox_.empty()) {
    IncomingCall call = std::move(inbox_.front());
    inbox_.pop_front();
    ReplyHeader header;
    header.status = ReplyStatus::kHandedBack;
    Reply(*call.caller, call.number, header, {}, call.bytes);
  }
}

// Refs of others that this process let go: their lenders hear of it.
void Process::DrainTrash() {
  std::vector<LetGo> trash;
  {
    const std::lock_guard guard(trash_mutex_);
    trash.swap(trash_);
    has_trash_.store(false, std::memory_order_relaxed);
  }
  for (const LetGo& let_go : trash) {
    const auto found = peers_.find(let_go.lender);
    if (found == peers_.end()) continue;
    Send(*found->second, kReleaseRecord, let_go.times, BytesOf(let_go.id), {});
  }
}

}  // namespace penstock::internal
