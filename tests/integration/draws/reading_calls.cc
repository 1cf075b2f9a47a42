// Draws of the client's calls that read, wait, list and ask.
#include <algorithm>

#include "tests/integration/draws/hand.h"

namespace penstock::draws {
namespace {

using absl::StatusCode;

const std::vector<StatusCode> kOfReading = {
    StatusCode::kNotFound, StatusCode::kAborted, StatusCode::kDeadlineExceeded,
    StatusCode::kInvalidArgument, StatusCode::kResourceExhausted};

void DrawGet(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  const ObjectId id = hand.AnyId();
  const absl::Duration deadline = hand.Deadline();
  auto view = hand.Ask(deadline, fmt::format("{}, {}", id.ToHex(), Shown(deadline)),
                       [&] { return caller.client.Get(id, deadline); });
  if (!view.ok()) return;
  hand.Expect(view->id() == id, "another object than was asked for");
  hand.Keep(*std::move(view));
}

void DrawGetMany(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  const size_t count = hand.dice.Count();
  // Each id that is waited for without end has to be sealed by the ender.
  std::vector<ObjectId> ids(hand.IsPatient() ? std::min<size_t>(count, 1000) : count);
  for (ObjectId& id : ids) {
    // Of very many, most are not here.
    id = ids.size() <= 1000 ? hand.AnyId()
                            : ObjectId{0, hand.dice.Word(), hand.dice.Word() | 1};
  }
  const absl::Duration deadline = hand.Deadline();
  std::vector<absl::StatusOr<ObjectView>> views;
  // Asking for 100,000 takes some time itself, after the deadline too: it is not cut short.
  const absl::Duration work = static_cast<int64_t>(ids.size()) * absl::Microseconds(10);
  if (ids.empty()) hand.Writes(hand.callers[0]);  // no place for an error
  const absl::Duration most = std::max(deadline, absl::ZeroDuration()) + work;
  (void)hand.Ask(most, fmt::format("{} ids, {}", ids.size(), Shown(deadline)), [&] {
    views = caller.client.GetMany(ids, deadline);
    return views.empty() ? absl::OkStatus() : views.front().status();
  });
  if (ids.empty()) return;
  hand.Expect(views.size() == ids.size(), "not as many outcomes as ids");
  for (size_t i = 0; i < views.size(); ++i) {
    hand.Judge(views[i].status());
    if (!views[i].ok()) continue;
    hand.Expect(views[i]->id() == ids[i], "another object than was asked for");
    if (i < 10) hand.Keep(*std::move(views[i]));
  }
}

void DrawContains(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  const ObjectId id = hand.AnyId();
  (void)hand.Ask(id.ToHex(), [&] { return caller.client.Contains(id); });
}

void DrawList(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  const auto infos = hand.Ask("", [&] { return caller.client.List(); });
  if (!infos.ok()) return;
  for (const ObjectInfo& info : *infos) {
    hand.Expect(!info.id.IsNil() && info.size <= hand.store.arena_bytes() &&
                    info.priority <= Priority::kHigh,
                fmt::format("lists object {} of {} bytes and priority {}, which cannot be",
                            info.id.ToHex(), info.size, static_cast<unsigned>(info.priority)));
  }
}

void DrawSync(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  (void)hand.Ask("", [&] { return caller.client.Sync(); });
}

void DrawSubscribe(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  SubscribeOptions options;
  options.seals = hand.dice.Percent(80);
  options.deletions = hand.dice.Percent(50);
  auto subscription = hand.Ask(fmt::format("{}, {}", options.seals, options.deletions),
                               [&] { return caller.client.Subscribe(options); });
  if (subscription.ok()) hand.subscription = *std::move(subscription);
}

void DrawNext(Hand& hand) {
  if (!hand.subscription) DrawSubscribe(hand);
  if (!hand.subscription) return hand.Skip();
  const absl::Duration deadline = hand.Deadline();
  const auto event = hand.Ask(deadline, Shown(deadline),
                              [&] { return hand.subscription->Next(deadline); });
  if (!event.ok()) return;
  hand.Expect(event->kind == Event::Kind::kLost || !event->id.IsNil(), "an event without an id");
}

void DrawMovedSubscription(Hand& hand) {
  if (!hand.subscription) DrawSubscribe(hand);
  if (!hand.subscription) return hand.Skip();
  Subscription moved = hand.Do([&] { return *std::move(hand.subscription); });
  const auto event = hand.Do([&] { return hand.subscription->Next(hand.Deadline()); });
  hand.Expect(absl::IsFailedPrecondition(event.status()), "a moved subscription goes on");
  *hand.subscription = std::move(moved);
  if (hand.dice.Percent(20)) hand.subscription.reset();
}

void DrawQueryStatus(Hand& hand) {
  const std::string dir = hand.dice.Dir(hand.store.dir());
  const absl::Duration patience =
      hand.dice.Percent(20) ? hand.dice.EndlessDeadline() : hand.Deadline();
  const auto status = hand.Ask(patience, fmt::format("{}, {}", Shown(dir), Shown(patience)),
                               [&] { return QueryStatus(dir, patience); });
  if (status.ok()) hand.Expect(!status->counters.empty(), "a daemon without counters");
}

void DrawCounter(Hand& hand) {
  const DaemonStatus status{.counters = {{"objects", 3}}, .notes = {}};
  const std::string name = hand.dice.Percent(30) ? "objects" : hand.dice.Name();
  const uint64_t value = hand.Do([&] { return status.Counter(name); });
  hand.Expect(value == (name == "objects" ? 3 : 0), "another counter's value");
}

}  // namespace

Calls ReadingCalls() {
  return {
      {"Client::Get", 10, DrawGet, kOfReading},
      {"Client::GetMany", 2, DrawGetMany, kOfReading},
      {"Client::Contains", 4, DrawContains},
      {"Client::List", 1, DrawList},
      {"Client::Sync", 2, DrawSync, {StatusCode::kAlreadyExists}},
      {"Client::Subscribe", 2, DrawSubscribe,
       {StatusCode::kFailedPrecondition, StatusCode::kInvalidArgument}},
      {"Subscription::Next", 3, DrawNext,
       {StatusCode::kDeadlineExceeded, StatusCode::kFailedPrecondition,
        StatusCode::kInvalidArgument}},
      {"Subscription (moved)", 1, DrawMovedSubscription,
       {StatusCode::kFailedPrecondition, StatusCode::kInvalidArgument}},
      {"QueryStatus", 1, DrawQueryStatus,
       {StatusCode::kNotFound, StatusCode::kInvalidArgument, StatusCode::kDeadlineExceeded}},
      {"DaemonStatus::Counter", 1, DrawCounter},
  };
}

}  // namespace penstock::draws
