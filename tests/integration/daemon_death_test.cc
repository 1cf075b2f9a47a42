// What clients and operators see when daemon or keeper are killed, and when they end in
// order.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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

TEST(DaemonDeath, KeepsObjectsViewsBuildersAndSessions) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 5000);
  const ObjectId named = PutPattern(client, 2, 5000, {.id = ObjectId::FromName("n")});
  const ObjectView view = Must(client.Get(id));
  Builder builder = Must(client.Create(100));
  Builder reserved = Must(client.Create(100, {.id = ObjectId::FromName("r")}));
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGKILL);
  FillPattern(builder.data(), 3);
  const ObjectId sealed = Must(builder.Seal());  // into the ring, whoever reads it
  FillPattern(reserved.data(), 4);
  Must(reserved.Seal());
  NextDaemon(daemon, before);
  EXPECT_TRUE(view.status().ok());
  EXPECT_TRUE(HasPattern(view.data(), 1));
  Client other = daemon.Connect();
  Must(client.Sync());
  uint64_t seed = 1;
  for (const ObjectId& each : {id, named, sealed, ObjectId::FromName("r")}) {
    EXPECT_TRUE(HasPattern(Must(other.Get(each, kNow)).data(), seed)) << seed;
    ++seed;
  }
  // The pin of before counts: the object goes with its last view.
  Must(other.Delete(id));
  Must(other.Sync());
  EXPECT_EQ(daemon.Status().Counter("doomed"), 1u);
  EXPECT_TRUE(HasPattern(view.data(), 1));
  EXPECT_EQ(daemon.Status().Counter("sessions"), 2u);
  EXPECT_EQ(daemon.Status().Counter("restarts"), 1u);
  EXPECT_TRUE(Contains(daemon.Output(), "took over")) << daemon.Output();
}

TEST(DaemonDeath, LeavesWaitersWaitingAndTheNextDaemonAnswersThem) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const ObjectId large = PutPattern(client, 0, 13 << 20);
  Must(client.Sync());
  std::vector<std::thread> waiting;
  absl::Status of_get, of_get_many, of_create, of_late;
  waiting.emplace_back([&] { of_get = client.Get(ObjectId::FromName("a")).status(); });
  waiting.emplace_back([&] {
    const std::vector<ObjectId> ids = {ObjectId::FromName("b"), ObjectId::FromName("c")};
    of_get_many = client.GetMany(ids)[1].status();
  });
  waiting.emplace_back([&] {
    of_create = client.Create(4 << 20, {.deadline = absl::Seconds(100)}).status();
  });
  waiting.emplace_back([&] {
    of_late = client.Get(ObjectId::FromName("never"), absl::Seconds(3)).status();
  });
  const auto all_wait = [&] {
    const DaemonStatus status = daemon.Status();
    return status.Counter("get_waiters") == 4 && status.Counter("room_waiters") == 1;
  };
  ASSERT_TRUE(Eventually(all_wait));
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGKILL);
  NextDaemon(daemon, before);
  ASSERT_TRUE(Eventually(all_wait)) << "they did not ask again";
  Client other = daemon.Connect();
  Must(other.Delete(large));
  for (const char* name : {"a", "b", "c"}) {
    PutPattern(other, 5, 100, {.id = ObjectId::FromName(name)});
  }
  for (std::thread& thread : waiting) thread.join();
  EXPECT_TRUE(of_get.ok()) << of_get;
  EXPECT_TRUE(of_get_many.ok()) << of_get_many;
  EXPECT_TRUE(of_create.ok()) << of_create;
  EXPECT_TRUE(absl::IsDeadlineExceeded(of_late)) << of_late;
}

TEST(DaemonDeath, TellsASubscriberThatItMissedSomethingAndGoesOn) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Client listener = daemon.Connect();
  Subscription events = Must(listener.Subscribe());
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGKILL);
  NextDaemon(daemon, before);
  const Event missed = Must(events.Next(absl::Seconds(20)));
  EXPECT_EQ(missed.kind, Event::Kind::kLost);
  EXPECT_EQ(missed.lost, 0u);
  Must(listener.Sync());  // it has subscribed again
  const ObjectId id = PutPattern(client, 1, 100);
  const Event next = Must(events.Next(absl::Seconds(20)));
  EXPECT_EQ(next.kind, Event::Kind::kSealed);
  EXPECT_EQ(next.id, id);
}

// Clients that are busy all along: no call fails, nothing is lost.
TEST(DaemonDeath, TwentyTimesInARowFailsNoCall) {
  const TestDaemon daemon;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> rounds{0};
  std::vector<std::thread> busy;
  for (uint64_t worker = 0; worker < 4; ++worker) {
    busy.emplace_back([&, worker] {
      Client client = daemon.Connect();
      std::vector<std::pair<ObjectId, uint64_t>> kept;
      for (uint64_t i = 0; !stop.load(); ++i) {
        const uint64_t seed = worker << 32 | i;
        const size_t size = 1 + seed * 7919 % 20'000;
        kept.emplace_back(Must(client.Put(Pattern(seed, size))), seed);
        const auto& [id, old_seed] = kept[i * 31 % kept.size()];
        if (!HasPattern(Must(client.Get(id)).data(), old_seed)) GiveUp("other bytes");
        if (kept.size() > 100) {
          Must(client.Delete(kept.front().first));
          kept.erase(kept.begin());
        }
        if (i % 64 == 0) Must(client.Sync());
        if (i % 16 == 0 && Must(client.Contains(ObjectId::FromName("no")))) GiveUp("no");
        rounds.fetch_add(1);
      }
      for (const auto& [id, seed] : kept) {
        if (!HasPattern(Must(client.Get(id, kNow)).data(), seed)) GiveUp("other bytes");
        Must(client.Delete(id));
      }
      Must(client.Sync());
    });
  }
  pid_t pid = daemon.daemon_pid();
  for (int round = 0; round < 20; ++round) {
    const uint64_t before = rounds.load();
    ASSERT_TRUE(Eventually([&] { return rounds.load() > before + 50; })) << daemon.Output();
    kill(pid, SIGKILL);
    pid = NextDaemon(daemon, pid);
  }
  stop.store(true);
  for (std::thread& thread : busy) thread.join();
  EXPECT_TRUE(Eventually([&] { return NothingIsLeft(daemon); })) << NothingIsLeft(daemon);
  EXPECT_EQ(daemon.Status().Counter("objects"), 0u);
}

TEST(DaemonDeath, AClientThatDiesWhileThereIsNoDaemonIsClosedByTheNextOne) {
  const TestDaemon daemon;
  Channel ready;
  Channel sealed;
  const ObjectId id = ObjectId::FromName("its last");
  const pid_t child = StartChild([&] {
    Client client = daemon.Connect();
    Builder builder = Must(client.Create(100, {.id = id}));
    Builder open = Must(client.Create(5000));
    FillPattern(builder.data(), 9);
    ready.Signal();
    sealed.Wait();
    Must(builder.Seal());
    kill(getpid(), SIGKILL);
    return 0;
  });
  ready.Wait();
  kill(daemon.keeper_pid(), SIGSTOP);
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGKILL);
  sealed.Signal();
  WaitForChild(child);
  kill(daemon.keeper_pid(), SIGCONT);
  NextDaemon(daemon, before);
  EXPECT_TRUE(Eventually([&] { return NothingIsLeft(daemon); })) << NothingIsLeft(daemon);
  Client client = daemon.Connect();
  EXPECT_TRUE(HasPattern(Must(client.Get(id, kNow)).data(), 9));
}

TEST(DaemonDeath, AStoppedClientFindsItsPinnedObjectsUnchanged) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 1 << 20, {.evictable = true});
  Channel pinned;
  Channel go_on;
  const pid_t child = StartChild([&] {
    Client own = daemon.Connect();
    const ObjectView view = Must(own.Get(id));
    pinned.Signal();
    go_on.Wait();
    PENSTOCK_CHILD_EXPECT(view.status().ok());
    PENSTOCK_CHILD_EXPECT(HasPattern(view.data(), 1));
    PENSTOCK_CHILD_EXPECT(own.Put("works on").ok());
    return 0;
  });
  pinned.Wait();
  kill(child, SIGSTOP);
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGKILL);
  NextDaemon(daemon, before);
  // The store is filled to the brim, and what may go goes.
  for (uint64_t i = 0; i < 40; ++i) {
    Must(client.Put(Pattern(100 + i, 1 << 20), {.evictable = true}));
  }
  kill(child, SIGCONT);
  go_on.Signal();
  EXPECT_EQ(WaitForChild(child), 0);
}

// As many as it takes: a daemon that served is started again for ever.
TEST(DaemonDeath, TimeAndAgainRightAfterTheStartLosesNothing) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 5000);
  pid_t pid = daemon.daemon_pid();
  for (int i = 0; i < 30; ++i) {
    kill(pid, SIGKILL);
    pid = NextDaemon(daemon, pid);
  }
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
  EXPECT_EQ(daemon.Status().Counter("restarts"), 30u);
}

// Mappings of arenas that this process has.
size_t ArenasMapped() {
  std::ifstream maps("/proc/self/maps");
  size_t found = 0;
  for (std::string line; std::getline(maps, line);) found += Contains(line, "penstock-arena");
  return found;
}

TEST(StoreDeath, LeavesNoMappingBehindInAClientThatGoes) {
  TestDaemon daemon;
  ASSERT_EQ(ArenasMapped(), 0u);
  {
    Client client = daemon.Connect();
    const ObjectView view = Must(client.Get(PutPattern(client, 1, 1000)));
    Builder aborted = Must(client.Create(100));
    Builder sealed = Must(client.Create(100));
    std::vector<Builder> sealed_together;
    sealed_together.push_back(Must(client.Create(100)));
    daemon.KillBoth();
    daemon.Restart();
    ASSERT_TRUE(Eventually([&] { return client.Put("notices").ok(); }));
    EXPECT_FALSE(sealed.Seal().ok());
    EXPECT_FALSE(client.SealMany(sealed_together).ok());
    EXPECT_EQ(ArenasMapped(), 4u) << "two of each daemon";
  }
  EXPECT_EQ(ArenasMapped(), 0u);
}

TEST(StoreDeath, WakesEverybodyWhoWaits) {
  TestDaemon daemon({"--memory", "16MiB"});
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
  const absl::Time killed = absl::Now();
  daemon.KillBoth();
  for (std::thread& thread : waiting) thread.join();
  const double took_ms = MillisecondsSince(killed);
  printf("all waiters woke within %.1f ms\n", took_ms);
  EXPECT_LT(took_ms, 10'000);  // 100 ms on a machine with nothing else to do
  for (const absl::Status& status : {of_get, of_get_many, of_create, of_next}) {
    EXPECT_TRUE(Says(status, StatusCode::kUnavailable, "died"));
  }
  EXPECT_TRUE(Says(events.Next(), StatusCode::kUnavailable, "subscribe again"));
}

TEST(StoreDeath, IsToldByTheNextSyncWhenSomethingWasSealedSinceTheLastOne) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  PutPattern(client, 1, 5000);
  Must(client.Sync());
  PutPattern(client, 2, 5000);
  daemon.KillBoth();
  daemon.Restart();
  ASSERT_TRUE(Eventually([&] { return client.NextId().ok(); }));
  EXPECT_TRUE(absl::IsUnavailable(client.Sync()));
  EXPECT_TRUE(Eventually([&] { return client.Sync().ok(); }));
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
  // The successor keeps: it starts the daemon again with the store that it never saw made,
  // and ends it when asked to.
  kill(daemon_pid, SIGKILL);
  const pid_t next = NextDaemon(daemon, daemon_pid);
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
  EXPECT_TRUE(client.Put("works").ok());
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

TEST(Ending, SighupEndsAStoreUnlessItWasIgnoredFromTheStart) {
  TestDaemon plain;
  kill(plain.keeper_pid(), SIGHUP);
  EXPECT_EQ(plain.WaitForKeeper(), 0);
  signal(SIGHUP, SIG_IGN);  // as nohup does
  TestDaemon daemon;
  signal(SIGHUP, SIG_DFL);
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 1000);
  for (const pid_t pid : {daemon.keeper_pid(), daemon.daemon_pid()}) kill(pid, SIGHUP);
  EXPECT_EQ(daemon.Status().Counter("restarts"), 0u);
  EXPECT_TRUE(Must(daemon.Connect().Contains(id)));
  EXPECT_EQ(daemon.Stop(), 0);
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
