// What clients and operators see when daemon or keeper are killed, and when they end in
// order.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "store/base/store_directory.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

constexpr absl::Duration kNow = absl::ZeroDuration();

double MillisecondsSince(absl::Time start) {
  return absl::ToDoubleMilliseconds(absl::Now() - start);
}

// Waits until the keeper has started another daemon than `before`.
pid_t NextDaemon(const TestDaemon& daemon, pid_t before) {
  pid_t now = before;
  const bool came = Eventually([&] {
    const auto status = QueryStatus(daemon.dir());
    if (status.ok()) now = static_cast<pid_t>(status->Counter("daemon_pid"));
    return now != before;
  });
  if (!came) GiveUp("no other daemon came: " + daemon.Output());
  return now;
}

TEST(DaemonDeath, WakesEverybodyWhoWaits) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  PutPattern(client, 0, 13 << 20);
  Client listener = daemon.Connect();
  Subscription events = Must(listener.Subscribe());
  absl::Status of_get, of_get_many, of_create, of_next;
  std::vector<std::thread> waiting;
  waiting.emplace_back([&] { of_get = client.Get(ObjectId::FromName("a")).status(); });
  waiting.emplace_back([&] {
    const std::vector<ObjectId> ids = {ObjectId::FromName("b"), ObjectId::FromName("c")};
    const auto views = client.GetMany(ids);
    of_get_many = views[1].status();
  });
  waiting.emplace_back([&] {
    of_create = client.Create(4 << 20, {.deadline = absl::Seconds(100)}).status();
  });
  waiting.emplace_back([&] { of_next = events.Next().status(); });
  ASSERT_TRUE(Eventually([&] {
    const DaemonStatus status = daemon.Status();
    return status.Counter("get_waiters") == 3 && status.Counter("room_waiters") == 1;
  }));
  const pid_t before = daemon.daemon_pid();
  const absl::Time killed = absl::Now();
  kill(before, SIGKILL);
  for (std::thread& thread : waiting) thread.join();
  const double took_ms = MillisecondsSince(killed);
  printf("all waiters woke within %.1f ms\n", took_ms);
  EXPECT_LT(took_ms, 10'000);  // 100 ms on a machine with nothing else to do
  for (const absl::Status& status : {of_get, of_get_many, of_create, of_next}) {
    EXPECT_TRUE(Says(status, StatusCode::kUnavailable, "died"));
  }
  EXPECT_TRUE(Says(events.Next(), StatusCode::kUnavailable, "subscribe again"));
}

TEST(DaemonDeath, LeavesAnEmptyStoreThatServesTheNextCall) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 5000);
  const ObjectId named = PutPattern(client, 2, 5000, {.id = ObjectId::FromName("n")});
  const ObjectView view = Must(client.Get(id));
  Builder builder = Must(client.Create(100));
  Must(client.Sync());
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGKILL);
  NextDaemon(daemon, before);
  ASSERT_TRUE(Eventually([&] { return client.Put("notices").ok(); }));
  // What was pinned stays readable; what was being made is lost.
  EXPECT_TRUE(view.status().ok());
  EXPECT_TRUE(HasPattern(view.data(), 1));
  FillPattern(builder.data(), 3);  // writable still, harmless
  EXPECT_TRUE(Says(builder.Seal(), StatusCode::kUnavailable, "died"));
  EXPECT_TRUE(Says(client.Get(id), StatusCode::kNotFound, "another store"));
  EXPECT_TRUE(Says(client.Get(named, kNow), StatusCode::kNotFound, "not here"));
  EXPECT_EQ(Must(client.List()).size(), 1u);
  const ObjectId again = PutPattern(client, 4, 5000);
  EXPECT_TRUE(HasPattern(Must(client.Get(again)).data(), 4));
  EXPECT_TRUE(Contains(daemon.Output(), "starting it again")) << daemon.Output();
}

// Mappings of arenas that this process has.
size_t ArenasMapped() {
  std::ifstream maps("/proc/self/maps");
  size_t found = 0;
  for (std::string line; std::getline(maps, line);) found += Contains(line, "penstock-arena");
  return found;
}

TEST(DaemonDeath, LeavesNoMappingBehindInAClientThatGoes) {
  const TestDaemon daemon;
  ASSERT_EQ(ArenasMapped(), 0u);
  {
    Client client = daemon.Connect();
    const ObjectView view = Must(client.Get(PutPattern(client, 1, 1000)));
    Builder aborted = Must(client.Create(100));
    Builder sealed = Must(client.Create(100));
    std::vector<Builder> sealed_together;
    sealed_together.push_back(Must(client.Create(100)));
    const pid_t before = daemon.daemon_pid();
    kill(before, SIGKILL);
    NextDaemon(daemon, before);
    ASSERT_TRUE(Eventually([&] { return client.Put("notices").ok(); }));
    EXPECT_FALSE(sealed.Seal().ok());
    EXPECT_FALSE(client.SealMany(sealed_together).ok());
    EXPECT_EQ(ArenasMapped(), 4u) << "two of each daemon";
  }
  // The last handle is gone too, so the next one who looks sweeps.
  { const Client client = daemon.Connect(); }
  EXPECT_EQ(ArenasMapped(), 0u);
}

// A client may not have noticed yet: each call either works or says Unavailable, and soon
// they work.
TEST(DaemonDeath, IsToldByTheNextSyncWhenSomethingWasSealedSinceTheLastOne) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  PutPattern(client, 1, 5000);
  Must(client.Sync());
  PutPattern(client, 2, 5000);
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGKILL);
  NextDaemon(daemon, before);
  ASSERT_TRUE(Eventually([&] { return client.NextId().ok(); }));
  EXPECT_TRUE(absl::IsUnavailable(client.Sync()));
  EXPECT_TRUE(Eventually([&] { return client.Sync().ok(); }));
}

TEST(DaemonDeath, FiveTimesInARowIsSurvived) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  pid_t pid = daemon.daemon_pid();
  for (uint64_t round = 0; round < 5; ++round) {
    // Deaths within a second of the start count as a daemon that cannot start.
    const absl::Time started = absl::Now();
    ASSERT_TRUE(Eventually([&] { return absl::Now() - started > absl::Seconds(1.2); }));
    kill(pid, SIGKILL);
    absl::StatusOr<ObjectId> id;
    ASSERT_TRUE(Eventually([&] {
      id = client.Put(Pattern(round, 3000));
      EXPECT_TRUE(id.ok() || absl::IsUnavailable(id.status())) << id.status();
      return id.ok() && client.Sync().ok();
    }));
    const auto view = client.Get(*id, kNow);
    ASSERT_TRUE(view.ok()) << view.status();
    EXPECT_TRUE(HasPattern(view->data(), round));
    pid = NextDaemon(daemon, pid);
  }
}

TEST(DaemonDeath, TimeAndAgainRightAfterTheStartMakesTheKeeperGiveUp) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  for (int i = 0; i < 500; ++i) {
    const auto status = QueryStatus(daemon.dir());
    if (!status.ok()) {
      if (absl::IsNotFound(status.status())) break;  // the socket is gone
      continue;
    }
    kill(static_cast<pid_t>(status->Counter("daemon_pid")), SIGKILL);
  }
  EXPECT_EQ(daemon.WaitForKeeper(), 1);
  EXPECT_TRUE(Contains(daemon.Output(), "giving up")) << daemon.Output();
  ASSERT_TRUE(Eventually([&] { return !client.Put("x").ok(); }));
  EXPECT_TRUE(Says(client.Put("x"), StatusCode::kNotFound, "Start one with penstockd"));
}

TEST(KeeperDeath, IsRepairedByTheDaemonAndDisturbsNobody) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 5000);
  const pid_t daemon_pid = daemon.daemon_pid();
  for (int round = 0; round < 3; ++round) {
    const pid_t keeper = daemon.LockHolder();
    if (round == 0) {
      ASSERT_EQ(keeper, daemon.keeper_pid());
      daemon.KillKeeper();
    } else {
      kill(keeper, SIGKILL);
    }
    ASSERT_TRUE(Eventually([&] {
      return daemon.LockHolder() != keeper && daemon.LockHolder() > 0;
    })) << daemon.Output();
    EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
    PutPattern(client, 2, 5000);
    EXPECT_EQ(daemon.daemon_pid(), daemon_pid);
    EXPECT_TRUE(Must(daemon.Connect().Contains(id)));
  }
  // The successor keeps: it starts the daemon again, and ends it when asked to.
  kill(daemon_pid, SIGKILL);
  const pid_t next = NextDaemon(daemon, daemon_pid);
  ASSERT_TRUE(Eventually([&] { return client.Put("works").ok(); }));
  const pid_t successor = daemon.LockHolder();
  kill(successor, SIGTERM);
  EXPECT_TRUE(Eventually([&] { return !Runs(next); })) << daemon.Output();
  EXPECT_TRUE(Eventually([&] { return !Runs(successor); })) << daemon.Output();
  EXPECT_FALSE(std::filesystem::exists(SocketPath(daemon.dir())));
}

TEST(KeeperDeath, TogetherWithTheDaemonLeavesADirectoryThatCanBeUsedAgain) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 5000);
  const ObjectView view = Must(client.Get(id));
  absl::Status of_get;
  std::thread waiting([&] { of_get = client.Get(ObjectId::FromName("never")).status(); });
  ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("get_waiters") == 1; }));
  daemon.KillBoth();
  waiting.join();
  EXPECT_TRUE(Says(of_get, StatusCode::kUnavailable, "died"));
  EXPECT_FALSE(client.Put("x").ok());
  EXPECT_TRUE(Says(Client::Connect({.dir = daemon.dir()}), StatusCode::kUnavailable,
                   "Start one with penstockd"));
  daemon.Restart();
  ASSERT_TRUE(Eventually([&] { return client.Put("x").ok(); }));
  EXPECT_TRUE(Says(client.Get(id), StatusCode::kNotFound, "another store"));
  EXPECT_TRUE(HasPattern(view.data(), 1));
}

TEST(Ending, SigtermEndsInOrderAndTellsTheClients) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  const pid_t pid = daemon.daemon_pid();
  absl::Status of_get;
  std::thread waiting([&] { of_get = client.Get(ObjectId::FromName("never")).status(); });
  ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("get_waiters") == 1; }));
  EXPECT_EQ(daemon.Stop(), 0) << daemon.Output();
  waiting.join();
  EXPECT_TRUE(Says(of_get, StatusCode::kUnavailable, "ended in order"));
  EXPECT_FALSE(Runs(pid));
  EXPECT_FALSE(std::filesystem::exists(SocketPath(daemon.dir())));
  EXPECT_TRUE(Contains(daemon.Output(), "ended in order")) << daemon.Output();
}

TEST(Ending, SigtermForTheDaemonAloneEndsBoth) {
  TestDaemon daemon;
  kill(daemon.daemon_pid(), SIGTERM);
  EXPECT_EQ(daemon.WaitForKeeper(), 0) << daemon.Output();
  EXPECT_FALSE(std::filesystem::exists(SocketPath(daemon.dir())));
}

TEST(Starting, ClientsAreServedAtOnceWhateverTheArenasSize) {
  // Only a part of it is populated by the time this test has ended.
  const absl::Time before = absl::Now();
  TestDaemon daemon({"--memory", "2GiB"});
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 1000);
  const double took_ms = MillisecondsSince(before);
  printf("the first object was sealed %.1f ms after the start\n", took_ms);
  EXPECT_LT(took_ms, 10'000);  // 50 ms on a machine with nothing else to do
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
  EXPECT_EQ(daemon.Stop(), 0);
}

}  // namespace
}  // namespace penstock::testing
