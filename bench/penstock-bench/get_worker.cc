// A process of get_release_ops_per_s.
#include "bench/penstock-bench/get_worker.h"

#include <memory>
#include <span>

#include "bench/harness/clock.h"
#include "bench/penstock-bench/small_objects.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr size_t kMeetingWord = 2;

struct Belongings {
  Client client;
  RandomGets gets;
};

absl::StatusOr<std::shared_ptr<Belongings>> Begin(const Member& member) {
  const auto& note = member.stage.shared->note;
  const auto* head = reinterpret_cast<const GetWorkerNote*>(note.data());
  const std::span<const ObjectId> ids(
      reinterpret_cast<const ObjectId*>(note.data() + sizeof(GetWorkerNote)), head->ids);
  PENSTOCK_ASSIGN_OR_RETURN(Client client, Client::Connect({.dir = head->dir}));
  return std::make_shared<Belongings>(
      Belongings{std::move(client),
                 RandomGets(ids, ids.size(), static_cast<uint64_t>(member.number) + 1)});
}

}  // namespace

absl::Status GetWorker(Member& member, const RoleOrder& order, RoleAnswer& answer) {
  if (!member.belongings.has_value()) {
    PENSTOCK_ASSIGN_OR_RETURN(member.belongings, Begin(member));
  }
  auto* const own = std::any_cast<std::shared_ptr<Belongings>>(&member.belongings)->get();
  // Whatever is touched for the first time is touched before the clock runs.
  answer.verified = own->gets.Run(own->client, 2 * order.count / 100);
  SharedWord& meeting = member.stage.shared->words[kMeetingWord];
  meeting.Increment();
  meeting.SpinUntil(static_cast<uint32_t>(order.extra));
  answer.start_ns = NowNs();
  answer.verified &= own->gets.Run(own->client, order.count);
  answer.end_ns = NowNs();
  return absl::OkStatus();
}

}  // namespace penstock::bench
