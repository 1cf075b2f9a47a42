// Producer and consumer of a hand-off.
#include "bench/penstock-bench/handoff_roles.h"

#include <algorithm>
#include <array>
#include <memory>

#include <penstock/client.h>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/stage_bells.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr size_t kIdsWord = 3;
constexpr size_t kToProducer = 3;  // a bell that no floor uses

using Payload = std::array<std::byte, kHandoffBytes>;

Payload PayloadOf(const ObjectId& id) {
  Payload payload;
  FillPattern(payload.data(), payload.size(), id.Hash());
  return payload;
}

HandoffNote& NoteOf(Member& member) {
  return *reinterpret_cast<HandoffNote*>(member.stage.shared->note.data());
}

// Connected when the role is played first.
absl::StatusOr<Client*> ClientOf(Member& member) {
  if (!member.belongings.has_value()) {
    PENSTOCK_ASSIGN_OR_RETURN(Client client, Client::Connect({.dir = NoteOf(member).dir}));
    member.belongings = std::make_shared<Client>(std::move(client));
  }
  return std::any_cast<std::shared_ptr<Client>>(&member.belongings)->get();
}

}  // namespace

absl::Status HandoffProducer(Member& member, const RoleOrder& order, RoleAnswer&) {
  PENSTOCK_ASSIGN_OR_RETURN(Client* const client, ClientOf(member));
  HandoffNote& note = NoteOf(member);
  for (uint64_t i = 0; i < order.count; ++i) {
    PENSTOCK_ASSIGN_OR_RETURN(note.ids[i], client->NextId());
  }
  member.stage.shared->words[kIdsWord].PublishAndWake(static_cast<uint32_t>(order.extra));
  // The consumer says when it is there.
  PENSTOCK_RETURN_IF_ERROR(AwaitBell(member.stage.bells[kToProducer]));
  for (uint64_t i = 0; i < order.count; ++i) {
    const ObjectId id = note.ids[i];
    const Payload payload = PayloadOf(id);
    if (order.pause_ns > 0) SleepNs(order.pause_ns);
    member.stage.shared->start_ns = NowNs();
    PENSTOCK_RETURN_IF_ERROR(client->Put(payload, {.id = id}).status());
    PENSTOCK_RETURN_IF_ERROR(AwaitBell(member.stage.bells[kToProducer]));
    PENSTOCK_RETURN_IF_ERROR(client->Delete(id));
  }
  return absl::OkStatus();
}

absl::Status HandoffConsumer(Member& member, const RoleOrder& order, RoleAnswer& answer) {
  PENSTOCK_ASSIGN_OR_RETURN(Client* const client, ClientOf(member));
  member.stage.shared->words[kIdsWord].SleepUntil(static_cast<uint32_t>(order.extra));
  PENSTOCK_RETURN_IF_ERROR(RingBell(member.stage.bells[kToProducer]));
  for (uint64_t i = 0; i < order.count; ++i) {
    const ObjectId id = NoteOf(member).ids[i];
    PENSTOCK_ASSIGN_OR_RETURN(ObjectView view, client->Get(id));
    const int64_t end_ns = NowNs();
    member.observations()[answer.observations++] =
        static_cast<double>(end_ns - member.stage.shared->start_ns);
    answer.verified &= std::ranges::equal(view.data(), PayloadOf(id));
    view.Release();
    PENSTOCK_RETURN_IF_ERROR(RingBell(member.stage.bells[kToProducer]));
  }
  return absl::OkStatus();
}

}  // namespace penstock::bench
