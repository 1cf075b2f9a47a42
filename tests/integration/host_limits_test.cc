// Each limit of a host, each call that it refuses and each place that it closes is named for
// what it is, by the daemon, its clients and the operator's tools; nothing hangs or crashes.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "store/base/store_directory.h"
#include "store/wire/packet_socket.h"
#include "tests/integration/helpers.h"
#include "tests/integration/narrow_host.h"
#include "tools/penstock/window.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

constexpr const char* kMountsNeedRoot = "only root may change what is mounted";
constexpr const char* kSanitizerNeedsIt = "a sanitizer needs it itself";

ProgramOutcome DaemonWhere(const std::function<bool()>& prepare, const std::string& dir,
                           const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {ProgramPath("penstockd"), "--dir", dir, "--memory",
                                        "16MiB"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return RunWhere(prepare, arguments);
}

void ExpectSays(const ProgramOutcome& outcome, int exit_code,
                const std::vector<std::string>& parts,
                const std::vector<std::string>& wrong_causes = {}) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.output;
  for (const std::string& part : parts) {
    EXPECT_TRUE(Contains(outcome.output, part)) << "no '" << part << "' in\n" << outcome.output;
  }
  for (const std::string& wrong : wrong_causes) {
    EXPECT_FALSE(Contains(outcome.output, wrong)) << "'" << wrong << "' in\n" << outcome.output;
  }
}

TEST(HostLimits, ADaemonThatMayOpenTooFewFilesToServeSaysSoAtItsStart) {
  const TempDir dir;
  for (const rlim_t files : {4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 30, 40, 63}) {
    const ProgramOutcome outcome =
        DaemonWhere([=] { return LimitTo(RLIMIT_NOFILE, files); }, dir.path());
    ExpectSays(outcome, 1, {"RLIMIT_NOFILE", fmt::format("may have {} files open", files)},
               {"/proc", "huge pages", "Linux 5.3"});
  }
}

TEST(HostLimits, AClientUnderAnyLimitOnDescriptorsConnectsOrNamesIt) {
  const TestDaemon daemon;
  bool has_connected = false;
  for (rlim_t files = 3; files <= 40; ++files) {
    // 0: it connected, 1: it says anything else than what is wrong.
    const int outcome = RunInChild([&] {
      PENSTOCK_CHILD_EXPECT(LimitTo(RLIMIT_NOFILE, files));
      const auto client = Client::Connect({.dir = daemon.dir()});
      if (client.ok()) return 0;
      PENSTOCK_CHILD_EXPECT(
          Says(client, StatusCode::kResourceExhausted, fmt::format("may have {} files", files)));
      return 2;
    });
    EXPECT_NE(outcome, 1) << files;
    EXPECT_TRUE(outcome == 0 || outcome == 2) << files << " ended with " << outcome;
    has_connected |= outcome == 0;
  }
  EXPECT_TRUE(has_connected);
}

TEST(HostLimits, ToolsUnderAnyLimitOnDescriptorsLookOrNameIt) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  PutPattern(client, 1, 1000);
  Must(client.Sync());
  for (rlim_t files = 4; files <= 16; ++files) {
    for (const char* const command : {"status", "objects", "clients", "memory"}) {
      const ProgramOutcome outcome =
          RunWhere([=] { return LimitTo(RLIMIT_NOFILE, files); },
                   {ProgramPath("penstock"), command, "--dir", daemon.dir()});
      if (outcome.exit_code == 0) continue;
      ExpectSays(outcome, 1, {"RLIMIT_NOFILE"}, {"65536"});
    }
    const ProgramOutcome doctor = RunWhere([=] { return LimitTo(RLIMIT_NOFILE, files); },
                                           {ProgramPath("penstock"), "doctor"});
    EXPECT_FALSE(Contains(doctor.output, "no SO_PEERPIDFD before")) << doctor.output;
  }
}

TEST(HostLimits, ADaemonWithoutADescriptorLeftTellsItsClientsInsteadOfLettingThemWait) {
  EXPECT_EQ(RunInChild([] {
    PENSTOCK_CHILD_EXPECT(LimitTo(RLIMIT_NOFILE, 64));
    const TestDaemon daemon({"--memory", "16MiB"});
    std::vector<UniqueFd> silent;
    absl::StatusOr<DaemonStatus> status = QueryStatus(daemon.dir());
    for (int i = 0; i < 40 && status.ok(); ++i) {
      silent.push_back(Must(ConnectTo(SocketPath(daemon.dir()))));
      status = QueryStatus(daemon.dir());
    }
    PENSTOCK_CHILD_EXPECT(Says(status, StatusCode::kResourceExhausted, "penstockd (process"));
    PENSTOCK_CHILD_EXPECT(Says(status, StatusCode::kResourceExhausted, "may have 64 files open"));
    silent.clear();
    PENSTOCK_CHILD_EXPECT(Eventually([&] { return QueryStatus(daemon.dir()).ok(); }));
    return 0;
  }), 0);
}

TEST(HostLimits, ALimitOnTheSizeOfFilesIsNamedAndSendsNoSignal) {
  const TempDir dir;
  for (const rlim_t bytes : {0, 4096, 1'000'000}) {
    ExpectSays(DaemonWhere([=] { return LimitTo(RLIMIT_FSIZE, bytes); }, dir.path()), 1,
               {"RLIMIT_FSIZE", fmt::format("files of {} B", bytes)}, {"signal"});
  }
  const ProgramOutcome doctor = RunWhere([] { return LimitTo(RLIMIT_FSIZE, 0); },
                                         {ProgramPath("penstock"), "doctor"});
  ExpectSays(doctor, 1, {"the size of files is limited", "--fsize=unlimited"});
  // A store that fits, but whose spill files do not.
  ExpectSays(DaemonWhere([] { return LimitTo(RLIMIT_FSIZE, 64 << 20); }, dir.path(),
                         {"--spill-dir", dir.path() + "/disk"}),
             1, {"RLIMIT_FSIZE", "spilling to files of"});
}

TEST(HostLimits, AddressSpaceThatIsLimitedIsNamedWithItsLimit) {
  if (kSanitized) GTEST_SKIP() << kSanitizerNeedsIt;
  const TempDir dir;
  ExpectSays(RunWhere([] { return LimitTo(RLIMIT_AS, 200 << 20); },
                      {ProgramPath("penstockd"), "--dir", dir.path(), "--memory", "256MiB"}),
             1, {"RLIMIT_AS", "may take 200.00 MiB"});
}

TEST(HostLimits, ASmallStackIsEnoughForClientsAndDaemons) {
  if (kSanitized) GTEST_SKIP() << kSanitizerNeedsIt;
  EXPECT_EQ(RunInChild([] {
    // Of the programs that are started, and of the threads that they start.
    PENSTOCK_CHILD_EXPECT(LimitTo(RLIMIT_STACK, 64 << 10));
    const TestDaemon daemon({"--memory", "16MiB"});
    Client client = daemon.Connect();
    PutPattern(client, 1, 1000);
    const ProgramOutcome clients =
        RunProgram({ProgramPath("penstock"), "clients", "--dir", daemon.dir()});
    PENSTOCK_CHILD_EXPECT(clients.exit_code == 0);
    return 0;
  }), 0);
}

TEST(HostLimits, AClientThatMayStartNoThreadIsToldTheLimitsAndDoesNotCrash) {
  if (kSanitized) GTEST_SKIP() << kSanitizerNeedsIt;
  const TestDaemon daemon;
  EXPECT_EQ(RunInChild([&] {
    // The C library takes the older call where the newer is missing.
    PENSTOCK_CHILD_EXPECT(RefuseCall(SCMP_SYS(clone3), ENOSYS));
    PENSTOCK_CHILD_EXPECT(RefuseCall(SCMP_SYS(clone), EAGAIN));
    PENSTOCK_CHILD_EXPECT(Says(Client::Connect({.dir = daemon.dir()}),
                               StatusCode::kResourceExhausted, "ulimit -u"));
    return 0;
  }), 0);
  EXPECT_TRUE(NothingIsLeft(daemon));
}

TEST(HostLimits, ADaemonThatMayStartNoProcessSaysWhichLimitsThereAre) {
  const TempDir dir;
  const auto no_fork = [] {
    return RefuseCall(SCMP_SYS(clone3), ENOSYS) && RefuseCall(SCMP_SYS(clone), EAGAIN) &&
           RefuseCall(SCMP_SYS(fork), EAGAIN);
  };
  ExpectSays(DaemonWhere(no_fork, dir.path()), 1, {"fork of the daemon failed", "ulimit -u"});
}

TEST(HostLimits, ACallThatAFilterRefusesIsNamedWithTheFilter) {
  if (kSanitized) GTEST_SKIP() << kSanitizerNeedsIt;
  const TempDir dir;
  const std::pair<const char*, int> calls[] = {
      {"memfd_create", SCMP_SYS(memfd_create)}, {"pidfd_open", SCMP_SYS(pidfd_open)},
      {"eventfd", SCMP_SYS(eventfd2)},          {"signalfd", SCMP_SYS(signalfd4)},
      {"epoll_create1", SCMP_SYS(epoll_create1)}};
  for (const auto& [name, call] : calls) {
    for (const auto& [error, cause] :
         {std::pair(EPERM, "A filter is in the way"), {ENOSYS, "too old for it"}}) {
      ExpectSays(DaemonWhere([=] { return RefuseCall(call, error); }, dir.path()), 1,
                 {name, cause, "seccomp"}, {"huge pages", "open files"});
    }
  }
}

TEST(HostLimits, MemoryThatAFilterRefusesIsNotSaidToBeMissing) {
  if (kSanitized) GTEST_SKIP() << kSanitizerNeedsIt;
  EXPECT_EQ(RunInChild([] {
    PENSTOCK_CHILD_EXPECT(RefuseCall(SCMP_SYS(fallocate), EPERM));
    const TestDaemon daemon({"--memory", "16MiB"});
    PENSTOCK_CHILD_EXPECT(Eventually([&] { return !daemon.Status().notes.empty(); }));
    const std::string note = daemon.Status().notes.front();
    PENSTOCK_CHILD_EXPECT(Contains(note, "A filter is in the way"));
    PENSTOCK_CHILD_EXPECT(!Contains(note, "--memory"));
    return 0;
  }), 0);
}

TEST(HostLimits, AHostThatAllowsNoExecutableMemoryFilesIsServed) {
  EXPECT_EQ(RunInChild([] {
    PENSTOCK_CHILD_EXPECT(RefuseExecutableMemfds());
    const TestDaemon daemon({"--memory", "16MiB"});
    Client client = daemon.Connect();
    PutPattern(client, 1, 1000);
    return 0;
  }), 0);
}

TEST(HostLimits, ADaemonWithoutProcSaysThatItIsNotMounted) {
  if (!MayMount()) GTEST_SKIP() << kMountsNeedRoot;
  const TempDir dir;
  ExpectSays(DaemonWhere(UnmountProc, dir.path()), 1, {"/proc is not mounted"},
             {"0 B", "choose less"});
}

TEST(HostLimits, ToolsWithoutProcDoNotSayThatALivingDaemonIsGone) {
  if (!MayMount()) GTEST_SKIP() << kMountsNeedRoot;
  const TestDaemon daemon;
  const auto tool = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), ProgramPath("penstock"));
    arguments.insert(arguments.end(), {"--dir", daemon.dir()});
    return RunWhere(UnmountProc, arguments);
  };
  ExpectSays(tool({"top", "--count", "1"}), 0, {"unknown"}, {" gone"});
  ExpectSays(tool({"doctor"}), 1, {"not mounted", "/proc/meminfo cannot be read"}, {"0 B of 0 B"});
  const pid_t pid = daemon.daemon_pid();
  kill(pid, SIGSTOP);
  ExpectSays(tool({"status", "--patience", "0.2"}), 2, {"/proc does not show"}, {"is dead"});
  kill(pid, SIGCONT);
}

TEST(HostLimits, ADirectoryThatCannotBeWrittenIsNamedWithWhatChoosesAnother) {
  if (!MayMount()) GTEST_SKIP() << kMountsNeedRoot;
  const TempDir dir;
  const auto read_only = [&] { return MakeReadOnly(dir.path()); };
  ExpectSays(DaemonWhere(read_only, dir.path() + "/store"), 1,
             {"Read-only file system", "--dir or PENSTOCK_DIR"}, {"parent"});
  const TempDir good;
  ExpectSays(DaemonWhere(read_only, good.path(), {"--spill-dir", dir.path() + "/disk"}), 1,
             {"Read-only file system", "--spill-dir"}, {"parent"});
  // Of another variable, which names a directory that is not there.
  const auto nowhere = [] {
    unsetenv("PENSTOCK_DIR");
    return setenv("XDG_RUNTIME_DIR", "/nowhere/at/all", 1) == 0 && BecomeNobody();
  };
  ExpectSays(RunWhere(nowhere, {ProgramPath("penstockd"), "--memory", "16MiB"}), 1,
             {"/nowhere/at/all/penstock", "XDG_RUNTIME_DIR"});
}

TEST(HostLimits, WhatStandsInTheWayOfASocketIsNamed) {
  const TempDir dir;
  ASSERT_EQ(mkdir(SocketPath(dir.path()).c_str(), 0700), 0);
  ExpectSays(DaemonWhere([] { return true; }, dir.path()), 1,
             {SocketPath(dir.path()), "Something else stands there"});
  EXPECT_TRUE(Says(QueryStatus(dir.path()), StatusCode::kUnavailable, "is no socket"));
  const TempDir other;
  ASSERT_EQ(symlink("/etc/passwd", LockPath(other.path()).c_str()), 0);
  ExpectSays(DaemonWhere([] { return true; }, other.path()), 1, {"A symbolic link stands there"});
  const std::string link = other.path() + "/link";
  ASSERT_EQ(symlink(dir.path().c_str(), link.c_str()), 0);
  ExpectSays(DaemonWhere([] { return true; }, link), 1, {link, "A symbolic link stands there"});
}

TEST(HostLimits, ASocketWhoseDaemonIsDeadIsSaidToBeDead) {
  TestDaemon daemon;
  daemon.KillBoth();
  EXPECT_TRUE(Says(QueryStatus(daemon.dir()), StatusCode::kUnavailable, "keeper too"));
}

TEST(HostLimits, APlaceThatAUserMayNotComeToIsNotSaidToHaveNoDaemon) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const TempDir closed;  // mode 0700
  EXPECT_EQ(RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(BecomeNobody());
    PENSTOCK_CHILD_EXPECT(Says(QueryStatus(closed.path()), StatusCode::kPermissionDenied,
                               fmt::format("User {} may not come to that place", kNobody)));
    return 0;
  }), 0);
}

// In /tmp anybody may have been first: what is meant for a store of one's own would be theirs.
TEST(HostLimits, ADefaultDirectoryThatAnotherUserMadeIsRefusedByClientsAndTools) {
  if (!MayMount()) GTEST_SKIP() << kMountsNeedRoot;
  constexpr uid_t kMaker = 1;
  const auto nobody_where_it_belongs_to = [](uid_t maker) {
    const std::string dir = fmt::format("/tmp/penstock-{}", kNobody);
    unsetenv("PENSTOCK_DIR");
    unsetenv("XDG_RUNTIME_DIR");
    return unshare(CLONE_NEWNS) == 0 &&
           mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("tmp", "/tmp", "tmpfs", 0, nullptr) == 0 && mkdir(dir.c_str(), 0711) == 0 &&
           chown(dir.c_str(), maker, maker) == 0 && BecomeNobody();
  };
  EXPECT_EQ(RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(nobody_where_it_belongs_to(kMaker));
    const std::string owner = fmt::format("belongs to user {}", kMaker);
    for (const auto& status : {Client::Connect().status(), QueryStatus().status(),
                               AskKeeper(StoreDirectory(), 0).status()}) {
      PENSTOCK_CHILD_EXPECT(Says(status, StatusCode::kPermissionDenied, owner));
    }
    return 0;
  }), 0);
  for (const uid_t maker : {uid_t{0}, kNobody}) {
    EXPECT_EQ(RunInChild([&] {
      PENSTOCK_CHILD_EXPECT(nobody_where_it_belongs_to(maker));
      PENSTOCK_CHILD_EXPECT(Says(Client::Connect().status(), StatusCode::kNotFound, "no Penstock"));
      return 0;
    }), 0);
  }
}

// A pipe of which no byte is read.
class FullPipe {
 public:
  FullPipe() {
    if (pipe2(ends_, O_CLOEXEC) != 0) GiveUp("pipe2");
    fcntl(ends_[1], F_SETPIPE_SZ, 4096);
    pollfd item{ends_[1], POLLOUT, 0};
    const std::string filling(4096, '.');
    while (poll(&item, 1, 0) == 1) (void)!write(ends_[1], filling.data(), filling.size());
  }
  ~FullPipe() {
    for (const int end : ends_) close(end);
  }
  int in() const { return ends_[1]; }
  std::string Read() const {
    std::string bytes(64 << 10, ' ');
    const ssize_t count = read(ends_[0], bytes.data(), bytes.size());
    return bytes.substr(0, count < 0 ? 0 : static_cast<size_t>(count));
  }

 private:
  int ends_[2];
};

TEST(HostLimits, ALogThatNobodyReadsKeepsNobodyWaiting) {
  const TempDir dir;
  const FullPipe log;
  const pid_t keeper = StartChild([&] {
    dup2(log.in(), STDERR_FILENO);
    execl(ProgramPath("penstockd").c_str(), "penstockd", "--dir", dir.path().c_str(), "--memory",
          "16MiB", nullptr);
    return 99;
  });
  std::optional<Client> client;
  ASSERT_TRUE(Eventually([&] {
    auto connected = Client::Connect({.dir = dir.path()});
    if (connected.ok()) client = *std::move(connected);
    return client.has_value();
  }));
  PutPattern(*client, 1, 500);
  log.Read();
  kill(keeper, SIGTERM);
  EXPECT_EQ(WaitForChild(keeper), 0);
  EXPECT_TRUE(Contains(log.Read(), "lines were left out"));
}

TEST(HostLimits, ADaemonInAnotherProcessNamespaceIsNotTakenForAProcessOfThisOne) {
  if (!MayMount()) GTEST_SKIP() << "only root may make a process namespace";
  const TempDir dir;
  EXPECT_EQ(RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(unshare(CLONE_NEWPID) == 0);
    // Process 1 there: with it all of them end.
    const pid_t keeper = StartChild([&] {
      const std::string program = ProgramPath("penstockd");
      execl(program.c_str(), program.c_str(), "--dir", dir.path().c_str(), "--memory", "16MiB",
            nullptr);
      return 1;
    });
    bool is_elsewhere = false;
    const bool answers = Eventually([&] {
      const auto page = AskKeeper(dir.path(), 0);
      is_elsewhere = page.ok() && page->is_elsewhere;
      return page.ok() && page->facts.is_serving != 0;
    });
    kill(keeper, SIGSTOP);
    const auto silent = AskKeeper(dir.path(), 0, 200);
    kill(keeper, SIGKILL);
    WaitForChild(keeper);
    PENSTOCK_CHILD_EXPECT(answers);
    PENSTOCK_CHILD_EXPECT(is_elsewhere);
    PENSTOCK_CHILD_EXPECT(Says(silent, StatusCode::kDeadlineExceeded,
                               "process 1 of another process namespace"));
    return 0;
  }), 0);
  const TestDaemon daemon;
  EXPECT_FALSE(Must(AskKeeper(daemon.dir(), 0)).is_elsewhere);
}

// Of a client outside of the daemon's process namespace the kernel tells it no number.
TEST(HostLimits, AClientOutsideOfTheDaemonsProcessNamespaceIsNotCalledProcess0) {
  if (!MayMount()) GTEST_SKIP() << "only root may make a process namespace";
  const TempDir dir;
  // Its own namespace stays the test's, its child's is another.
  const pid_t parent = StartChild([&] {
    if (unshare(CLONE_NEWPID) != 0) return 1;
    return WaitForChild(StartChild([&] {
      if (freopen((dir.path() + "/log").c_str(), "w", stderr) == nullptr) return 1;
      const std::string program = ProgramPath("penstockd");
      execl(program.c_str(), program.c_str(), "--dir", dir.path().c_str(), "--memory", "16MiB",
            nullptr);
      return 1;
    }));
  });
  ASSERT_TRUE(Eventually([&] { return QueryStatus(dir.path()).ok(); }));
  Client client = Must(Client::Connect({.dir = dir.path()}));
  std::vector<ObjectView> views;
  for (int i = 0; i < 10; ++i) views.push_back(Must(client.Get(PutPattern(client, 1, 1 << 20))));
  const auto full = client.Create(12 << 20, {.deadline = absl::ZeroDuration()});
  EXPECT_TRUE(Says(full, StatusCode::kResourceExhausted,
                   "is of a process of another pid namespace"));
  EXPECT_FALSE(Contains(std::string(full.status().message()), "process 0")) << full.status();
  const auto clients = RunProgram({ProgramPath("penstock"), "clients", "--dir", dir.path()});
  EXPECT_TRUE(Contains(clients.output, "unknown  unknown")) << clients.output;
  const auto objects = RunProgram({ProgramPath("penstock"), "objects", "--dir", dir.path()});
  EXPECT_TRUE(Contains(objects.output, "1/unknown")) << objects.output;
  EXPECT_TRUE(Contains(objects.output, "unknown x1")) << objects.output;
  // The first process of that namespace, by its number in this one.
  const auto keeper = RunProgram({"/bin/sh", "-c", fmt::format("cat /proc/{0}/task/{0}/children",
                                                               parent)});
  kill(static_cast<pid_t>(std::stol(keeper.output)), SIGTERM);
  EXPECT_EQ(WaitForChild(parent), 0);
}

}  // namespace
}  // namespace penstock::testing
