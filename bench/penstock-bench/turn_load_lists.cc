// Scenarios d and e: calls with a list as long as the store.
#include <algorithm>
#include <vector>

#include "bench/harness/clock.h"
#include "bench/penstock-bench/turn_load.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kBlock = 64;

// d: one GetMany of a million ids, half of them of no object, again and again: in every second
// call those are waited for.
constexpr uint64_t kIds = 1'000'000;
constexpr uint64_t kQuickIds = 40'000;
constexpr absl::Duration kWait = absl::Milliseconds(200);

class GetManyLoad : public TurnLoad {
 public:
  using TurnLoad::TurnLoad;

  absl::Status Prepare() override {
    PENSTOCK_ASSIGN_OR_RETURN(client_, Connect());
    const uint64_t count = options().quick ? kQuickIds : kIds;
    PENSTOCK_ASSIGN_OR_RETURN(const std::vector<ObjectId> stock, MakeStock(*client_, count / 2));
    ids_.reserve(count);
    const ObjectId random = ObjectId::Random();
    for (const ObjectId& id : stock) {
      ids_.push_back(id);
      ids_.push_back({0, random.session, random.sequence + ids_.size()});
    }
    return absl::OkStatus();
  }

  absl::Status Run() override {
    Progress progress("get_many");
    const int64_t start_ns = NowNs();
    for (uint64_t round = 0; round < 2 || NowNs() - start_ns < options().least_ns; ++round) {
      const int64_t began_ns = NowNs();
      const auto views =
          client_->GetMany(ids_, round % 2 == 0 ? absl::ZeroDuration() : kWait);
      longest_s_ = std::max(longest_s_, SecondsSince(began_ns));
      found_ = static_cast<uint64_t>(std::count_if(
          views.begin(), views.end(), [](const auto& view) { return view.ok(); }));
      if (found_ != ids_.size() / 2) return absl::DataLossError("a get did not find an object");
      ++calls_;
      progress.Tell("calls", calls_, 0);
    }
    return absl::OkStatus();
  }

  absl::Status Tell(LoadBoard& board) override {
    board.Add("ids_in_a_call", ids_.size(), options().quick ? kQuickIds : kIds);
    board.Add("found", found_, ids_.size() / 2);
    board.Add("calls", calls_, 2);
    board.Add("longest_call_ms", static_cast<uint64_t>(longest_s_ * 1e3));
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<Client> client_ = absl::UnknownError("not connected");
  std::vector<ObjectId> ids_;
  uint64_t found_ = 0;
  uint64_t calls_ = 0;
  double longest_s_ = 0;
};

// e: half of the slots are in use, and one CreateMany asks for more than the other half.
constexpr uint64_t kSlots = 1'000'000;
constexpr uint64_t kQuickSlots = 40'000;
constexpr absl::Duration kDeadline = absl::Milliseconds(300);

class CreateManyLoad : public TurnLoad {
 public:
  using TurnLoad::TurnLoad;

  absl::Status Prepare() override {
    PENSTOCK_ASSIGN_OR_RETURN(client_, Connect());
    return MakeStock(*client_, slots() / 2).status();
  }

  absl::Status Run() override {
    std::jthread looker([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        const auto leases = Counter("leases");
        if (leases.ok()) most_leases_ = std::max(most_leases_, *leases);
        SleepNs(10'000'000);
      }
    });
    Progress progress("create_many");
    const std::vector<uint64_t> sizes(slots() / 10 * 6, 40);
    const int64_t start_ns = NowNs();
    do {
      const int64_t began_ns = NowNs();
      const auto made = client_->CreateMany(sizes, {.deadline = kDeadline});
      longest_s_ = std::max(longest_s_, SecondsSince(began_ns));
      if (!absl::IsResourceExhausted(made.status())) {
        return made.ok() ? absl::DataLossError("more objects were made than there are slots")
                         : made.status();
      }
      progress.Tell("calls refused", ++refused_, 0);
    } while (NowNs() - start_ns < options().least_ns);
    looker.request_stop();
    looker.join();
    return absl::OkStatus();
  }

  absl::Status Tell(LoadBoard& board) override {
    board.Add("asked_for", slots() / 10 * 6, slots() / 10 * 6);
    board.Add("slots", slots(), slots());
    board.Add("calls_refused", refused_, 1);
    board.Add("leases_at_once", most_leases_, options().quick ? 0 : slots() / 4);
    board.Add("longest_call_ms", static_cast<uint64_t>(longest_s_ * 1e3));
    return absl::OkStatus();
  }

 private:
  uint64_t slots() const { return options().quick ? kQuickSlots : kSlots; }

  absl::StatusOr<Client> client_ = absl::UnknownError("not connected");
  uint64_t refused_ = 0;
  uint64_t most_leases_ = 0;
  double longest_s_ = 0;
};

}  // namespace

std::unique_ptr<TurnLoad> MakeGetManyLoad(LoadOptions options) {
  return std::make_unique<GetManyLoad>(std::move(options));
}

PrivateDaemonOptions GetManyDaemon(bool quick, uint32_t, const std::string&) {
  PrivateDaemonOptions options;
  options.objects = static_cast<uint32_t>(quick ? kQuickIds : kIds);
  options.memory_bytes = RoundUp(uint64_t{options.objects} * 2 * kBlock, 2 * kMiB);
  return options;
}

std::unique_ptr<TurnLoad> MakeCreateManyLoad(LoadOptions options) {
  return std::make_unique<CreateManyLoad>(std::move(options));
}

PrivateDaemonOptions CreateManyDaemon(bool quick, uint32_t, const std::string&) {
  PrivateDaemonOptions options;
  options.objects = static_cast<uint32_t>(quick ? kQuickSlots : kSlots);
  options.memory_bytes = RoundUp(uint64_t{options.objects} * 2 * kBlock, 2 * kMiB);
  return options;
}

}  // namespace penstock::bench
