// Subscriptions: events in the daemon's order, and a loss that is told with its count.
#include <signal.h>

#include <algorithm>
#include <thread>

#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

constexpr absl::Duration kPatience = absl::Seconds(20);

TEST(Subscription, TellsSealsAndDeletionsOfAnotherProcessInOrder) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Subscription events = Must(client.Subscribe());
  Channel ids;
  const pid_t child = StartChild([&] {
    Client maker = daemon.Connect();
    for (uint64_t i = 0; i < 500; ++i) {
      const ObjectId id = PutPattern(maker, i, i);
      ids.Send(id);
      if (i % 3 == 0) Must(maker.Delete(id));
    }
    return 0;
  });
  for (uint64_t i = 0; i < 500; ++i) {
    const ObjectId id = ids.Receive<ObjectId>();
    const Event sealed = Must(events.Next(kPatience));
    ASSERT_EQ(sealed.kind, Event::Kind::kSealed) << i;
    ASSERT_EQ(sealed.id, id);
    ASSERT_EQ(sealed.size, i);
    if (i % 3 != 0) continue;
    const Event deleted = Must(events.Next(kPatience));
    ASSERT_EQ(deleted.kind, Event::Kind::kDeleted) << i;
    ASSERT_EQ(deleted.id, id);
  }
  EXPECT_EQ(WaitForChild(child), 0);
  EXPECT_TRUE(Says(events.Next(absl::Milliseconds(20)), StatusCode::kDeadlineExceeded,
                   "no event"));
}

TEST(Subscription, TellsOnlyWhatWasAskedFor) {
  const TestDaemon daemon;
  Client maker = daemon.Connect();
  Client seals_client = daemon.Connect();
  Client deletions_client = daemon.Connect();
  Subscription seals = Must(seals_client.Subscribe({.deletions = false}));
  Subscription deletions = Must(deletions_client.Subscribe({.seals = false}));
  const ObjectId id = PutPattern(maker, 1, 10);
  Must(maker.Delete(id));
  const ObjectId second = PutPattern(maker, 2, 10);
  EXPECT_EQ(Must(seals.Next(kPatience)).id, id);
  EXPECT_EQ(Must(seals.Next(kPatience)).id, second);
  const Event deleted = Must(deletions.Next(kPatience));
  EXPECT_EQ(deleted.kind, Event::Kind::kDeleted);
  EXPECT_EQ(deleted.id, id);
}

TEST(Subscription, OneAClientAndNoneToNothing) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  EXPECT_TRUE(Says(client.Subscribe({.seals = false, .deletions = false}).status(),
                   StatusCode::kInvalidArgument, "nothing"));
  {
    Subscription first = Must(client.Subscribe());
    EXPECT_TRUE(Says(client.Subscribe().status(), StatusCode::kFailedPrecondition,
                     "already"));
    Subscription moved = std::move(first);
    PutPattern(client, 1, 10);
    EXPECT_EQ(Must(moved.Next(kPatience)).kind, Event::Kind::kSealed);
  }
  PutPattern(client, 2, 10);
  Subscription second = Must(client.Subscribe());
  const ObjectId third = PutPattern(client, 3, 10);
  EXPECT_EQ(Must(second.Next(kPatience)).id, third) << "nothing from before it began";
}

// Reads all there is: what came must be in order, and each gap told with its exact count.
void ExpectNoSilentGap(Subscription& events, const std::vector<ObjectId>& sealed,
                       uint64_t* lost_in_all) {
  size_t place = 0;
  while (place < sealed.size()) {
    const Event event = Must(events.Next(kPatience));
    if (event.kind == Event::Kind::kLost) {
      ASSERT_GT(event.lost, 0u);
      *lost_in_all += event.lost;
      place += event.lost;
      continue;
    }
    ASSERT_EQ(event.kind, Event::Kind::kSealed);
    ASSERT_EQ(event.id, sealed[place]) << "place " << place;
    ++place;
  }
  EXPECT_EQ(place, sealed.size());
}

TEST(Subscription, ASlowReaderIsToldExactlyHowMuchItLost) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Client maker = daemon.Connect();
  Subscription events = Must(client.Subscribe({.deletions = false}));
  std::vector<ObjectId> sealed;
  const auto make = [&](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      sealed.push_back(PutPattern(maker, i, 8));
      Must(maker.Delete(sealed.back()));
    }
    Must(maker.Sync());
  };
  make(80'000);
  // A little is read, which makes room before all old events are out; new ones come.
  std::vector<Event> first;
  for (int i = 0; i < 2000; ++i) first.push_back(Must(events.Next(kPatience)));
  make(3000);
  for (size_t i = 0; i < first.size(); ++i) ASSERT_EQ(first[i].id, sealed[i]);
  sealed.erase(sealed.begin(), sealed.begin() + static_cast<ptrdiff_t>(first.size()));
  uint64_t lost = 0;
  ExpectNoSilentGap(events, sealed, &lost);
  EXPECT_GT(lost, 0u);
  // It goes on as if nothing had been.
  const ObjectId last = PutPattern(maker, 1, 8);
  EXPECT_EQ(Must(events.Next(kPatience)).id, last);
}

TEST(Subscription, EachEventGoesToOneOfItsThreads) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Client maker = daemon.Connect();
  Subscription events = Must(client.Subscribe({.deletions = false}));
  constexpr size_t kThreads = 4;
  constexpr size_t kEach = 500;
  std::vector<std::vector<ObjectId>> got(kThreads);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      while (got[t].size() < kEach) got[t].push_back(Must(events.Next(kPatience)).id);
    });
  }
  std::vector<ObjectId> made;
  for (size_t i = 0; i < kThreads * kEach; ++i) made.push_back(PutPattern(maker, i, 8));
  for (std::thread& thread : threads) thread.join();
  std::vector<ObjectId> all;
  for (const auto& some : got) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  std::sort(made.begin(), made.end());
  EXPECT_EQ(all, made);
}

TEST(Subscription, IsNotHeldUpByAnotherThreadThatWaitsForSomethingElse) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Client maker = daemon.Connect();
  Subscription events = Must(client.Subscribe({.deletions = false}));
  const ObjectId promised = Must(maker.NextId());
  // The first who waits reads the ring for all.
  std::thread other([&] { Must(client.Get(promised, kPatience)); });
  ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("get_waiters") == 1; }));
  constexpr uint64_t kEvents = 50;
  std::thread making([&] {
    for (uint64_t i = 0; i < kEvents; ++i) {
      absl::SleepFor(absl::Milliseconds(2));  // so that the other side waits already
      PutPattern(maker, i, 8);
    }
  });
  for (uint64_t i = 0; i < kEvents; ++i) Must(events.Next(absl::Seconds(5)));
  making.join();
  Must(maker.Put("now", {.id = promised}));
  other.join();
}

TEST(Subscription, EndsWithItsStore) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  Subscription events = Must(client.Subscribe());
  daemon.KillBoth();
  daemon.Restart();
  EXPECT_TRUE(absl::IsUnavailable(events.Next(kPatience).status()));
  ASSERT_TRUE(Eventually([&] { return client.Put("x").ok() && client.Sync().ok(); }));
  EXPECT_TRUE(Says(events.Next(kPatience), StatusCode::kUnavailable, "subscribe again"));
  Subscription again = Must(client.Subscribe());
  const ObjectId id = PutPattern(client, 1, 10);
  EXPECT_EQ(Must(again.Next(kPatience)).id, id);
}

}  // namespace
}  // namespace penstock::testing
