// penstockd --take-over: a store that goes from one penstockd to the next under its clients.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "store/base/store_directory.h"
#include "store/wire/control_message.h"
#include "store/wire/packet_socket.h"
#include "tests/integration/belongings.h"
#include "tests/integration/helpers.h"
#include "tools/penstockd/take_over.h"

namespace penstock::testing {
namespace {

pid_t TakeOver(TestDaemon& daemon) {
  const pid_t before = daemon.daemon_pid();
  const pid_t heir = daemon.StartHeir();
  const pid_t now = NextDaemon(daemon, before);
  daemon.SettleKeepers(heir);
  EXPECT_EQ(daemon.LockHolder(), heir) << daemon.Output();
  return now;
}

std::string RefusalOf(const TestDaemon& daemon, const std::string& packet) {
  const auto talk = ConnectAndAsk(SocketPath(daemon.dir()), {&packet, 1});
  if (!talk.ok()) return talk.status().ToString();
  const auto message = ParseMessage(talk->answer.bytes);
  if (!message.ok()) return message.status().ToString();
  const auto* const refused = (*message)->body_as_Refused();
  return refused != nullptr ? std::string(StatusOf(*refused).message()) : "not refused";
}

TEST(TakeOver, KeepsObjectsViewsBuildersSessionsAndCounters) {
  TestDaemon daemon;
  const pid_t first_keeper = daemon.keeper_pid();
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 5000);
  const ObjectView view = Must(client.Get(id));
  Builder builder = Must(client.Create(100));
  Builder reserved = Must(client.Create(100, {.id = ObjectId::FromName("r")}));
  const DaemonStatus before = daemon.Status();
  TakeOver(daemon);
  EXPECT_NE(daemon.keeper_pid(), first_keeper);
  EXPECT_NE(kill(first_keeper, 0), 0) << "the old keeper is still there";
  EXPECT_TRUE(HasPattern(view.data(), 1));
  FillPattern(builder.data(), 3);
  const ObjectId sealed = Must(builder.Seal());
  FillPattern(reserved.data(), 4);
  Must(reserved.Seal());
  Must(client.Sync());
  Client other = daemon.Connect();
  EXPECT_TRUE(HasPattern(Must(other.Get(id)).data(), 1));
  EXPECT_TRUE(HasPattern(Must(other.Get(sealed)).data(), 3));
  EXPECT_TRUE(HasPattern(Must(other.Get(ObjectId::FromName("r"))).data(), 4));
  const DaemonStatus after = daemon.Status();
  EXPECT_EQ(after.Counter("sealed"), before.Counter("sealed") + 2) << "counters go on";
  EXPECT_EQ(after.Counter("sessions"), 2u);
  EXPECT_EQ(after.Counter("arena_bytes"), before.Counter("arena_bytes"));
  EXPECT_TRUE(Contains(daemon.Output(), "handed the store over")) << daemon.Output();
}

TEST(TakeOver, TwentyTimesInARowFailsNoCall) {
  TestDaemon daemon;
  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (uint64_t worker = 0; worker < 4; ++worker) {
    busy.emplace_back([&, worker] {
      Client client = daemon.Connect();
      std::vector<std::pair<ObjectId, uint64_t>> kept;
      for (uint64_t i = 0; !stop.load(); ++i) {
        const uint64_t seed = worker << 32 | i;
        kept.emplace_back(Must(client.Put(Pattern(seed, 1 + seed * 7919 % 20'000))), seed);
        const auto& [id, old_seed] = kept[i * 31 % kept.size()];
        if (!HasPattern(Must(client.Get(id)).data(), old_seed)) GiveUp("other bytes");
        if (kept.size() > 100) {
          Must(client.Delete(kept.front().first));
          kept.erase(kept.begin());
        }
        if (i % 4 == 0) Must(client.Sync());
        if (i % 16 == 0) Must(daemon.Connect().Put("of a session of a moment"));
      }
    });
  }
  for (int i = 0; i < 20; ++i) TakeOver(daemon);
  stop.store(true);
  for (std::thread& thread : busy) thread.join();
  EXPECT_EQ(daemon.Status().Counter("restarts"), 20u);
  EXPECT_TRUE(NothingIsLeft(daemon));
}

TEST(TakeOver, TenInARowLeaveNoProcessWithMoreThanAfterTheFirst) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  Belongings client_first, keeper_first, daemon_first;
  for (int i = 1; i <= 10; ++i) {
    TakeOver(daemon);
    daemon.WaitPopulated();
    PutPattern(client, 1, 5000);
    Must(client.Sync());
    if (i == 1) {
      client_first = Belongings::Now();
      keeper_first = Belongings::Of(daemon.keeper_pid());
      daemon_first = Belongings::Of(daemon.daemon_pid());
      // Each daemon is another process, and one on a busy host may start up to eight threads more
      // that close descriptors. What ten of them would leak is more than that.
      daemon_first.threads += 8;
      daemon_first.descriptors += 16;
    }
    EXPECT_TRUE(Eventually([&] { return Belongings::Now().IsWithin(client_first); }))
        << Belongings::Now() << "; after the first: " << client_first;
    EXPECT_TRUE(Eventually([&] {
      return Belongings::Of(daemon.keeper_pid()).IsWithin(keeper_first);
    })) << Belongings::Of(daemon.keeper_pid()) << "; after the first: " << keeper_first;
    EXPECT_TRUE(Eventually([&] {
      return Belongings::Of(daemon.daemon_pid()).IsWithin(daemon_first);
    })) << Belongings::Of(daemon.daemon_pid()) << "; after the first: " << daemon_first;
  }
}

TEST(TakeOver, GoesOnWithWhatIsOnDisk) {
  const TempDir disk;
  TestDaemon daemon({"--memory", "16MiB", "--spill-dir", disk.path()});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  std::vector<ObjectId> ids;
  for (uint64_t i = 0; i < 40; ++i) ids.push_back(PutPattern(client, i, 1 << 20));
  ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("spilled_objects") > 10; }));
  for (int i = 0; i < 3; ++i) TakeOver(daemon);
  for (uint64_t i = 0; i < ids.size(); ++i) {
    EXPECT_TRUE(HasPattern(Must(client.Get(ids[i])).data(), i)) << i;
  }
}

// What is on disk would be answered as gone.
TEST(TakeOver, WithAForgottenOrAnotherSpillDirectoryIsRefusedAndNamesTheRightOne) {
  const TempDir disk, other;
  TestDaemon daemon({"--memory", "16MiB", "--spill-dir", disk.path()});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 1 << 20);
  const std::vector<std::string> plain = {ProgramPath("penstockd"), "--dir", daemon.dir(),
                                          "--take-over"};
  const auto forgotten = RunProgram(plain);
  EXPECT_EQ(forgotten.exit_code, 1);
  EXPECT_TRUE(Contains(forgotten.output, "without --spill-dir")) << forgotten.output;
  EXPECT_TRUE(Contains(forgotten.output, "--spill-dir " + disk.path())) << forgotten.output;
  std::vector<std::string> elsewhere = plain;
  elsewhere.insert(elsewhere.end(), {"--spill-dir", other.path()});
  const auto wrong = RunProgram(elsewhere);
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_TRUE(Contains(wrong.output, other.path())) << wrong.output;
  EXPECT_EQ(daemon.Status().Counter("restarts"), 0u);
  TakeOver(daemon);  // with the same flags
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
}

// Through a link, and with a slash at its end.
TEST(TakeOver, TheSpillDirectoryUnderAnotherNameIsTheSame) {
  const TempDir parent, links;
  const std::string link = links.path() + "/link";
  std::filesystem::create_directory_symlink(parent.path(), link);
  TestDaemon daemon({"--memory", "16MiB", "--spill-dir", parent.path() + "/disk"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  std::vector<ObjectId> ids;
  for (uint64_t i = 0; i < 40; ++i) ids.push_back(PutPattern(client, i, 1 << 20));
  const pid_t before = daemon.daemon_pid();
  const pid_t heir = StartChild([&] {
    const std::string program = ProgramPath("penstockd");
    const std::string same = link + "/disk/";
    execl(program.c_str(), program.c_str(), "--dir", daemon.dir().c_str(), "--take-over",
          "--spill-dir", same.c_str(), nullptr);
    return 1;
  });
  NextDaemon(daemon, before);
  daemon.SettleKeepers(heir);
  for (uint64_t i = 0; i < ids.size(); ++i) {
    EXPECT_TRUE(HasPattern(Must(client.Get(ids[i])).data(), i)) << i;
  }
}

TEST(TakeOver, TheNewKeeperKeepsAndTheNewDaemonFindsASuccessorForIt) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 5000);
  pid_t serving = TakeOver(daemon);
  kill(serving, SIGKILL);
  serving = NextDaemon(daemon, serving);
  const pid_t keeper = daemon.keeper_pid();
  daemon.KillKeeper();
  ASSERT_TRUE(Eventually([&] {
    return daemon.LockHolder() > 0 && daemon.LockHolder() != keeper;
  }));
  TakeOver(daemon);
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
}

TEST(TakeOver, IsRefusedWithAReasonAndTheStoreGoesOn) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 5000);
  const std::string refusal = RefusalOf(daemon, TakeOverMessage({99, 99, 99, 99}));
  EXPECT_TRUE(Contains(refusal, "cannot be taken over")) << refusal;
  const auto with_memory = RunProgram({ProgramPath("penstockd"), "--dir", daemon.dir(),
                                       "--take-over", "--memory", "64MiB"});
  EXPECT_EQ(with_memory.exit_code, 2);
  EXPECT_TRUE(Contains(with_memory.output, "leave out memory")) << with_memory.output;
  const TempDir empty;
  const auto nothing =
      RunProgram({ProgramPath("penstockd"), "--dir", empty.path(), "--take-over"});
  EXPECT_EQ(nothing.exit_code, 1);
  EXPECT_TRUE(Contains(nothing.output, "no Penstock daemon")) << nothing.output;
  EXPECT_TRUE(HasPattern(Must(daemon.Connect().Get(id)).data(), 1));
  EXPECT_EQ(daemon.Status().Counter("restarts"), 0u);
}

// It would be root's then, and closed to its own user.
TEST(TakeOver, OfAnotherUsersStoreIsRefusedAlsoForRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const TempDir dir;
  const std::string store = dir.path() + "/store";
  const pid_t daemon = StartDaemonOfNobody(dir.path(), store, {"--allow", "uid:0:rw"});
  ASSERT_TRUE(Eventually([&] { return QueryStatus(store).ok(); }));
  const auto heir = RunProgram({ProgramPath("penstockd"), "--dir", store, "--take-over"},
                               absl::Seconds(10));
  EXPECT_EQ(heir.exit_code, 1) << heir.output;
  EXPECT_TRUE(Contains(heir.output, fmt::format("sudo -u '#{}'", kNobody))) << heir.output;
  // The daemon refuses too, whatever program it is.
  const std::string packet = TakeOverMessage(OwnLayouts());
  const Conversation talk = Must(ConnectAndAsk(SocketPath(store), {&packet, 1}));
  EXPECT_EQ(Must(ParseMessage(talk.answer.bytes))->body_type(), wire::Body_Refused);
  EXPECT_EQ(RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(BecomeNobody());
    PENSTOCK_CHILD_EXPECT(Client::Connect({.dir = store}).ok());
    return 0;
  }), 0);
  kill(daemon, SIGTERM);
  EXPECT_EQ(WaitForChild(daemon), 0);
}

TEST(TakeOver, FlagsThatTheNewOneWasNotGivenAreNamed) {
  TestDaemon daemon({"--memory", "16MiB", "--allow", "uid:1001:rw", "--client-quota", "10MiB",
                     "--cpus", "2"});
  const pid_t heir = fork();
  if (heir == 0) {
    const std::string log = daemon.dir() + "/log";
    if (freopen(log.c_str(), "a", stderr) == nullptr) _exit(2);
    const std::string program = ProgramPath("penstockd");
    execl(program.c_str(), program.c_str(), "--dir", daemon.dir().c_str(), "--take-over", "--cpus",
          "1", nullptr);
    _exit(127);
  }
  EXPECT_TRUE(Eventually([&] { return daemon.LockHolder() == heir; }));
  daemon.SettleKeepers(heir);
  EXPECT_TRUE(Eventually([&] {
    return Contains(daemon.Output(),
                    "was started with --allow uid:1001:rw --client-quota 10MiB");
  })) << daemon.Output();
}

// It is the keeper by then, and there is no daemon.
TEST(TakeOver, AnHeirThatDiesOrIsStoppedWhenTheOldDaemonHasLeftCostsTheStoreNothing) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  for (uint64_t round = 1; round <= 4; ++round) {
    const bool is_stopped = round == 4;
    const ObjectId id = PutPattern(client, round, 5000);
    const pid_t before = daemon.daemon_pid();
    const pid_t heir = StartChild([&] {
      DaemonOptions options;
      options.dir = daemon.dir();
      auto all = TakeOverStore(options);
      if (!all.ok()) return 1;
      pollfd item{all->kept.channel.get(), POLLIN, 0};
      while (!all->kept.store.left) {
        if (poll(&item, 1, -1) < 0) return 2;
        TakeKeeperMessages(item.fd, all->kept.store);
      }
      if (is_stopped) pause();
      return 3;
    });
    EXPECT_EQ(WaitForChild(heir), is_stopped ? 128 + SIGKILL : 3);
    NextDaemon(daemon, before);
    EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), round));
  }
}

// It asks, and then does nothing: the store has a keeper again within seconds.
TEST(TakeOver, AnHeirThatIsStoppedOrLeavesCostsTheStoreNothing) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 5000);
  const pid_t child = StartChild([&] {
    const auto socket = ConnectTo(SocketPath(daemon.dir()));
    // Of the layouts of this very build, so that the daemon agrees.
    const std::string packet = TakeOverMessage(OwnLayouts());
    if (!socket.ok() || !SendPacket(socket->get(), packet).ok()) return 1;
    pause();
    return 0;
  });
  EXPECT_EQ(WaitForChild(child), 128 + SIGKILL);
  EXPECT_TRUE(Eventually([&] {
    return daemon.LockHolder() > 0 && kill(daemon.LockHolder(), 0) == 0;
  }));
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGKILL);
  NextDaemon(daemon, before);
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
}

}  // namespace
}  // namespace penstock::testing
