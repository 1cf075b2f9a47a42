// Scenario f: from no get that waits to a million, and back: each for an object of its own, and
// cancelled; then all for one object, which is sealed, so that a million answers go out. Beside
// them single gets with deadlines.
#include <algorithm>
#include <vector>

#include "bench/harness/clock.h"
#include "bench/penstock-bench/ring_session.h"
#include "bench/penstock-bench/turn_load.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint32_t kSessions = 16;
constexpr uint32_t kWaitsEach = 62'500;  // a session may have 65,536 requests unanswered
constexpr uint32_t kQuickWaitsEach = 2'000;
constexpr uint32_t kAtOnce = 256;  // records of one session before the next one's
constexpr int kSingles = 4;
constexpr uint32_t kMemory = 64 * kMiB;
constexpr double kPatienceSeconds = 120;

class WaiterLoad : public TurnLoad {
 public:
  using TurnLoad::TurnLoad;

  absl::Status Prepare() override {
    PENSTOCK_ASSIGN_OR_RETURN(client_, Connect());
    for (uint32_t i = 0; i < kSessions; ++i) {
      PENSTOCK_ASSIGN_OR_RETURN(
          std::unique_ptr<RingSession> session,
          RingSession::Open(options().dir, i == 0 ? nullptr : sessions_[0].get()));
      sessions_.push_back(std::move(session));
    }
    return absl::OkStatus();
  }

  absl::Status Run() override {
    LateWatch watch;
    absl::Status status;
    std::vector<absl::Status> ends(kSingles);
    {
      std::vector<std::jthread> singles;
      for (int i = 0; i < kSingles; ++i) {
        singles.emplace_back([this, i, &watch, &ends](const std::stop_token& stop) {
          ends[i] = WaitSingly(stop, watch);
        });
      }
      const int64_t start_ns = NowNs();
      do {
        status = Round(/*distinct=*/true);
        if (status.ok()) status = Round(/*distinct=*/false);
      } while (status.ok() && NowNs() - start_ns < options().least_ns);
    }
    for (const absl::Status& end : ends) status.Update(end);
    late_ = watch.Finish();
    return status;
  }

  absl::Status Tell(LoadBoard& board) override {
    board.Add("waiters", most_distinct_, all());
    board.Add("waiters_for_one_id", most_for_one_, all());
    board.Add("cancelled", cancelled_, all());
    board.Add("answers_with_the_object", objects_, all());
    board.Add("rounds", rounds_);
    board.Add("growth_ms", growth_ms_);
    board.Add("cancelling_ms", cancelling_ms_);
    board.Add("answering_ms", answering_ms_);
    board.late = late_;
    return absl::OkStatus();
  }

 private:
  uint32_t each() const { return options().quick ? kQuickWaitsEach : kWaitsEach; }
  uint64_t all() const { return uint64_t{kSessions} * each(); }
  static uint64_t MillisecondsSince(int64_t start_ns) {
    return static_cast<uint64_t>(SecondsSince(start_ns) * 1e3);
  }

  absl::Status Round(bool distinct) {
    ++rounds_;
    const ObjectId first = ObjectId::Random();
    int64_t start_ns = NowNs();
    PENSTOCK_RETURN_IF_ERROR(PushToAll([&](uint32_t session, uint32_t i) {
      Submission get{};
      get.op = SubmissionOp::kGet;
      get.request = i + 1;
      get.id = first;
      if (distinct) get.id.sequence += uint64_t{session} * each() + i;
      return get;
    }));
    PENSTOCK_ASSIGN_OR_RETURN(
        const uint64_t reached,
        Await("get_waiters", [&](uint64_t waiters) { return waiters >= all(); }));
    growth_ms_ = std::max(growth_ms_, MillisecondsSince(start_ns));
    uint64_t& most = distinct ? most_distinct_ : most_for_one_;
    most = std::max(most, reached);
    start_ns = NowNs();
    answers_ = 0;
    if (distinct) {
      PENSTOCK_RETURN_IF_ERROR(PushToAll([](uint32_t, uint32_t i) {
        Submission cancel{};
        cancel.op = SubmissionOp::kCancel;
        cancel.request = i + 1;
        return cancel;
      }));
    } else {
      PENSTOCK_RETURN_IF_ERROR(client_->Put("here it is", {.id = first}).status());
    }
    while (answers_ < all()) {
      if (TakeAnswers() == 0) SleepNs(50'000);
      if (SecondsSince(start_ns) > kPatienceSeconds) {
        return absl::DeadlineExceededError("not all who waited are answered");
      }
    }
    uint64_t& took_ms = distinct ? cancelling_ms_ : answering_ms_;
    took_ms = std::max(took_ms, MillisecondsSince(start_ns));
    return distinct ? absl::OkStatus() : client_->Delete(first);
  }

  // Record i of every session, in parts, and answers in between.
  template <typename RecordOf>
  absl::Status PushToAll(RecordOf record_of) {
    std::vector<uint32_t> pushed(kSessions, 0);
    const int64_t start_ns = NowNs();
    for (uint64_t done = 0; done < all();) {
      const uint64_t before = done;
      for (uint32_t number = 0; number < kSessions; ++number) {
        RingSession& session = *sessions_[number];
        if (session.IsRevoked()) return absl::AbortedError("the daemon ended a session");
        const uint32_t end = std::min(each(), pushed[number] + kAtOnce);
        uint32_t& next = pushed[number];
        const uint32_t first = next;
        while (next < end && session.TryWrite(record_of(number, next))) ++next;
        if (next > first) session.Publish();
        done += next - first;
      }
      TakeAnswers();
      if (done == before) SleepNs(50'000);
      progress_.Tell("records", done, all());
      if (SecondsSince(start_ns) > kPatienceSeconds) {
        return absl::DeadlineExceededError("the daemon takes no more records");
      }
    }
    return absl::OkStatus();
  }

  uint64_t TakeAnswers() {
    uint64_t taken = 0;
    for (const auto& session : sessions_) {
      const uint32_t count = session->Take([&](const Completion& completion) {
        answers_ += completion.request != 0;
        if (completion.op == CompletionOp::kObject) {
          session->TakeAndRelease(completion);
          ++objects_;
        } else {
          cancelled_ += completion.code == AnswerCode::kCancelled;
        }
      });
      if (count > 0) session->Publish();
      taken += count;
    }
    return taken;
  }

  absl::Status WaitSingly(const std::stop_token& stop, LateWatch& watch) {
    Client client = *client_;
    const ObjectId missing = ObjectId::Random();
    for (int i = 0; !stop.stop_requested(); ++i) {
      const absl::Duration deadline = absl::Milliseconds(1 + i % 20);
      const int64_t began_ns = NowNs();
      const absl::StatusOr<ObjectView> view = client.Get(missing, deadline);
      if (!absl::IsDeadlineExceeded(view.status())) return view.status();
      watch.Add(began_ns, deadline, true);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Client> client_ = absl::UnknownError("not connected");
  std::vector<std::unique_ptr<RingSession>> sessions_;
  Progress progress_{"waiters"};
  LateCalls late_;
  uint64_t answers_ = 0;
  uint64_t cancelled_ = 0;
  uint64_t objects_ = 0;
  uint64_t most_distinct_ = 0;
  uint64_t most_for_one_ = 0;
  uint64_t rounds_ = 0;
  uint64_t growth_ms_ = 0;
  uint64_t cancelling_ms_ = 0;
  uint64_t answering_ms_ = 0;
};

}  // namespace

std::unique_ptr<TurnLoad> MakeWaiterLoad(LoadOptions options) {
  return std::make_unique<WaiterLoad>(std::move(options));
}

PrivateDaemonOptions WaiterDaemon(bool, uint32_t, const std::string&) {
  PrivateDaemonOptions options;
  options.memory_bytes = kMemory;
  return options;
}

}  // namespace penstock::bench
