// A process of get_release_ops_per_s.
#include "bench/penstock-bench/get_worker.h"

#include <memory>
#include <span>

#include "bench/harness/clock.h"
#include "bench/penstock-bench/bare_store.h"
#include "bench/penstock-bench/small_objects.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr size_t kMeetingWord = 2;

struct Belongings {
  Client client;
  RandomGets gets;
  std::unique_ptr<BareStore> bare;

  bool Run(uint64_t count, bool bare_steps) {
    return bare_steps ? bare->Run(count) : gets.Run(client, count);
  }
};

absl::StatusOr<std::shared_ptr<Belongings>> Begin(const Member& member) {
  const auto& note = member.stage.shared->note;
  const auto* head = reinterpret_cast<const GetWorkerNote*>(note.data());
  const std::span<const ObjectId> ids(
      reinterpret_cast<const ObjectId*>(note.data() + sizeof(GetWorkerNote)), head->ids);
  PENSTOCK_ASSIGN_OR_RETURN(Client client, Client::Connect({.dir = head->dir}));
  const uint64_t seed = static_cast<uint64_t>(member.number) + 1;
  PENSTOCK_ASSIGN_OR_RETURN(auto bare, BareStore::Create(ids, seed));
  return std::make_shared<Belongings>(
      Belongings{std::move(client), RandomGets(ids, ids.size(), seed), std::move(bare)});
}

}  // namespace

absl::Status GetWorker(Member& member, const RoleOrder& order, RoleAnswer& answer) {
  if (!member.belongings.has_value()) {
    PENSTOCK_ASSIGN_OR_RETURN(member.belongings, Begin(member));
  }
  auto* const own = std::any_cast<std::shared_ptr<Belongings>>(&member.belongings)->get();
  // Whatever is touched for the first time is touched before the clock runs.
  const bool bare_steps = order.first == kBareSteps;
  answer.verified = own->Run(2 * order.count / 100, bare_steps);
  SharedWord& meeting = member.stage.shared->words[kMeetingWord];
  meeting.Increment();
  meeting.SpinUntil(static_cast<uint32_t>(order.extra));
  answer.start_ns = NowNs();
  answer.verified &= own->Run(order.count, bare_steps);
  answer.end_ns = NowNs();
  return absl::OkStatus();
}

}  // namespace penstock::bench
