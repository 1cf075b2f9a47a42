// A client killed by SIGKILL at any moment costs nothing: its leases, builders and pins
// return, and what it had sealed counts.
#include <signal.h>
#include <unistd.h>

#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

[[noreturn]] void Die() {
  kill(getpid(), SIGKILL);
  pause();
  _exit(1);
}

constexpr int kKilled = 128 + SIGKILL;

TEST(ClientDeath, GivesBackLeasesBuildersAndPins) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  ObjectId shared;
  {
    Client maker = daemon.Connect();
    shared = PutPattern(maker, 1, 100'000);
  }
  for (int round = 0; round < 20; ++round) {
    const int code = RunInChild([&] {
      Client client = daemon.Connect();
      std::vector<Builder> builders;
      std::vector<ObjectView> views;
      for (const uint64_t size : {10, 10, 5000, 200'000, 200'000, 3'000'000}) {
        builders.push_back(Must(client.Create(size)));
      }
      builders.push_back(Must(client.Create(10, {.id = ObjectId::FromName("reserved")})));
      for (int i = 0; i < 5; ++i) views.push_back(Must(client.Get(shared)));
      views.push_back(Must(client.Get(PutPattern(client, 2, 70'000))));
      Must(client.Delete(views.back().id()));
      Must(client.Sync());
      Die();
      return 0;
    });
    ASSERT_EQ(code, kKilled);
  }
  EXPECT_TRUE(NothingIsLeft(daemon));
  Client client = daemon.Connect();
  EXPECT_EQ(Must(client.List()).size(), 1u) << "the shared one";
  Must(client.Delete(shared));
  Must(client.Sync());
  EXPECT_EQ(daemon.Status().Counter("object_bytes"), 0u);
  EXPECT_TRUE(client.Create(10, {.id = ObjectId::FromName("reserved")}).ok());
}

TEST(ClientDeath, LosesNothingThatWasSealed) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Channel channel;
  for (uint64_t round = 0; round < 30; ++round) {
    // The daemon stands still, so none of the records is taken before the death.
    const pid_t daemon_pid = daemon.daemon_pid();
    const pid_t child = StartChild([&] {
      Client maker = daemon.Connect();
      for (int i = 0; i < 10; ++i) PutPattern(maker, 9, 300);  // leases at hand
      Must(maker.Sync());
      channel.Signal();
      std::vector<ObjectId> ids;
      kill(daemon_pid, SIGSTOP);
      for (uint64_t i = 0; i < 4; ++i) channel.Send(PutPattern(maker, round + i, 300));
      Die();
      return 0;
    });
    channel.Wait();
    std::vector<ObjectId> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(channel.Receive<ObjectId>());
    EXPECT_EQ(WaitForChild(child), kKilled);
    kill(daemon_pid, SIGCONT);
    for (uint64_t i = 0; i < 4; ++i) {
      const auto view = client.Get(ids[i], absl::Seconds(20));
      ASSERT_TRUE(view.ok()) << view.status();
      ASSERT_TRUE(HasPattern(view->data(), round + i));
    }
  }
  EXPECT_TRUE(NothingIsLeft(daemon, 1));
}

TEST(ClientDeath, IsToldToThoseWhoWaitForItsObjects) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Channel ids;
  const ObjectId named = ObjectId::FromName("half made");
  const pid_t child = StartChild([&] {
    Client maker = daemon.Connect();
    const Builder own = Must(maker.Create(100));
    const Builder reserved = Must(maker.Create(100, {.id = named}));
    ids.Send(own.id());
    pause();
    return 0;
  });
  const std::vector<ObjectId> wanted = {ids.Receive<ObjectId>(), named};
  const pid_t waiter = StartChild([&] {
    Client reader = daemon.Connect();
    for (const auto& view : reader.GetMany(wanted)) {
      PENSTOCK_CHILD_EXPECT(Says(view, StatusCode::kAborted, "maker"));
    }
    return 0;
  });
  ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("get_waiters") == 2; }));
  kill(child, SIGKILL);
  EXPECT_EQ(WaitForChild(child), kKilled);
  EXPECT_EQ(WaitForChild(waiter), 0);
  // Who asks later is told too, where it can be known.
  EXPECT_TRUE(Says(client.Get(wanted[0]), StatusCode::kAborted, "maker"));
}

TEST(ClientDeath, TwoHundredTimesAtRandomMomentsLeavesNothing) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId shared = PutPattern(client, 1, 2000);
  Must(client.Sync());
  constexpr int kChildren = kSanitized ? 60 : 200;
  for (int i = 0; i < kChildren; ++i) {
    const pid_t child = StartChild([&] {
      Client victim = daemon.Connect();
      for (uint64_t n = 0;; ++n) {
        const ObjectView pinned = Must(victim.Get(shared));
        Builder left = Must(victim.Create(n % 3000));
        const ObjectId id = PutPattern(victim, n, n % 5000, {.evictable = n % 2 == 0});
        const auto view = victim.Get(id);
        // May have been dropped to make room; wrong it may never be.
        PENSTOCK_CHILD_EXPECT(!view.ok() || HasPattern(view->data(), n));
        if (n % 2 == 1) Must(victim.Delete(id));
      }
      return 0;
    });
    // A different moment each time, counted in what the daemon has seen.
    const uint64_t until = daemon.Status().Counter("records") + uint64_t(i) * 13 % 900;
    EXPECT_TRUE(Eventually([&] { return daemon.Status().Counter("records") >= until; }));
    kill(child, SIGKILL);
    ASSERT_EQ(WaitForChild(child), kKilled) << "child " << i;
  }
  EXPECT_TRUE(NothingIsLeft(daemon, 1));
  const auto view = client.Get(shared, absl::ZeroDuration());
  ASSERT_TRUE(view.ok());
  EXPECT_TRUE(HasPattern(view->data(), 1));
  for (const ObjectInfo& info : Must(client.List())) Must(client.Delete(info.id));
  EXPECT_TRUE(Eventually([&] { return daemon.Status().Counter("objects") == 1; }))
      << "only the one that is pinned";
}

TEST(ClientDeath, ASilentGoodbyeCountsAsAnEnd) {
  const TestDaemon daemon;
  for (int i = 0; i < 50; ++i) {
    Client client = daemon.Connect();
    const Builder builder = Must(client.Create(1000));
    PutPattern(client, 1, 1000, {.session_bound = true});
  }
  // Builders die before their client here, so each session could be closed at once.
  EXPECT_TRUE(NothingIsLeft(daemon));
  EXPECT_EQ(daemon.Status().Counter("objects"), 0u);
}

}  // namespace
}  // namespace penstock::testing
