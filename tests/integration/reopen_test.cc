// What a client has of its stores: after any number of restarts, and after any number of clients,
// as much as after the first.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/belongings.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

constexpr absl::Duration kNow = absl::ZeroDuration();
constexpr int kRestarts = 10;

size_t ArenasMapped() { return MappingsOf("penstock-arena"); }
constexpr size_t kArenasOfASession = 2;  // to read, and to make objects

// Threads of one client that are in the middle of any call whenever a store goes.
class BusyThreads {
 public:
  explicit BusyThreads(const Client& client) : client_(client) {
    for (size_t i = 0; i < rounds_.size(); ++i) {
      threads_.emplace_back([this, i] { Work(i); });
    }
    threads_.emplace_back([this] { Wait(); });
    threads_.emplace_back([this] { GetOnceAndIdle(); });
  }
  ~BusyThreads() {
    stop_.store(true);
    stop_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Until each has done some rounds more in the store of now.
  bool GoOn() const {
    std::array<uint64_t, kWorkers> before;
    for (size_t i = 0; i < kWorkers; ++i) before[i] = rounds_[i].load();
    return Eventually([&] {
      for (size_t i = 0; i < kWorkers; ++i) {
        if (rounds_[i].load() < before[i] + 30) return false;
      }
      return true;
    });
  }

 private:
  static constexpr size_t kWorkers = 4;

  // Even ones read nearly all the time, odd ones make objects.
  void Work(size_t worker) {
    Client client = client_;
    while (!stop_.load()) {
      const uint64_t seed = worker << 32 | rounds_[worker].load();
      const auto id = client.Put(Pattern(seed, 1 + seed % 5000));
      if (!id.ok()) continue;  // there is no store just now
      bool all_ok = true;
      for (int i = 0; i < (worker % 2 == 0 ? 200 : 2) && all_ok; ++i) {
        const auto view = client.Get(*id, kNow);
        all_ok = view.ok();
        if (all_ok && !HasPattern(view->data(), seed)) GiveUp("other bytes");
      }
      if (all_ok && client.Delete(*id).ok()) rounds_[worker].fetch_add(1);
    }
  }
  void Wait() {
    while (!stop_.load()) {
      [[maybe_unused]] const auto never =
          client_.Get(ObjectId::FromName("never"), absl::Milliseconds(200));
    }
  }
  void GetOnceAndIdle() {
    Must(client_.Get(Must(client_.Put("once"))));
    stop_.wait(false);
  }

  Client client_;
  std::atomic<bool> stop_{false};
  std::array<std::atomic<uint64_t>, kWorkers> rounds_{};
  std::vector<std::thread> threads_;
};

// The first restart sets the measure.
void ExpectTheSameAfterEach(TestDaemon& daemon, const std::function<void()>& restart) {
  Client client = daemon.Connect();
  const BusyThreads threads(client);
  std::optional<Belongings> first;
  for (int i = 1; i <= kRestarts; ++i) {
    ASSERT_TRUE(threads.GoOn()) << daemon.Output();
    restart();
    ASSERT_TRUE(threads.GoOn()) << daemon.Output();
    if (!first) {
      EXPECT_TRUE(Eventually([&] { return ArenasMapped() == kArenasOfASession; }))
          << ArenasMapped() << " mappings of arenas after the first restart";
      first = Belongings::Now();
      continue;
    }
    ASSERT_TRUE(Eventually([&] { return Belongings::Now() == *first; }, absl::Seconds(10)))
        << "after restart " << i << ": " << Belongings::Now() << "; after the first: " << *first;
  }
}

TEST(Reopen, TenDaemonsOfOneStoreLeaveAClientWithWhatItHadAfterTheFirst) {
  TestDaemon daemon;
  ExpectTheSameAfterEach(daemon, [&] {
    const pid_t before = daemon.daemon_pid();
    kill(before, SIGKILL);
    NextDaemon(daemon, before);
  });
}

TEST(Reopen, TenStoresLeaveAClientWithWhatItHadAfterTheFirst) {
  TestDaemon daemon;
  ExpectTheSameAfterEach(daemon, [&] {
    daemon.KillBoth();
    daemon.Restart();
  });
}

TEST(Reopen, TenStoresThatEndInOrderLeaveAClientWithWhatItHadAfterTheFirst) {
  TestDaemon daemon;
  ExpectTheSameAfterEach(daemon, [&] {
    daemon.Stop();
    daemon.Restart();
  });
}

void NextStore(TestDaemon& daemon, Client& client) {
  daemon.KillBoth();
  daemon.Restart();
  ASSERT_TRUE(Eventually([&] { return client.Put("notices").ok(); }));
}

TEST(Reopen, AViewKeepsTheBytesOfAStoreThatIsGoneAndNothingElseOfIt) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  NextStore(daemon, client);
  const Belongings without = Belongings::Now();
  std::vector<ObjectView> views;
  for (uint64_t seed = 0; seed < kRestarts; ++seed) {
    views.push_back(Must(client.Get(PutPattern(client, seed, 5000))));
    NextStore(daemon, client);
  }
  for (uint64_t seed = 0; seed < kRestarts; ++seed) {
    EXPECT_TRUE(views[seed].status().ok());
    EXPECT_TRUE(HasPattern(views[seed].data(), seed)) << seed;
  }
  const Belongings with = Belongings::Now();
  EXPECT_EQ(with.descriptors, without.descriptors);
  EXPECT_EQ(with.threads, without.threads);
  // The view's arena, the slots that say where in it, and the row in which it is counted.
  EXPECT_EQ(with.mappings, without.mappings + 3 * kRestarts);
  EXPECT_EQ(ArenasMapped(), kArenasOfASession + kRestarts);
  // Each store's last view lets it go, in any order, without a call of the client.
  std::swap(views[2], views[7]);
  for (size_t i = 0; i < views.size(); ++i) {
    views[i].Release();
    EXPECT_EQ(ArenasMapped(), kArenasOfASession + kRestarts - 1 - i);
  }
  EXPECT_TRUE(Eventually([&] { return Belongings::Now() == without; })) << Belongings::Now();
}

TEST(Reopen, OfManyViewsOfAStoreThatIsGoneTheLastLetsItGoWhicheverThatIs) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  NextStore(daemon, client);
  const Belongings without = Belongings::Now();
  std::vector<ObjectView> views;
  for (uint64_t seed = 0; seed < 1999; ++seed) {
    views.push_back(Must(client.Get(PutPattern(client, seed, 100))));
  }
  views.push_back(Must(client.Get(views[77].id())));
  Builder builder = Must(client.Create(100));
  views.push_back(Must(builder.SealToView()));  // may have facts of its own
  NextStore(daemon, client);
  for (size_t i = 0; i < views.size(); ++i) {
    ASSERT_EQ(ArenasMapped(), kArenasOfASession + 1) << i;
    views[i * 7 % views.size()].Release();
  }
  EXPECT_TRUE(Eventually([&] { return Belongings::Now() == without; })) << Belongings::Now();
}

TEST(Reopen, ABuilderMayBeFilledAfterItsStoreIsGoneAndLetsItGoThen) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  NextStore(daemon, client);
  const Belongings without = Belongings::Now();
  Builder sealed = Must(client.Create(3000));
  Builder aborted = Must(client.Create(3000));
  NextStore(daemon, client);
  FillPattern(sealed.data(), 1);
  EXPECT_TRUE(HasPattern(sealed.data(), 1));
  EXPECT_TRUE(Says(sealed.Seal(), StatusCode::kUnavailable, "died"));
  EXPECT_TRUE(Says(sealed.SealToView(), StatusCode::kUnavailable, "died"));
  EXPECT_EQ(ArenasMapped(), 2 * kArenasOfASession);
  aborted.Abort();
  sealed.Abort();
  EXPECT_TRUE(Eventually([&] { return Belongings::Now() == without; })) << Belongings::Now();
}

TEST(Reopen, AThousandShortLivedClientsLeaveNothing) {
  const TestDaemon daemon;
  const Client other = daemon.Connect();
  const BusyThreads threads(other);
  ASSERT_TRUE(threads.GoOn());
  const Belongings before = Belongings::Now();
  ObjectView kept;
  for (uint64_t i = 0; i < (kSanitized ? 50 : 1000); ++i) {
    Client client = daemon.Connect();
    kept = Must(client.Get(PutPattern(client, i, 500, {.session_bound = true})));
  }
  kept.Release();
  EXPECT_TRUE(Eventually([&] { return Belongings::Now() == before; }))
      << Belongings::Now() << "; before: " << before;
}

TEST(Reopen, AViewThatOutlivesItsClientEndsTheSessionWhenItGoes) {
  const TestDaemon daemon;
  const Belongings before = Belongings::Now();
  ObjectView view;
  Builder builder;
  {
    Client client = daemon.Connect();
    view = Must(client.Get(PutPattern(client, 1, 500)));
    builder = Must(client.Create(500));
  }
  EXPECT_EQ(daemon.Status().Counter("sessions"), 1u);
  EXPECT_TRUE(HasPattern(view.data(), 1));
  FillPattern(builder.data(), 2);
  ObjectView made = Must(builder.SealToView());
  EXPECT_TRUE(HasPattern(made.data(), 2));
  made.Release();
  EXPECT_EQ(daemon.Status().Counter("sessions"), 1u);
  view.Release();
  EXPECT_TRUE(Eventually([&] { return Belongings::Now() == before; })) << Belongings::Now();
  EXPECT_TRUE(NothingIsLeft(daemon));
}

TEST(Reopen, WhatOutlivesAClientLosesItsThreadAndDescriptorsWhenTheStoreGoes) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  NextStore(daemon, client);
  const Belongings without = Belongings::Now();
  ObjectView view;
  {
    Client gone = daemon.Connect();
    view = Must(gone.Get(PutPattern(gone, 1, 500)));
  }
  NextStore(daemon, client);
  ASSERT_TRUE(Eventually([&] {
    // The thread that hears of the end is the gone client's own, so another's call has to look.
    Must(client.NextId());
    return Belongings::Now().threads == without.threads;
  }));
  EXPECT_EQ(Belongings::Now().descriptors, without.descriptors);
  EXPECT_TRUE(HasPattern(view.data(), 1));
  view.Release();
  EXPECT_TRUE(Eventually([&] { return Belongings::Now() == without; })) << Belongings::Now();
}

// From here on this process has no membarrier.
bool ForbidFences() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(Reopen, WhereTheKernelFencesNoThreadsAStoreGoesALittleLater) {
  TestDaemon daemon;
  Channel connected;
  Channel restarted;
  const pid_t child = StartChild([&] {
    if (!ForbidFences()) return 77;
    Client client = daemon.Connect();
    Must(client.Get(Must(client.Put("of the first store"))));
    connected.Signal();
    restarted.Wait();
    PENSTOCK_CHILD_EXPECT(Eventually([&] { return client.Put("notices").ok(); }));
    PENSTOCK_CHILD_EXPECT(ArenasMapped() == 2 * kArenasOfASession);
    PENSTOCK_CHILD_EXPECT(Eventually([&] {
      Must(client.NextId());
      return ArenasMapped() == kArenasOfASession;
    }));
    return 0;
  });
  connected.Wait();
  daemon.KillBoth();
  daemon.Restart();
  restarted.Signal();
  const int code = WaitForChild(child);
  if (code == 77) GTEST_SKIP() << "this host takes no seccomp filter";
  EXPECT_EQ(code, 0);
}

// A process that lives on may be short of descriptors for a while.
TEST(Reopen, AWelcomeThatFindsNoDescriptorsLeavesNoSessionBehind) {
  const TestDaemon daemon;
  Channel failed;
  Channel end;
  const pid_t child = StartChild([&] {
    const rlimit few{64, 64};
    PENSTOCK_CHILD_EXPECT(setrlimit(RLIMIT_NOFILE, &few) == 0);
    std::vector<UniqueFd> taken;
    for (;;) {
      UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!fd.valid()) break;
      taken.push_back(std::move(fd));
    }
    taken.resize(taken.size() - 4);  // enough for the socket, not for what comes
    for (int i = 0; i < kRestarts; ++i) {
      PENSTOCK_CHILD_EXPECT(!Client::Connect({.dir = daemon.dir()}).ok());
    }
    failed.Signal();
    end.Wait();
    taken.clear();
    PENSTOCK_CHILD_EXPECT(Client::Connect({.dir = daemon.dir()}).ok());
    return 0;
  });
  failed.Wait();
  EXPECT_TRUE(Eventually([&] { return daemon.Status().Counter("sessions") == 0; }))
      << daemon.Status().Counter("sessions") << " sessions";
  end.Signal();
  EXPECT_EQ(WaitForChild(child), 0);
}

// Each daemon is a process of its own, which starts one more thread to close things where one is
// not enough: threads do not add up.
TEST(Reopen, TenDaemonsOfOneStoreLeaveKeeperAndDaemonWithNoMoreThanAfterTheFirst) {
  constexpr size_t kMostThreads = 16;
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Belongings keeper_first, daemon_first;
  for (int i = 1; i <= kRestarts; ++i) {
    const pid_t before = daemon.daemon_pid();
    kill(before, SIGKILL);
    const pid_t now = NextDaemon(daemon, before);
    daemon.WaitPopulated();
    PutPattern(client, 1, 5000);
    Must(client.Sync());
    if (i == 1) {
      keeper_first = Belongings::Of(daemon.keeper_pid());
      daemon_first = Belongings::Of(now);
      daemon_first.threads = kMostThreads;
    }
    EXPECT_TRUE(Eventually([&] {
      return Belongings::Of(daemon.keeper_pid()).IsWithin(keeper_first);
    })) << Belongings::Of(daemon.keeper_pid()) << "; after the first: " << keeper_first;
    EXPECT_TRUE(Eventually([&] { return Belongings::Of(now).IsWithin(daemon_first); }))
        << Belongings::Of(now) << "; after the first: " << daemon_first;
  }
}

}  // namespace
}  // namespace penstock::testing
