// What a client does wrong is its own error, said clearly, and nobody else's trouble.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <limits>

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
                   "payload"));
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
  const ObjectId missing = ObjectId::FromName("missing");
  const pid_t pid = daemon.daemon_pid();
  kill(pid, SIGSTOP);
  const absl::Status of_get = client.Get(missing, absl::Milliseconds(20)).status();
  const absl::Status of_create =
      client.Create(3 * kMiB, {.deadline = absl::Milliseconds(20)}).status();
  kill(pid, SIGCONT);
  EXPECT_TRUE(absl::IsDeadlineExceeded(of_get)) << of_get;
  EXPECT_TRUE(Says(of_create, StatusCode::kDeadlineExceeded, "is it stopped"));
  EXPECT_TRUE(client.Put(Pattern(1, 3 * kMiB)).ok());
  Must(client.Sync());
  EXPECT_EQ(daemon.Status().Counter("get_waiters"), 0u);
}

}  // namespace
}  // namespace penstock::testing
