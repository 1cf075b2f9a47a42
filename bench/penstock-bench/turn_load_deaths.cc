// Scenario c: one process with thousands of sessions, each with a thousand pins in neighbouring
// slots, gets that wait, and objects that end with it; and the process is killed.
//
// Every second pinned object has been deleted, so that its memory goes with the last pin.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "bench/harness/clock.h"
#include "bench/penstock-bench/ring_session.h"
#include "bench/penstock-bench/turn_load.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint32_t kStock = 1'000'000;
constexpr uint32_t kQuickStock = 20'000;
constexpr uint32_t kPinsEach = 1000;
constexpr uint32_t kWaitsEach = 10;
constexpr uint32_t kBoundEach = 100;
constexpr uint64_t kBlock = 64;
constexpr double kPatienceSeconds = 300;

// The child's side. Ends the process where anything fails.
class Victims {
 public:
  absl::Status Open(const std::string& dir, uint32_t sessions, uint32_t stock, int report) {
    for (uint32_t i = 0; i < sessions; ++i) {
      PENSTOCK_ASSIGN_OR_RETURN(
          std::unique_ptr<RingSession> session,
          RingSession::Open(dir, sessions_.empty() ? nullptr : sessions_.front().get()));
      PENSTOCK_RETURN_IF_ERROR(Burden(*session, i, sessions, stock));
      sessions_.push_back(std::move(session));
      if (i % 64 == 63 && write(report, "+", 1) != 1) return ErrnoStatus(errno, "write");
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status Burden(RingSession& session, uint32_t number, uint32_t of,
                             uint32_t stock) {
    const uint32_t first =
        static_cast<uint32_t>(uint64_t{stock - 2 * kPinsEach} * number / of);
    uint32_t pinned = 0;
    for (uint32_t slot = first; pinned < kPinsEach; ++slot) {
      if (slot >= session.index().capacity()) {
        return absl::AbortedError("there are not enough objects to pin");
      }
      pinned += session.PinSealed(slot);
    }
    std::vector<Completion> grants;
    for (uint32_t i = 0; i < kBoundEach; ++i) {
      Submission lease{};
      lease.op = SubmissionOp::kLease;
      lease.size = kBlock;
      lease.flags_or_count = 1;
      PENSTOCK_RETURN_IF_ERROR(Write(session, lease, i + 1));
    }
    session.Publish();
    const int64_t start_ns = NowNs();
    uint32_t ended = 0;
    uint32_t sealed = 0;
    while (ended < kBoundEach) {
      session.Take([&](const Completion& completion) {
        ended += completion.request != 0;
        if (completion.op == CompletionOp::kGrant) grants.push_back(completion);
      });
      if (SecondsSince(start_ns) > kPatienceSeconds) {
        return absl::DeadlineExceededError("a session is granted no leases");
      }
      if (ended < kBoundEach) SleepNs(20'000);
    }
    for (const Completion& grant : grants) {
      for (uint32_t i = 0; i < grant.count && sealed < kBoundEach; ++i, ++sealed) {
        Submission seal{};
        seal.op = SubmissionOp::kSeal;
        seal.slot = grant.grant.leases[i].slot();
        seal.generation = grant.grant.leases[i].generation;
        seal.id = session.NextId();
        seal.size = kBlock;
        seal.flags_or_count = kSealSessionBound;
        PENSTOCK_RETURN_IF_ERROR(Write(session, seal, 0));
      }
    }
    for (uint32_t i = 0; i < kWaitsEach; ++i) {
      Submission get{};
      get.op = SubmissionOp::kGet;
      get.id = ObjectId::Random();
      PENSTOCK_RETURN_IF_ERROR(Write(session, get, kBoundEach + 1 + i));
    }
    session.Publish();
    return absl::OkStatus();
  }

  static absl::Status Write(RingSession& session, Submission record, uint32_t request) {
    record.request = request;
    while (!session.TryWrite(record)) {
      session.Publish();
      if (session.IsRevoked()) return absl::AbortedError("a session was ended by the daemon");
      SleepNs(20'000);
    }
    return absl::OkStatus();
  }

  std::vector<std::unique_ptr<RingSession>> sessions_;
};

class DeathLoad : public TurnLoad {
 public:
  using TurnLoad::TurnLoad;
  ~DeathLoad() override { Kill(); }

  absl::Status Prepare() override {
    RaiseDescriptorLimit();
    PENSTOCK_ASSIGN_OR_RETURN(client_, Connect());
    const uint32_t stock = options().quick ? kQuickStock : kStock;
    PENSTOCK_ASSIGN_OR_RETURN(const std::vector<ObjectId> ids, MakeStock(*client_, stock));
    PENSTOCK_ASSIGN_OR_RETURN(before_, QueryStatus(options().dir));
    PENSTOCK_RETURN_IF_ERROR(ForkVictims(stock));
    for (size_t i = 0; i < ids.size(); i += 2) {
      PENSTOCK_RETURN_IF_ERROR(client_->Delete(ids[i]));
    }
    PENSTOCK_RETURN_IF_ERROR(client_->Sync());
    PENSTOCK_ASSIGN_OR_RETURN(loaded_, QueryStatus(options().dir));
    return absl::OkStatus();
  }

  absl::Status Run() override {
    const int64_t start_ns = NowNs();
    Kill();
    killed_s_ = SecondsSince(start_ns);
    for (;;) {
      PENSTOCK_ASSIGN_OR_RETURN(after_, QueryStatus(options().dir, absl::Minutes(2)));
      // Others come and go: less than a hundredth of what was there is no more than they.
      const auto gone = [&](const char* name) {
        return after_.Counter(name) <= before_.Counter(name) + 2 + loaded_.Counter(name) / 100;
      };
      if (gone("sessions") && gone("get_waiters") && gone("doomed")) break;
      if (SecondsSince(start_ns) > kPatienceSeconds) {
        return absl::DeadlineExceededError("what dead sessions left is still there");
      }
      SleepNs(5'000'000);
    }
    gone_s_ = SecondsSince(start_ns);
    return absl::OkStatus();
  }

  absl::Status Tell(LoadBoard& board) override {
    // Of the issue, whatever this host allows.
    const uint64_t wanted = options().sessions;
    const auto added = [&](const char* name) {
      return loaded_.Counter(name) - std::min(before_.Counter(name), loaded_.Counter(name));
    };
    board.Add("sessions", added("sessions"), wanted);
    board.Add("pins", uint64_t{opened_} * kPinsEach, wanted * kPinsEach);
    board.Add("waiting_gets", added("get_waiters"), wanted * kWaitsEach);
    board.Add("bound_objects", uint64_t{opened_} * kBoundEach, wanted * kBoundEach);
    board.Add("doomed", added("doomed"), 1);
    board.Add("objects_before", loaded_.Counter("objects"));
    board.Add("objects_after", after_.Counter("objects"));
    board.Add("killed_after_ms", static_cast<uint64_t>(killed_s_ * 1e3));
    board.Add("all_gone_after_ms", static_cast<uint64_t>(gone_s_ * 1e3));
    return absl::OkStatus();
  }

 private:
  absl::Status ForkVictims(uint32_t stock) {
    const uint32_t sessions = std::min(options().sessions, MostSessionsHere());
    int ends[2];
    if (pipe(ends) != 0) return ErrnoStatus(errno, "pipe");
    const UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    const pid_t parent = getpid();
    victims_ = fork();
    if (victims_ < 0) return ErrnoStatus(errno, "fork");
    if (victims_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      Victims victims;
      const absl::Status status =
          victims.Open(options().dir, sessions, stock, theirs.get());
      if (!status.ok()) {
        std::fprintf(stderr, "turns: deaths: %s\n", status.ToString().c_str());
        _exit(1);
      }
      if (write(theirs.get(), "!", 1) != 1) _exit(1);
      for (;;) pause();
    }
    theirs.reset();
    Progress progress("deaths");
    uint64_t done = 0;
    for (char byte = 0; byte != '!';) {
      const ssize_t got = read(ours.get(), &byte, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got != 1) return absl::AbortedError("the process with many sessions has failed");
      done += byte == '+' ? 64 : 0;
      progress.Tell("sessions opened", done, sessions);
    }
    opened_ = sessions;
    return Await("get_waiters", [&](uint64_t waiters) {
             return waiters >= before_.Counter("get_waiters") + uint64_t{sessions} * kWaitsEach;
           }).status();
  }

  void Kill() {
    if (victims_ <= 0) return;
    kill(victims_, SIGKILL);
    waitpid(victims_, nullptr, 0);
    victims_ = 0;
  }

  absl::StatusOr<Client> client_ = absl::UnknownError("not connected");
  pid_t victims_ = 0;
  uint32_t opened_ = 0;
  DaemonStatus before_;
  DaemonStatus loaded_;
  DaemonStatus after_;
  double killed_s_ = 0;
  double gone_s_ = 0;
};

}  // namespace

std::unique_ptr<TurnLoad> MakeDeathLoad(LoadOptions options) {
  return std::make_unique<DeathLoad>(std::move(options));
}

PrivateDaemonOptions DeathDaemon(bool quick, uint32_t sessions, const std::string&) {
  const uint32_t objects = (quick ? kQuickStock : kStock) + sessions * (kBoundEach + 1);
  PrivateDaemonOptions options;
  options.objects = objects + objects / 4;
  options.memory_bytes = RoundUp(uint64_t{options.objects} * kBlock * 2, 2 * kMiB);
  options.max_sessions = 8192;
  return options;
}

}  // namespace penstock::bench
