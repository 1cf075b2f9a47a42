// Scenario a: a full store of a million objects, a tenth of which could be dropped and is pinned,
// and creators that wait for more room than lies together. Each of them has the daemon look at
// every candidate, in vain, and so does each pin that is let go meanwhile: of one object at a time,
// which is then pinned again, or made anew.
//
// What is free lies in holes of 128 KiB between pinned objects: enough for a bystander's small
// puts, which may overtake those that ask for what is free only in pieces.
#include <algorithm>
#include <vector>

#include "bench/harness/clock.h"
#include "bench/penstock-bench/turn_load.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kObjects = 1'000'000;
constexpr uint64_t kQuickObjects = 20'000;
constexpr uint64_t kBlock = 64;
constexpr uint64_t kBatch = 500;
constexpr uint64_t kPinnedInBatch = 50;
constexpr int kCreators = 16;
constexpr uint64_t kHoleBytes = 128 * kKiB;
constexpr uint64_t kHolesBytes = 8 * kMiB;  // half of them stay full
constexpr uint64_t kWantedBytes = 1 * kMiB;
constexpr absl::Duration kDeadline = absl::Milliseconds(200);
constexpr int64_t kBetweenReleases_ns = 20'000'000;

class PinnedLoad : public TurnLoad {
 public:
  using TurnLoad::TurnLoad;

  absl::Status Prepare() override {
    Progress progress("pinned");
    PENSTOCK_ASSIGN_OR_RETURN(client_, Connect());
    const uint64_t wanted = options().quick ? kQuickObjects : kObjects;
    for (uint64_t made = 0; made < wanted; made += kBatch) {
      PENSTOCK_RETURN_IF_ERROR(MakeStock(*client_, kBatch - kPinnedInBatch).status());
      PENSTOCK_ASSIGN_OR_RETURN(const std::vector<ObjectId> droppable,
                                MakeStock(*client_, kPinnedInBatch, {.evictable = true}));
      for (absl::StatusOr<ObjectView>& view : client_->GetMany(droppable, absl::ZeroDuration())) {
        PENSTOCK_RETURN_IF_ERROR(view.status());
        pinned_.push_back(*std::move(view));
      }
      progress.Tell("objects", made, wanted);
    }
    PENSTOCK_RETURN_IF_ERROR(MakeHoles());
    PENSTOCK_ASSIGN_OR_RETURN(objects_, Counter("objects"));
    PENSTOCK_ASSIGN_OR_RETURN(looks_before_, Counter("eviction_looks"));
    PENSTOCK_ASSIGN_OR_RETURN(evicted_before_, Counter("evicted"));
    return absl::OkStatus();
  }

  absl::Status Run() override {
    std::vector<uint64_t> refused(kCreators, 0);
    std::vector<absl::Status> ends(kCreators + 1);
    {
      std::jthread releaser([this, &ends](const std::stop_token& stop) {
        ends[kCreators] = ReleaseNowAndThen(stop);
      });
      std::vector<std::jthread> creators;
      for (int i = 0; i < kCreators; ++i) {
        creators.emplace_back([this, i, &refused, &ends](const std::stop_token& stop) {
          ends[i] = WaitInVain(stop, refused[i]);
        });
      }
      const int64_t end_ns = NowNs() + options().least_ns;
      while (NowNs() < end_ns || looks() < pinned_.size() || most_waiters_ < kCreators) {
        SleepNs(50'000'000);
        PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus status, QueryStatus(options().dir));
        most_waiters_ = std::max(most_waiters_, status.Counter("room_waiters"));
        looks_ = status.Counter("eviction_looks");
        if (NowNs() > end_ns + 60'000'000'000) break;  // the counts will say so
      }
    }
    for (const uint64_t count : refused) refused_ += count;
    for (const absl::Status& end : ends) PENSTOCK_RETURN_IF_ERROR(end);
    return absl::OkStatus();
  }

  absl::Status Tell(LoadBoard& board) override {
    const uint64_t wanted = options().quick ? kQuickObjects : kObjects;
    board.Add("objects", objects_, wanted);
    board.Add("pinned_evictable", pinned_.size(), wanted / kBatch * kPinnedInBatch);
    board.Add("waiting_creators", most_waiters_, kCreators);
    board.Add("refused_creators", refused_, kCreators);
    board.Add("eviction_looks", looks(), pinned_.size());
    PENSTOCK_ASSIGN_OR_RETURN(const uint64_t evicted, Counter("evicted"));
    board.Add("evicted", evicted - evicted_before_);
    board.Add("pins_let_go", released_, 1);
    return absl::OkStatus();
  }

 private:
  uint64_t looks() const { return looks_ < looks_before_ ? 0 : looks_ - looks_before_; }

  // Fills what is left and takes every second one away.
  absl::Status MakeHoles() {
    std::vector<ObjectView> fillers;
    for (;;) {
      absl::StatusOr<Builder> filler =
          client_->Create(kHoleBytes, {.deadline = absl::ZeroDuration()});
      if (absl::IsResourceExhausted(filler.status())) break;
      PENSTOCK_RETURN_IF_ERROR(filler.status());
      PENSTOCK_ASSIGN_OR_RETURN(ObjectView view, filler->SealToView());
      fillers.push_back(std::move(view));
    }
    for (size_t i = 0; i < fillers.size(); ++i) {
      if (i % 2 == 0) {
        fillers_.push_back(std::move(fillers[i]));
      } else {
        const ObjectId id = fillers[i].id();
        fillers[i].Release();
        PENSTOCK_RETURN_IF_ERROR(client_->Delete(id));
      }
    }
    return client_->Sync();
  }

  absl::Status ReleaseNowAndThen(const std::stop_token& stop) {
    Client client = *client_;
    for (size_t next = 0; !stop.stop_requested(); next = (next + 997) % pinned_.size()) {
      SleepNs(kBetweenReleases_ns);
      const ObjectId id = pinned_[next].id();
      pinned_[next].Release();
      ++released_;
      absl::StatusOr<ObjectView> again = client.Get(id, absl::ZeroDuration());
      if (absl::IsNotFound(again.status())) {
        PENSTOCK_ASSIGN_OR_RETURN(Builder builder, client.Create(40, {.evictable = true}));
        again = builder.SealToView();
      }
      PENSTOCK_RETURN_IF_ERROR(again.status());
      pinned_[next] = *std::move(again);
    }
    return absl::OkStatus();
  }

  absl::Status WaitInVain(const std::stop_token& stop, uint64_t& refused) {
    Client client = *client_;
    while (!stop.stop_requested()) {
      const absl::StatusOr<Builder> made = client.Create(kWantedBytes, {.deadline = kDeadline});
      if (!made.ok() && !absl::IsResourceExhausted(made.status())) return made.status();
      refused += !made.ok();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Client> client_ = absl::UnknownError("not connected");
  std::vector<ObjectView> pinned_;
  std::vector<ObjectView> fillers_;
  uint64_t objects_ = 0;
  uint64_t released_ = 0;
  uint64_t refused_ = 0;
  uint64_t most_waiters_ = 0;
  uint64_t looks_before_ = 0;
  uint64_t looks_ = 0;
  uint64_t evicted_before_ = 0;
};

}  // namespace

std::unique_ptr<TurnLoad> MakePinnedLoad(LoadOptions options) {
  return std::make_unique<PinnedLoad>(std::move(options));
}

PrivateDaemonOptions PinnedDaemon(bool quick, uint32_t, const std::string&) {
  const uint64_t objects = quick ? kQuickObjects : kObjects;
  PrivateDaemonOptions options;
  options.memory_bytes = RoundUp(objects * kBlock + kHolesBytes, 2 * kMiB);
  options.objects = static_cast<uint32_t>(objects + objects / 10);
  return options;
}

}  // namespace penstock::bench
