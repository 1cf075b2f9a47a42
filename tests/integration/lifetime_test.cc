// How objects end: deleted, evicted, with their session, or aborted; and what a full store
// does meanwhile.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "store/base/units.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

constexpr absl::Duration kNow = absl::ZeroDuration();

uint64_t Counter(const TestDaemon& daemon, const char* name) {
  return daemon.Status().Counter(name);
}

// Fills the store with objects of 1 MiB that may not be dropped.
std::vector<ObjectId> Fill(Client& client) {
  std::vector<ObjectId> ids;
  for (;;) {
    auto builder = client.Create(kMiB, {.deadline = kNow});
    if (!builder.ok()) return ids;
    ids.push_back(Must(builder->Seal()));
  }
}

TEST(Lifetime, ADeletedObjectStaysReadableUntilItsLastRelease) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Channel pinned, release;
  const ObjectId id = PutPattern(client, 1, 2'000'000);
  Must(client.Sync());
  const uint64_t with_object = Counter(daemon, "object_bytes");
  const pid_t child = StartChild([&] {
    Client reader = daemon.Connect();
    ObjectView view = Must(reader.Get(id));
    pinned.Signal();
    release.Wait();
    PENSTOCK_CHILD_EXPECT(HasPattern(view.data(), 1));
    view.Release();
    return 0;
  });
  ObjectView own = Must(client.Get(id));
  pinned.Wait();
  Must(client.Delete(id));
  Must(client.Sync());
  EXPECT_TRUE(Says(client.Get(id, kNow), StatusCode::kNotFound, "deleted"));
  EXPECT_TRUE(Says(client.Delete(id), StatusCode::kNotFound, id.ToHex()));
  EXPECT_EQ(Counter(daemon, "doomed"), 1u);
  own.Release();
  Must(client.Sync());
  EXPECT_EQ(Counter(daemon, "doomed"), 1u) << "the other process still reads it";
  EXPECT_EQ(Counter(daemon, "object_bytes"), with_object);
  release.Signal();
  EXPECT_EQ(WaitForChild(child), 0);
  ASSERT_TRUE(Eventually([&] { return Counter(daemon, "doomed") == 0; }));
  EXPECT_EQ(Counter(daemon, "object_bytes"), 0u);
  EXPECT_EQ(Counter(daemon, "freed"), 1u);
}

TEST(Lifetime, SealToViewPinsTheObjectFromItsFirstMoment) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Client other = daemon.Connect();
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Builder builder = Must(client.Create(3000));
    FillPattern(builder.data(), seed);
    ObjectView view = Must(builder.SealToView());
    ASSERT_TRUE(other.Delete(view.id()).ok());
    PutPattern(other, 99, 3000);  // would land in the block if it were free
    ASSERT_TRUE(HasPattern(view.data(), seed)) << seed;
  }
  EXPECT_TRUE(Eventually([&] { return Counter(daemon, "doomed") == 0; }));
}

TEST(Lifetime, ABuilderThatIsLetGoGivesItsMemoryBack) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  for (int i = 0; i < 1000; ++i) Must(client.Create(10'000'000));
  Builder builder = Must(client.Create(10'000'000));
  builder.Abort();
  EXPECT_TRUE(builder.data().empty());
  Must(client.Sync());
  EXPECT_LE(Counter(daemon, "leased_bytes"), 30'000'000u);
  EXPECT_EQ(Counter(daemon, "objects"), 0u);
}

TEST(Lifetime, SessionBoundObjectsGoWithTheirSession) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  ObjectId bound, free_standing;
  ObjectView kept;
  {
    Client maker = daemon.Connect();
    bound = PutPattern(maker, 1, 100, {.session_bound = true});
    PutPattern(maker, 2, 100, {.session_bound = true});
    Must(maker.Delete(PutPattern(maker, 3, 100, {.session_bound = true})));
    free_standing = PutPattern(maker, 4, 100);
    kept = Must(client.Get(bound));
  }
  ASSERT_TRUE(Eventually([&] { return Counter(daemon, "sessions") == 1; }));
  EXPECT_FALSE(Must(client.Contains(bound)));
  EXPECT_TRUE(HasPattern(kept.data(), 1)) << "pinned by another";
  EXPECT_TRUE(HasPattern(Must(client.Get(free_standing)).data(), 4));
  EXPECT_EQ(Must(client.List()).size(), 1u);
  kept.Release();
  EXPECT_TRUE(NothingIsLeft(daemon, 1));
}

// The expected order is that of the last use: seal or get.
TEST(Lifetime, EvictableObjectsAreDroppedLeastRecentlyUsedFirst) {
  const TestDaemon daemon({"--memory", "32MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  Client reader = daemon.Connect();
  Subscription drops = Must(client.Subscribe({.seals = false}));
  std::vector<ObjectId> order;  // least recently used first
  const auto used = [&](const ObjectId& id) {
    std::erase(order, id);
    order.push_back(id);
  };
  const auto put = [&](size_t size) {
    used(PutPattern(client, order.size(), size, {.evictable = true}));
    Must(client.Sync());
  };
  const auto get = [&](size_t place) {
    const ObjectId id = order[place];
    Must(reader.Get(id));
    used(id);
  };
  for (int i = 0; i < 12; ++i) put(kMiB);
  get(3);
  put(100);
  get(0);
  put(kMiB);
  get(5);
  put(kMiB);
  get(5);
  put(100);
  const std::vector<ObjectId> expected = order;
  ASSERT_EQ(Counter(daemon, "evicted"), 0u);
  std::vector<ObjectId> dropped;
  Fill(client);
  while (dropped.size() < expected.size()) {
    const Event event = Must(drops.Next(absl::Seconds(20)));
    ASSERT_EQ(event.kind, Event::Kind::kEvicted);
    dropped.push_back(event.id);
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(dropped[i].ToHex(), expected[i].ToHex()) << "place " << i;
  }
  EXPECT_TRUE(Says(client.Get(expected[0], kNow), StatusCode::kNotFound, "evicted"));
}

TEST(Lifetime, APinnedEvictableObjectIsNotDropped) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const ObjectId oldest = PutPattern(client, 77, 3 * kMiB, {.evictable = true});
  ObjectView view = Must(client.Get(oldest));
  for (uint64_t i = 0; i < 40; ++i) PutPattern(client, i, 3 * kMiB, {.evictable = true});
  EXPECT_GT(Counter(daemon, "evicted"), 30u);
  EXPECT_TRUE(Must(client.Contains(oldest)));
  EXPECT_TRUE(HasPattern(view.data(), 77));
}

TEST(FullStore, ACreatorWaitsUntilThereIsRoom) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const std::vector<ObjectId> ids = Fill(client);
  ASSERT_GE(ids.size(), 14u);
  const pid_t child = StartChild([&] {
    Client creator = daemon.Connect();
    Builder builder = Must(creator.Create(kMiB, {.deadline = absl::Seconds(60)}));
    FillPattern(builder.data(), 5);
    Must(builder.Seal());
    return 0;
  });
  ASSERT_TRUE(Eventually([&] { return Counter(daemon, "room_waiters") == 1; }));
  Must(client.Delete(ids[4]));
  EXPECT_EQ(WaitForChild(child), 0);
}

TEST(FullStore, ACreatorIsServedByTheReleaseOfAPinnedCache) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  ObjectView cache = Must(client.Get(PutPattern(client, 1, 2 * kMiB, {.evictable = true})));
  Fill(client);
  const pid_t child = StartChild([&] {
    Client creator = daemon.Connect();
    Must(creator.Create(kMiB, {.deadline = absl::Seconds(60)}));
    return 0;
  });
  ASSERT_TRUE(Eventually([&] { return Counter(daemon, "room_waiters") == 1; }));
  cache.Release();
  EXPECT_EQ(WaitForChild(child), 0);
}

TEST(FullStore, AfterTheDeadlineACreatorIsToldWhoHoldsTheMemory) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Channel filled, leave;
  const pid_t child = StartChild([&] {
    Client client = daemon.Connect();
    PENSTOCK_CHILD_EXPECT(Fill(client).size() >= 14);
    filled.Signal();
    leave.Wait();
    return 0;
  });
  filled.Wait();
  Client client = daemon.Connect();
  const std::string holder = fmt::format("process {}", child);
  for (const absl::Duration deadline : {kNow, absl::Milliseconds(50)}) {
    const auto refused = client.Create(kMiB, {.deadline = deadline});
    EXPECT_TRUE(Says(refused, StatusCode::kResourceExhausted, holder));
    EXPECT_TRUE(Says(refused, StatusCode::kResourceExhausted, "--memory"));
    const auto named = client.Create(
        kMiB, {.id = ObjectId::FromName("mine"), .deadline = deadline});
    EXPECT_TRUE(Says(named, StatusCode::kResourceExhausted, holder));
  }
  EXPECT_EQ(Counter(daemon, "room_waiters"), 0u);
  leave.Signal();
  EXPECT_EQ(WaitForChild(child), 0);
}

TEST(FullStore, WithoutAFreeSlotACreatorIsToldSo) {
  const TestDaemon daemon({"--memory", "16MiB", "--objects", "64"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  std::vector<ObjectId> ids;
  absl::Status refused;
  for (int i = 0; i < 65 && refused.ok(); ++i) {
    auto builder = client.Create(10, {.deadline = kNow});
    refused = builder.status();
    if (builder.ok()) ids.push_back(Must(builder->Seal()));
  }
  EXPECT_EQ(ids.size(), 64u);
  EXPECT_TRUE(Says(refused, StatusCode::kResourceExhausted, "--objects"));
  for (const ObjectId& id : ids) Must(client.Delete(id));
  EXPECT_TRUE(client.Put("room again").ok());
}

TEST(FullStore, OneBlockGoesThroughTheHandsOfAllWhoWait) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const std::vector<ObjectId> ids = Fill(client);
  std::vector<pid_t> children;
  for (uint64_t i = 1; i <= 4; ++i) {
    children.push_back(StartChild([&] {
      Client creator = daemon.Connect();
      Must(creator.Create(kMiB, {.deadline = absl::Seconds(60)}).status());
      return 0;
    }));
    ASSERT_TRUE(Eventually([&] { return Counter(daemon, "room_waiters") == i; }));
  }
  Must(client.Delete(ids[0]));
  // Each gives it back at its end.
  for (const pid_t child : children) EXPECT_EQ(WaitForChild(child), 0);
}

// What a program prints must not reach the daemon, also where it was started without streams.
TEST(Lifetime, AClientWithoutStandardStreamsKeepsTheirNumbersFree) {
  const TestDaemon daemon;
  const int code = RunInChild([&] {
    for (const int fd : {0, 1, 2}) close(fd);
    Client client = daemon.Connect();
    const ObjectId id = Must(client.Put("text"));
    for (const int fd : {0, 1, 2}) PENSTOCK_CHILD_EXPECT(fcntl(fd, F_GETFD) < 0);
    PENSTOCK_CHILD_EXPECT(write(1, "hello", 5) < 0);
    PENSTOCK_CHILD_EXPECT(Must(client.Get(id)).data().size() == 4);
    return 0;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(daemon.Status().Counter("broken_sessions"), 0u);
}

TEST(Lifetime, ADaemonWithoutStandardStreamsTakesTheirNumbersForNothing) {
  const TempDir dir;
  const ProgramOutcome started = RunProgram(
      {"/bin/sh", "-c", ProgramPath("penstockd") + " --memory 16MiB --dir " + dir.path() +
                            "/store <&- >&- 2>&- & echo $!"});
  const pid_t pid = static_cast<pid_t>(std::stol(started.output));
  const std::string store = dir.path() + "/store";
  ASSERT_TRUE(Eventually([&] { return Client::Connect({.dir = store}).ok(); }));
  for (const int fd : {0, 1, 2}) {
    EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/fd/" +
                                            std::to_string(fd)), "/dev/null");
  }
  kill(pid, SIGTERM);
  EXPECT_TRUE(Eventually([&] { return kill(pid, 0) != 0; }));
}

}  // namespace
}  // namespace penstock::testing
