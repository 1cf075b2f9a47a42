// The bystander's role and what it leaves on the stage.
#include "bench/penstock-bench/bystander.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include <penstock/client.h>

#include "bench/harness/clock.h"
#include "bench/penstock-bench/load_board.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr int kWarmRounds = 50;
constexpr size_t kBytes = 4096;
constexpr size_t kMostRounds = Stage::kObservations / 2;
constexpr absl::Duration kPatience = absl::Minutes(2);

class Bystander {
 public:
  explicit Bystander(Client client) : client_(std::move(client)), bytes_(kBytes) {}

  absl::Status Round(double& put_get_delete_us, double& question_us) {
    std::memset(bytes_.data(), static_cast<int>(++round_ & 0xff), kBytes);
    const int64_t began_ns = NowNs();
    PENSTOCK_ASSIGN_OR_RETURN(const ObjectId id, client_.Put(bytes_, {.deadline = kPatience}));
    {
      PENSTOCK_ASSIGN_OR_RETURN(const ObjectView view, client_.Get(id, kPatience));
      if (view.data().size() != kBytes ||
          std::memcmp(view.data().data(), bytes_.data(), kBytes) != 0) {
        return absl::DataLossError("a bystander got other bytes than it put");
      }
    }
    PENSTOCK_RETURN_IF_ERROR(client_.Delete(id));
    const int64_t between_ns = NowNs();
    PENSTOCK_ASSIGN_OR_RETURN(const bool is_here, client_.Contains(missing_));
    if (is_here) return absl::DataLossError("an object is there that nobody made");
    question_us = static_cast<double>(NowNs() - between_ns) * 1e-3;
    put_get_delete_us = static_cast<double>(between_ns - began_ns) * 1e-3;
    return absl::OkStatus();
  }

 private:
  Client client_;
  std::vector<std::byte> bytes_;
  uint64_t round_ = 0;
  const ObjectId missing_ = ObjectId::FromName("nobody makes this");
};

absl::Status PlayBystander(Member& member, const RoleOrder& order, RoleAnswer& answer) {
  PENSTOCK_ASSIGN_OR_RETURN(Client client, Client::Connect({.dir = order.text}));
  Bystander bystander(std::move(client));
  double put_us = 0;
  double question_us = 0;
  for (int i = 0; i < kWarmRounds; ++i) {
    PENSTOCK_RETURN_IF_ERROR(bystander.Round(put_us, question_us));
  }
  const std::span<double> times = member.observations();
  auto& words = member.stage.shared->words;
  words[kBystanderIsReady].PublishAndWake(1);
  const int64_t end_ns = NowNs() + order.pause_ns;
  uint64_t round = 0;
  int64_t due_ns = NowNs();
  const auto is_over = [&] {
    return order.pause_ns > 0 ? NowNs() >= end_ns : words[kLoadIsOver].Load() == 1;
  };
  for (; !is_over(); ++round) {
    PENSTOCK_RETURN_IF_ERROR(bystander.Round(put_us, question_us));
    // Of a load that takes longer than there is room for, the last part.
    times[round % kMostRounds] = put_us;
    times[kMostRounds + round % kMostRounds] = question_us;
    due_ns += kBystanderPeriod_ns;
    const int64_t now_ns = NowNs();
    if (due_ns > now_ns) {
      SleepNs(due_ns - now_ns);
    } else {
      due_ns = now_ns;  // what could not be made meanwhile is added by AtSteadyPace
    }
  }
  const uint64_t kept = std::min<uint64_t>(round, kMostRounds);
  if (kept < kMostRounds) {
    std::memmove(&times[kept], &times[kMostRounds], kept * sizeof(double));
  }
  answer.observations = 2 * kept;
  return absl::OkStatus();
}

}  // namespace

Part BystanderPart(const std::string& dir, int64_t quiet_ns) {
  Part part{kBystanderMember, PlayBystander, {}};
  part.order.pause_ns = quiet_ns;
  std::snprintf(part.order.text, sizeof(part.order.text), "%s", dir.c_str());
  return part;
}

BystanderTimes TimesOf(std::span<const double> observations) {
  const size_t half = observations.size() / 2;
  return {{observations.begin(), observations.begin() + static_cast<std::ptrdiff_t>(half)},
          {observations.begin() + static_cast<std::ptrdiff_t>(half), observations.end()}};
}

}  // namespace penstock::bench
