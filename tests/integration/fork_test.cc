// fork(): a child has a session of its own; what the parent made stays the parent's.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "store/base/store_directory.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

TEST(Fork, HandlesMadeBeforeSaySoInTheChild) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const std::vector<std::byte> metadata = Pattern(2, 16);
  ObjectView view = Must(client.Get(PutPattern(client, 1, 4000, {.metadata = metadata})));
  Builder builder = Must(client.Create(4000, {.metadata = metadata}));
  FillPattern(builder.data(), 3);
  const int code = RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(view.data().empty() && view.metadata().empty());
    PENSTOCK_CHILD_EXPECT(Says(view.status(), StatusCode::kFailedPrecondition, "fork"));
    PENSTOCK_CHILD_EXPECT(builder.data().empty() && builder.metadata().empty());
    PENSTOCK_CHILD_EXPECT(Says(builder.Seal(), StatusCode::kFailedPrecondition, "fork"));
    PENSTOCK_CHILD_EXPECT(
        Says(builder.SealToView(), StatusCode::kFailedPrecondition, "fork"));
    std::vector<Builder> builders;
    builders.push_back(std::move(builder));
    PENSTOCK_CHILD_EXPECT(
        Says(client.SealMany(builders), StatusCode::kFailedPrecondition, "fork"));
    return 0;
  });
  EXPECT_EQ(code, 0);
  EXPECT_TRUE(HasPattern(view.data(), 1));
  EXPECT_TRUE(HasPattern(builder.data(), 3));
  EXPECT_TRUE(HasPattern(Must(client.Get(Must(builder.Seal()))).data(), 3));
}

TEST(Fork, TheChildsFirstCallOpensASessionOfItsOwn) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 4000);
  Channel from_child;
  const pid_t child = StartChild([&] {
    const ObjectView view = Must(client.Get(id));
    PENSTOCK_CHILD_EXPECT(view.status().ok() && HasPattern(view.data(), 1));
    const ObjectId own = PutPattern(client, 2, 4000);
    PENSTOCK_CHILD_EXPECT(own.session != id.session);
    PENSTOCK_CHILD_EXPECT(daemon.Status().Counter("sessions") == 2);
    from_child.Send(own);
    // A grandchild likewise.
    return RunInChild([&] {
      PENSTOCK_CHILD_EXPECT(view.data().empty());
      PENSTOCK_CHILD_EXPECT(HasPattern(Must(client.Get(own)).data(), 2));
      return 0;
    });
  });
  EXPECT_TRUE(HasPattern(Must(client.Get(from_child.Receive<ObjectId>())).data(), 2));
  EXPECT_EQ(WaitForChild(child), 0);
  EXPECT_TRUE(NothingIsLeft(daemon, 1));
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
  PutPattern(client, 3, 4000);
}

TEST(Fork, AChildThatLetsGoOfEverythingReleasesNothingOfItsParent) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  ObjectView view = Must(client.Get(PutPattern(client, 1, 50'000)));
  Builder builder = Must(client.Create(50'000));
  FillPattern(builder.data(), 2);
  for (int round = 0; round < 10; ++round) {
    const int code = RunInChild([&] {
      view.Release();
      builder.Abort();
      const Client gone = std::move(client);
      return 0;
    });
    ASSERT_EQ(code, 0);
  }
  Client other = daemon.Connect();
  Must(other.Delete(view.id()));
  for (uint64_t i = 0; i < 20; ++i) PutPattern(other, i, 50'000);
  Must(other.Sync());
  EXPECT_EQ(daemon.Status().Counter("doomed"), 1u);
  EXPECT_TRUE(HasPattern(view.data(), 1));
  EXPECT_TRUE(HasPattern(Must(builder.SealToView()).data(), 2));
}

TEST(Fork, ASubscriptionStaysWithTheParent) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Subscription events = Must(client.Subscribe());
  const int code = RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(Says(events.Next(absl::ZeroDuration()), StatusCode::kUnavailable,
                               "fork"));
    PutPattern(client, 1, 100);
    Subscription own = Must(client.Subscribe());
    const ObjectId id = PutPattern(client, 2, 100);
    PENSTOCK_CHILD_EXPECT(Must(own.Next()).id == id);
    return 0;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(Must(events.Next()).kind, Event::Kind::kSealed);
  EXPECT_EQ(Must(events.Next()).kind, Event::Kind::kSealed);
}

TEST(Fork, InTheMiddleOfOtherThreadsCallsTheChildStillWorks) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId shared = PutPattern(client, 1, 3000);
  std::vector<std::jthread> threads;
  for (uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t](const std::stop_token& stop) {
      Client own = client;
      for (uint64_t n = 0; !stop.stop_requested(); ++n) {
        const ObjectId id = PutPattern(own, n, 100 * t + n % 4000);
        if (!HasPattern(Must(own.Get(id)).data(), n)) GiveUp("wrong payload");
        Must(own.Delete(id));
      }
    });
  }
  constexpr int kForks = kSanitized ? 10 : 50;
  for (int i = 0; i < kForks; ++i) {
    const int code = RunInChild([&] {
      for (uint64_t n = 0; n < 20; ++n) {
        const ObjectId id = PutPattern(client, n, 700 * n);
        PENSTOCK_CHILD_EXPECT(HasPattern(Must(client.Get(id)).data(), n));
        PENSTOCK_CHILD_EXPECT(HasPattern(Must(client.Get(shared)).data(), 1));
        Must(client.Delete(id));
      }
      return 0;
    });
    ASSERT_EQ(code, 0) << "fork " << i;
  }
  threads.clear();
  EXPECT_TRUE(HasPattern(Must(client.Get(shared)).data(), 1));
  EXPECT_TRUE(NothingIsLeft(daemon, 1));
  EXPECT_TRUE(Eventually([&] { return daemon.Status().Counter("objects") == 1; }));
}

// As a program does that becomes a daemon. Eventfds, too, are told from those of the library.
TEST(Fork, AChildThatClosedAllDescriptorsKeepsThoseItOpenedSince) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const Subscription events = Must(client.Subscribe());
  const int code = RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(close_range(STDERR_FILENO + 1, ~0u, 0) == 0);
    std::vector<int> own;
    for (uint64_t i = 0; i < 30; ++i) {
      int ends[2];
      PENSTOCK_CHILD_EXPECT(pipe(ends) == 0);
      own.push_back(i % 2 == 0 ? eventfd(0, EFD_NONBLOCK) : ends[1]);
    }
    const ObjectId id = PutPattern(client, 1, 100);
    PENSTOCK_CHILD_EXPECT(HasPattern(Must(client.Get(id)).data(), 1));
    for (uint64_t i = 0; i < own.size(); ++i) {
      const uint64_t number = i + 1;
      PENSTOCK_CHILD_EXPECT(write(own[i], &number, sizeof(number)) == sizeof(number));
    }
    for (uint64_t i = 0; i < own.size(); i += 2) {
      uint64_t number = 0;
      PENSTOCK_CHILD_EXPECT(read(own[i], &number, sizeof(number)) == sizeof(number));
      PENSTOCK_CHILD_EXPECT(number == i + 1);
    }
    return 0;
  });
  EXPECT_EQ(code, 0);
  PutPattern(client, 2, 100);
}

TEST(Fork, AChildsFirstCallClosesWhatItHasOfItsParentsSession) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const size_t of_parent = OpenDescriptors(getpid());
  const int code = RunInChild([&] {
    PutPattern(client, 1, 100);
    PENSTOCK_CHILD_EXPECT(OpenDescriptors(getpid()) == of_parent);
    return 0;
  });
  EXPECT_EQ(code, 0);
}

// The directory of the store is settled when the client connects.
TEST(Fork, AChildInAnotherDirectoryFindsTheStoreThatWasNamedRelatively) {
  const TestDaemon daemon;
  const std::filesystem::path dir(daemon.dir());
  const std::string name = dir.filename();
  for (const bool is_in_environment : {false, true}) {
    const int code = RunInChild([&] {
      PENSTOCK_CHILD_EXPECT(chdir(dir.parent_path().c_str()) == 0);
      if (is_in_environment) setenv("PENSTOCK_DIR", name.c_str(), 1);
      Client client = Must(Client::Connect({.dir = is_in_environment ? "" : name}));
      PENSTOCK_CHILD_EXPECT(chdir("/") == 0);
      return RunInChild([&] {
        PENSTOCK_CHILD_EXPECT(client.Put("x").ok());
        return 0;
      });
    });
    EXPECT_EQ(code, 0) << is_in_environment;
  }
}

// Two of the same: one whose absolute path no socket may have, and one in no directory at all.
TEST(Fork, ARelativeDirectoryIsAbsoluteWhereThatIsShortEnoughAndThereIsOne) {
  const TempDir home;
  const int code = RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(chdir(home.path().c_str()) == 0);
    PENSTOCK_CHILD_EXPECT(Says(Client::Connect({.dir = "none"}), StatusCode::kNotFound,
                               home.path() + "/none/penstock.sock"));
    const std::string deep(kMostSocketPathBytes - 7, 'd');
    PENSTOCK_CHILD_EXPECT(mkdir(deep.c_str(), 0700) == 0 && chdir(deep.c_str()) == 0);
    PENSTOCK_CHILD_EXPECT(
        Says(Client::Connect({.dir = "none"}), StatusCode::kNotFound, " none/penstock.sock"));
    PENSTOCK_CHILD_EXPECT(rmdir((home.path() + "/" + deep).c_str()) == 0);
    PENSTOCK_CHILD_EXPECT(
        Says(Client::Connect({.dir = "none"}).status(), StatusCode::kNotFound, "absolute path"));
    return 0;
  });
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace penstock::testing
