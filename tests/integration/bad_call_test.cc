// What a client does wrong is its own error, said clearly, and nobody else's trouble.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <thread>

#include "store/base/units.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

constexpr absl::Duration kNow = absl::ZeroDuration();

TEST(BadCall, AnObjectLargerThanTheArenaIsRefusedAtOnce) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  for (const uint64_t size : {16 * kMiB + 1, kGiB, std::numeric_limits<uint64_t>::max(),
                              std::numeric_limits<uint64_t>::max() - 100}) {
    EXPECT_TRUE(Says(client.Create(size), StatusCode::kInvalidArgument, "16.00 MiB"));
  }
  const std::vector<std::byte> metadata(100);
  EXPECT_TRUE(Says(client.Create(16 * kMiB, {.metadata = metadata}),
                   StatusCode::kInvalidArgument, "--memory"));
  EXPECT_TRUE(Says(client.Create(17 * kMiB, {.id = ObjectId::FromName("big")}),
                   StatusCode::kInvalidArgument, "--memory"));
  const std::vector<uint64_t> sizes = {100, 17 * kMiB};
  EXPECT_TRUE(Says(client.CreateMany(sizes), StatusCode::kInvalidArgument, "--memory"));
  EXPECT_TRUE(client.Put("still works").ok());
}

TEST(BadCall, TheWholeArenaIsTheLargestObject) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 16 * kMiB, {.deadline = kNow});
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
}

TEST(BadCall, MoreMetadataThanFitsIsRefused) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const std::vector<std::byte> most = Pattern(1, kMiB);
  const ObjectId id = PutPattern(client, 2, 10, {.metadata = most});
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).metadata(), 1));
  const std::vector<std::byte> more(kMiB + 1);
  EXPECT_TRUE(Says(client.Create(10, {.metadata = more}), StatusCode::kInvalidArgument,
                   "1.00 MiB (1048577 B) of metadata, at most 1.00 MiB (1048576 B)"));
}

TEST(BadCall, ASecondSealIsRefused) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const auto is_refused = [](Builder& builder) {
    return Says(builder.Seal(), StatusCode::kFailedPrecondition, "nothing to seal") &&
           Says(builder.SealToView(), StatusCode::kFailedPrecondition, "nothing to seal") &&
           builder.data().empty() && builder.metadata().empty();
  };
  Builder sealed = Must(client.Create(10));
  const ObjectId id = Must(sealed.Seal());
  EXPECT_TRUE(is_refused(sealed));
  EXPECT_TRUE(client.Get(id).ok()) << "the first stands";
  Builder aborted = Must(client.Create(10));
  aborted.Abort();
  EXPECT_TRUE(is_refused(aborted));
  Builder source = Must(client.Create(10));
  Builder target = std::move(source);
  EXPECT_TRUE(is_refused(source));
  EXPECT_TRUE(target.Seal().ok());
  Builder never;
  EXPECT_TRUE(is_refused(never));
}

TEST(BadCall, AnEmptyViewSaysWhy) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  ObjectView view = Must(client.Get(PutPattern(client, 1, 10)));
  const ObjectView target = std::move(view);
  EXPECT_TRUE(view.data().empty() && view.metadata().empty() && view.text().empty());
  EXPECT_TRUE(Says(view.status(), StatusCode::kFailedPrecondition, "moved from"));
  EXPECT_TRUE(target.status().ok());
  view.Release();  // again: nothing
  EXPECT_TRUE(HasPattern(target.data(), 1));
}

TEST(BadCall, AWriteThroughAGetIsAFaultInTheWriterAndNobodyElses) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 5000);
  const int code = RunInChild([&] {
    Client writer = daemon.Connect();
    const ObjectView view = Must(writer.Get(id));
    signal(SIGSEGV, SIG_DFL);  // sanitizers have a handler there
    *const_cast<volatile std::byte*>(view.data().data()) = std::byte{1};
    return 0;
  });
  EXPECT_EQ(code, 128 + SIGSEGV);
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
  EXPECT_TRUE(NothingIsLeft(daemon, 1));
}

TEST(BadCall, TheReadOnlyViewCannotBeMadeWritable) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectView view = Must(client.Get(PutPattern(client, 1, 5000)));
  const auto address = reinterpret_cast<uintptr_t>(view.data().data()) & ~uintptr_t{4095};
  EXPECT_EQ(mprotect(reinterpret_cast<void*>(address), 4096, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES);
}

TEST(BadCall, AGetPastItsDeadlineNamesTheObject) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = Must(client.NextId());
  EXPECT_TRUE(Says(client.Get(id, absl::Milliseconds(10)), StatusCode::kDeadlineExceeded,
                   id.ToHex()));
  for (const absl::Duration past : {kNow, -absl::Seconds(1), -absl::InfiniteDuration()}) {
    EXPECT_TRUE(Says(client.Get(id, past), StatusCode::kNotFound, id.ToHex()));
  }
  EXPECT_TRUE(Eventually([&] { return daemon.Status().Counter("get_waiters") == 0; }));
  PutPattern(client, 1, 10, {.id = id});
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
}

TEST(BadCall, TheNilIdNamesNothing) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  EXPECT_TRUE(Says(client.Get(ObjectId{}), StatusCode::kInvalidArgument, "nil"));
  EXPECT_TRUE(Says(client.Create(10, {.id = ObjectId{}}), StatusCode::kInvalidArgument,
                   "nil"));
  EXPECT_FALSE(Must(client.Contains(ObjectId{})));
  EXPECT_TRUE(absl::IsNotFound(client.Delete(ObjectId{})));
}

// A later object would be given the same id, and be dropped for what another call did.
TEST(BadCall, AnIdThatThisSessionHasNotGivenIsRefused) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  ObjectId id = Must(client.NextIds(3));
  id.sequence += 2;
  EXPECT_TRUE(client.Put("the last of three", {.id = id}).ok());
  for (const uint64_t distance : {uint64_t{100}, uint64_t{1000}, uint64_t{1} << 62}) {
    const ObjectId forged{id.home, id.session, id.sequence + distance};
    EXPECT_TRUE(Says(client.Put("forged", {.id = forged}), StatusCode::kInvalidArgument,
                     "NextId"));
  }
  EXPECT_TRUE(Says(client.Put("", {.id = ObjectId{id.home, id.session, 0}}),
                   StatusCode::kInvalidArgument, "NextId"));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Must(client.Get(Must(client.Put("own")))).text(), "own");
  }
  Must(client.Sync());
  EXPECT_TRUE(Says(client.NextIds(0), StatusCode::kInvalidArgument, "ask for 1"));
}

TEST(BadCall, APriorityThatIsNoneIsRefusedByName) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const CreateOptions options = {.priority = static_cast<Priority>(3)};
  EXPECT_TRUE(Says(client.Create(1, options), StatusCode::kInvalidArgument, "priority is 3"));
  EXPECT_TRUE(Says(client.Put("", options), StatusCode::kInvalidArgument, "priority is 3"));
  EXPECT_TRUE(Says(client.CreateMany(std::vector<uint64_t>{}, options),
                   StatusCode::kInvalidArgument, "priority is 3"));
}

TEST(BadCall, AClientThatWasMovedFromSaysSoAndAReaderAlwaysToo) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 10);
  Client moved = std::move(client);
  constexpr auto kMoved = StatusCode::kFailedPrecondition;
  EXPECT_TRUE(Says(client.Create(1), kMoved, "moved from"));
  EXPECT_TRUE(Says(client.CreateMany(std::vector<uint64_t>{1}), kMoved, "moved from"));
  EXPECT_TRUE(Says(client.Put(""), kMoved, "moved from"));
  EXPECT_TRUE(Says(client.Get(id), kMoved, "moved from"));
  EXPECT_TRUE(Says(client.GetMany({&id, 1}).front(), kMoved, "moved from"));
  EXPECT_TRUE(Says(client.Contains(id), kMoved, "moved from"));
  EXPECT_TRUE(Says(client.Delete(id), kMoved, "moved from"));
  EXPECT_TRUE(Says(client.List(), kMoved, "moved from"));
  EXPECT_TRUE(Says(client.Sync(), kMoved, "moved from"));
  EXPECT_TRUE(Says(client.NextId(), kMoved, "moved from"));
  EXPECT_TRUE(Says(client.Subscribe().status(), kMoved, "moved from"));
  EXPECT_TRUE(HasPattern(Must(moved.Get(id)).data(), 1));
  Client reader = Must(Client::Connect({.dir = daemon.dir(), .read_only = true}));
  EXPECT_TRUE(Says(reader.CreateMany(std::vector<uint64_t>{}), StatusCode::kPermissionDenied,
                   "read_only"));
}

TEST(BadCall, ADirectoryThatCannotBeIsRefusedInFewWords) {
  const TestDaemon daemon;
  const std::string file = daemon.dir() + "/file";
  fclose(fopen(file.c_str(), "w"));
  EXPECT_TRUE(Says(Client::Connect({.dir = file}), StatusCode::kNotFound, "Start one"));
  // It would be the daemon's own directory, and another one was named.
  const std::string with_nul = daemon.dir() + std::string("\0/other", 7);
  EXPECT_TRUE(Says(Client::Connect({.dir = with_nul}), StatusCode::kInvalidArgument, "a NUL"));
  EXPECT_TRUE(Says(QueryStatus(with_nul), StatusCode::kInvalidArgument, "a NUL"));
  const absl::Status of_long = QueryStatus(std::string(kMiB, 'd')).status();
  EXPECT_TRUE(Says(of_long, StatusCode::kInvalidArgument, "shorter directory"));
  EXPECT_LT(of_long.message().size(), 600u);
}

// A negative number of milliseconds and none are for ever, to one system call and another.
TEST(BadCall, AStatusQuestionToAStoppedDaemonEndsWhateverItsPatience) {
  const TestDaemon daemon;
  const pid_t pid = daemon.daemon_pid();
  kill(pid, SIGSTOP);
  std::vector<absl::Status> outcomes;
  for (const absl::Duration patience :
       {kNow, absl::Nanoseconds(1), -absl::Milliseconds(1), -absl::Seconds(3),
        -absl::InfiniteDuration(), absl::Milliseconds(10)}) {
    outcomes.push_back(QueryStatus(daemon.dir(), patience).status());
  }
  kill(pid, SIGCONT);
  for (const absl::Status& outcome : outcomes) {
    EXPECT_TRUE(Says(outcome, StatusCode::kDeadlineExceeded, "is it stopped"));
  }
}

TEST(BadCall, AnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const TestDaemon daemon;
  for (int round = 0; round < 20; ++round) {
    const int code = RunInChild([&] {
      PENSTOCK_CHILD_EXPECT(BecomeNobody());
      const auto client = Client::Connect({.dir = daemon.dir()});
      PENSTOCK_CHILD_EXPECT(Says(client, StatusCode::kPermissionDenied, "belongs to user 0"));
      const auto status = QueryStatus(daemon.dir());
      PENSTOCK_CHILD_EXPECT(Says(status, StatusCode::kPermissionDenied, "belongs to user 0"));
      return 0;
    });
    ASSERT_EQ(code, 0) << round;
  }
}

TEST(BadCall, ADaemonThatIsStoppedIsReportedWithinTheDeadline) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  Client maker = daemon.Connect();
  Builder builder = Must(maker.Create(100));
  const pid_t pid = daemon.daemon_pid();
  kill(pid, SIGSTOP);
  const ObjectId sealed = Must(builder.Seal());
  std::vector<absl::Status> of_gets;
  for (const absl::Duration deadline : {absl::Milliseconds(20), absl::Milliseconds(700), kNow}) {
    const absl::Time began = absl::Now();
    of_gets.push_back(client.Get(sealed, deadline).status());
    EXPECT_LT(absl::Now() - began, deadline + absl::Seconds(1.3)) << deadline;
  }
  const absl::Status of_create =
      client.Create(3 * kMiB, {.deadline = absl::Milliseconds(20)}).status();
  kill(pid, SIGCONT);
  for (const absl::Status& of_get : of_gets) {
    EXPECT_TRUE(Says(of_get, StatusCode::kDeadlineExceeded, "is it stopped"));
  }
  EXPECT_TRUE(Says(of_create, StatusCode::kDeadlineExceeded, "is it stopped"));
  EXPECT_TRUE(client.Put(Pattern(1, 3 * kMiB)).ok());
  Must(client.Sync());
  EXPECT_EQ(daemon.Status().Counter("get_waiters"), 0u);
}

// More requests than its ring has room for, and than are asked in one part: neither the wait for
// room nor the number of parts makes the call longer.
TEST(BadCall, AGetOfManyFromADaemonThatIsStoppedEndsInTime) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  std::vector<ObjectId> ids;
  for (size_t i = 0; i < (kSanitized ? 20'000 : 80'000); ++i) ids.push_back(Must(client.NextId()));
  const pid_t pid = daemon.daemon_pid();
  kill(pid, SIGSTOP);
  std::atomic<bool> has_ended{false};
  std::thread rescue([&] {
    Eventually([&] { return has_ended.load(); }, absl::Seconds(20));
    kill(pid, SIGCONT);
  });
  for (const absl::Duration deadline : {absl::Milliseconds(50), kNow}) {
    const absl::Time began = absl::Now();
    const auto late = client.GetMany(ids, deadline);
    EXPECT_LT(absl::Now() - began, absl::Seconds(3)) << deadline;
    EXPECT_TRUE(std::all_of(late.begin(), late.end(), [](const auto& each) {
      return bool(Says(each, StatusCode::kDeadlineExceeded, "is it stopped"));
    })) << deadline;
  }
  has_ended = true;
  rescue.join();
  EXPECT_TRUE(client.Put(Pattern(1, 3 * kMiB)).ok());
  Must(client.Sync());
  EXPECT_TRUE(Eventually([&] { return daemon.Status().Counter("get_waiters") == 0; }));
}

// An id is good for one Create. Of two, the first seal stays; nothing that can be read changes.
TEST(BadCall, TheViewOfARefusedSealKeepsItsBytesAndSyncSaysSo) {
  const TestDaemon daemon({"--memory", "8MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const ObjectId id = Must(client.NextId());
  Builder first = Must(client.Create(kMiB, {.id = id}));
  Builder second = Must(client.Create(kMiB, {.id = id}));
  FillPattern(first.data(), 1);
  FillPattern(second.data(), 2);
  Must(first.Seal().status());
  const ObjectView view = Must(second.SealToView());
  EXPECT_TRUE(Says(client.Sync(), StatusCode::kAlreadyExists, id.ToHex()));
  Must(client.Sync());  // said once
  for (int i = 0; i < 6; ++i) PutPattern(client, 3, kMiB, {.evictable = true, .deadline = kNow});
  EXPECT_TRUE(HasPattern(view.data(), 2));
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
}

// A get of what this process sealed comes before the daemon's refusal.
TEST(BadCall, WhatWasReadBeforeItsSealWasRefusedKeepsItsBytes) {
  const TestDaemon daemon({"--memory", "8MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  for (int round = 0; round < 50; ++round) {
    const ObjectId id = Must(client.NextId());
    Builder first = Must(client.Create(kMiB / 2, {.id = id}));
    Builder second = Must(client.Create(kMiB / 2, {.id = id}));
    FillPattern(first.data(), 1);
    FillPattern(second.data(), 2);
    Must(first.Seal().status());
    Must(second.Seal().status());
    const ObjectView view = Must(client.Get(id));
    const bool is_first = HasPattern(view.data(), 1);
    EXPECT_TRUE(is_first || HasPattern(view.data(), 2));
    EXPECT_EQ(client.Sync().code(), StatusCode::kAlreadyExists);
    const ObjectId other = PutPattern(client, 3, kMiB / 2, {.deadline = kNow});
    EXPECT_TRUE(HasPattern(view.data(), is_first ? 1 : 2));
    Must(client.Delete(other));
    Must(client.Delete(id));
  }
}

TEST(BadCall, TwoClientsThatMakeAThirdOnesIdDoNotBothHearThatAllIsWell) {
  const TestDaemon daemon;
  Client maker = daemon.Connect();
  Client one = daemon.Connect();
  const ObjectId id = Must(maker.NextId());
  Builder of_one = Must(one.Create(100, {.id = id}));
  Builder of_maker = Must(maker.Create(100, {.id = id}));
  EXPECT_EQ(daemon.Connect().Create(100, {.id = id}).status().code(), StatusCode::kAlreadyExists);
  Must(of_maker.Seal().status());
  Must(maker.Sync());
  Must(of_one.Seal().status());
  EXPECT_TRUE(Says(one.Sync(), StatusCode::kAlreadyExists, id.ToHex()));
  Must(maker.Sync());
}

// More ids than the daemon takes requests from a session at once.
TEST(BadCall, AGetOfVeryManyMissingIdsCostsTheCallOnly) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId here = PutPattern(client, 1, 100);
  constexpr size_t kMany = 200'000;
  std::vector<ObjectId> ids;
  for (size_t i = 0; i < kMany; ++i) ids.push_back(Must(client.NextId()));
  ids[kMany / 2] = here;
  const auto found = client.GetMany(ids, kNow);
  for (size_t i = 0; i < kMany; ++i) {
    ASSERT_EQ(found[i].status().code(), i == kMany / 2 ? StatusCode::kOk : StatusCode::kNotFound)
        << i;
  }
  const auto late = client.GetMany(ids, absl::Milliseconds(200));
  for (size_t i = 0; i < kMany; ++i) {
    ASSERT_EQ(late[i].status().code(),
              i == kMany / 2 ? StatusCode::kOk : StatusCode::kDeadlineExceeded) << i;
    if (i == 0) {  // how many more are told depends on how fast this host is
      EXPECT_TRUE(Says(late[i], StatusCode::kDeadlineExceeded, "was not sealed"));
    } else if (i == 16'000) {
      EXPECT_TRUE(Says(late[i], StatusCode::kDeadlineExceeded, "ask for fewer"));
    }
  }
  EXPECT_EQ(daemon.Status().Counter("broken_sessions"), 0u);
  EXPECT_TRUE(HasPattern(Must(client.Get(here)).data(), 1));
}

// Those that wait first do not keep the others from being asked for.
TEST(BadCall, AGetOfVeryManyIdsFindsWhatComesMeanwhile) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Client maker = daemon.Connect();
  constexpr size_t kMany = 5'000;
  std::vector<ObjectId> ids;
  for (size_t i = 0; i < kMany; ++i) ids.push_back(Must(maker.NextId()));
  std::thread making([&] {
    absl::SleepFor(absl::Milliseconds(20));
    for (size_t i = kMany; i-- > 1;) Must(maker.Put("x", {.id = ids[i]}));
  });
  const auto found = client.GetMany(ids, absl::Seconds(2));
  making.join();
  for (size_t i = 1; i < kMany; ++i) ASSERT_TRUE(found[i].ok()) << i << found[i].status();
  EXPECT_EQ(found[0].status().code(), StatusCode::kDeadlineExceeded);
}

TEST(BadCall, MoreObjectsAtOnceThanTheStoreTakesAreRefusedAtOnce) {
  const TestDaemon daemon({"--memory", "16MiB", "--objects", "1000"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  EXPECT_TRUE(Says(client.CreateMany(std::vector<uint64_t>(5000, 1)),
                   StatusCode::kInvalidArgument, "--objects"));
  EXPECT_TRUE(Says(client.CreateMany(std::vector<uint64_t>(17, kMiB)),
                   StatusCode::kInvalidArgument, "--memory"));
  EXPECT_TRUE(Says(client.CreateMany(std::vector<uint64_t>(3, ~uint64_t{0} / 2)),
                   StatusCode::kInvalidArgument, "--memory"));
  EXPECT_EQ(Must(client.CreateMany(std::vector<uint64_t>(10, kMiB))).size(), 10u);
}

TEST(BadCall, ADeleteOfWhatIsNotHereDoesNotSpeakOfWaiting) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const absl::Status status = client.Delete(ObjectId::FromName("none"));
  EXPECT_TRUE(Says(status, StatusCode::kNotFound, "nothing was deleted"));
  EXPECT_FALSE(Says(status, StatusCode::kNotFound, "wait"));
}

// Either alone fits. Neither waits with what the other one needs.
TEST(BadCall, TwoThatMakeManyAtOnceBothGetThem) {
  const TestDaemon daemon({"--memory", "64MiB"});
  daemon.WaitPopulated();
  const std::vector<uint64_t> sizes(40, kMiB);
  std::vector<absl::Status> outcomes(2);
  std::vector<std::thread> threads;
  for (absl::Status& outcome : outcomes) {
    threads.emplace_back([&daemon, &sizes, &outcome] {
      Client client = daemon.Connect();
      for (int round = 0; round < 5 && outcome.ok(); ++round) {
        const auto builders = client.CreateMany(sizes, {.deadline = absl::Seconds(30)});
        outcome = builders.status();
        absl::SleepFor(absl::Milliseconds(2));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& outcome : outcomes) EXPECT_TRUE(outcome.ok()) << outcome;
}

TEST(BadCall, ManyThatDoNotFitLeaveOthersTheRest) {
  const TestDaemon daemon({"--memory", "16MiB", "--objects", "1000"});
  daemon.WaitPopulated();
  Client holder = daemon.Connect();
  const auto held = Must(holder.CreateMany(std::vector<uint64_t>(600, 64)));
  std::atomic<bool> ends{false};
  std::thread waiting([&] {
    Client client = daemon.Connect();
    const auto none = client.CreateMany(std::vector<uint64_t>(500, 64),
                                        {.deadline = absl::Seconds(1)});
    EXPECT_EQ(none.status().code(), StatusCode::kResourceExhausted);
    ends = true;
  });
  Client bystander = daemon.Connect();
  while (!ends) {
    const auto id = bystander.Put("64 bytes", {.deadline = absl::Milliseconds(200)});
    EXPECT_TRUE(id.ok()) << id.status();
    if (!id.ok()) break;
    Must(bystander.Delete(*id));
  }
  waiting.join();
}

}  // namespace
}  // namespace penstock::testing
