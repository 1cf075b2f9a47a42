// A store and the directory it lies in: what an ending store takes along, and what lies there of
// others.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "store/base/store_directory.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

std::string ReadFile(const std::string& path) {
  std::string text;
  std::getline(std::ifstream(path), text);
  return text;
}

pid_t ParentOf(uint64_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  pid_t parent = 0;
  for (std::string line; std::getline(file, line);) {
    if (sscanf(line.c_str(), "PPid: %d", &parent) == 1) break;
  }
  return parent;
}

// A penstockd in a directory that may be removed and moved under it.
class Guest {
 public:
  explicit Guest(const std::string& dir) : dir_(dir) {
    pid_ = StartChild([&] {
      const std::string program = ProgramPath("penstockd");
      execl(program.c_str(), program.c_str(), "--dir", dir.c_str(), "--memory", "16MiB",
            "--log-level", "error", nullptr);
      return 1;
    });
    // Another store may answer there meanwhile.
    if (!Eventually([&] {
          const auto status = QueryStatus(dir_);
          return status.ok() && ParentOf(status->Counter("daemon_pid")) == pid_;
        })) {
      GiveUp("penstockd does not answer");
    }
  }
  ~Guest() { Stop(); }
  int Stop() {
    if (pid_ <= 0) return -1;
    kill(pid_, SIGTERM);
    return WaitForChild(std::exchange(pid_, -1));
  }

 private:
  std::string dir_;
  pid_t pid_;
};

// Removes what makes `dir` the first store's, so that the next penstockd may have the place.
void ExpectTheSecondStoreOutlivesTheFirst(const std::function<void(const std::string&)>& vacate) {
  const TempDir base;
  const std::string dir = base.path() + "/store";
  Guest first(dir);
  vacate(dir);
  const Guest second(dir);
  Client client = Must(Client::Connect({.dir = dir}));
  const ObjectId id = PutPattern(client, 1, 1000);
  EXPECT_EQ(first.Stop(), 0);
  EXPECT_TRUE(std::filesystem::exists(WindowPath(dir)));
  auto other = Client::Connect({.dir = dir});
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_TRUE(Must(other->Contains(id)));
}

TEST(Place, AnEndingStoreLeavesTheSocketsOfAnotherThatLivesWhereItWas) {
  ExpectTheSecondStoreOutlivesTheFirst(
      [](const std::string& dir) { std::filesystem::remove_all(dir); });
  ExpectTheSecondStoreOutlivesTheFirst(
      [](const std::string& dir) { std::filesystem::rename(dir, dir + ".old"); });
  ExpectTheSecondStoreOutlivesTheFirst(
      [](const std::string& dir) { std::filesystem::remove(LockPath(dir)); });
}

TEST(Place, APrivateStoreLeavesTheDirectoryOfAnother) {
  const TempDir base;
  const std::string dir = base.path() + "/store";
  const pid_t owner = StartChild([] { return pause(); });
  const pid_t first = StartChild([&] {
    execl(ProgramPath("penstockd").c_str(), "penstockd", "--dir", dir.c_str(), "--memory",
          "16MiB", "--log-level", "error", "--owner-pid", std::to_string(owner).c_str(), nullptr);
    return 1;
  });
  ASSERT_TRUE(Eventually([&] { return QueryStatus(dir).ok(); }));
  std::filesystem::remove_all(dir);
  const Guest second(dir);
  kill(owner, SIGKILL);
  WaitForChild(owner);
  EXPECT_EQ(WaitForChild(first), 0);
  EXPECT_TRUE(std::filesystem::exists(LockPath(dir)));
  EXPECT_TRUE(QueryStatus(dir).ok());
}

TEST(Place, WhatIsNoSocketIsLeftAndNamed) {
  for (const auto& path : {SocketPath, WindowPath, LockPath}) {
    const TempDir dir;
    std::ofstream(path(dir.path())) << "precious\n";
    const auto outcome = RunProgram({ProgramPath("penstockd"), "--dir", dir.path(), "--memory",
                                     "16MiB"}, absl::Seconds(10));
    EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
    EXPECT_TRUE(Contains(outcome.output, path(dir.path()))) << outcome.output;
    EXPECT_TRUE(Contains(outcome.output, "emove it")) << outcome.output;
    EXPECT_EQ(ReadFile(path(dir.path())), "precious");
    std::filesystem::remove(path(dir.path()));
    EXPECT_FALSE(std::filesystem::exists(SocketPath(dir.path()))) << "left by a failed start";
  }
}

bool AreThere(const std::string& dir) {
  return std::filesystem::exists(SocketPath(dir)) && std::filesystem::exists(WindowPath(dir));
}

void RemoveSockets(const std::string& dir) {
  std::filesystem::remove(SocketPath(dir));
  std::filesystem::remove(WindowPath(dir));
}

TEST(Place, SocketsThatWereRemovedAreMadeAnewUnderAStoreThatLives) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 1000);
  const auto expect_it_is_found = [&] {
    ASSERT_TRUE(Eventually([&] { return AreThere(daemon.dir()); }));
    ASSERT_TRUE(Eventually([&] { return QueryStatus(daemon.dir()).ok(); })) << daemon.Output();
    EXPECT_TRUE(Must(daemon.Connect().Contains(id)));
    // Answered by the keeper.
    const auto clients = RunProgram({ProgramPath("penstock"), "clients", "--dir", daemon.dir()});
    EXPECT_EQ(clients.exit_code, 0) << clients.output;
  };
  for (int i = 0; i < 2; ++i) {
    RemoveSockets(daemon.dir());
    expect_it_is_found();
  }
  std::filesystem::remove(SocketPath(daemon.dir()));
  expect_it_is_found();
  // Whoever comes after daemon and keeper has the new ones.
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGKILL);
  NextDaemon(daemon, before);
  expect_it_is_found();
  const pid_t keeper = daemon.LockHolder();
  daemon.KillKeeper();
  ASSERT_TRUE(Eventually([&] { return daemon.LockHolder() != keeper; }));
  expect_it_is_found();
  RemoveSockets(daemon.dir());
  expect_it_is_found();
  const pid_t heir = daemon.StartHeir();
  ASSERT_TRUE(Eventually([&] { return daemon.LockHolder() == heir; })) << daemon.Output();
  daemon.SettleKeepers(heir);
  expect_it_is_found();
  EXPECT_EQ(daemon.Stop(), 0);
  EXPECT_FALSE(std::filesystem::exists(SocketPath(daemon.dir())));
  EXPECT_FALSE(std::filesystem::exists(WindowPath(daemon.dir())));
}

TEST(Place, SocketsThatWereRemovedWhileThereWasNoDaemonAreMadeByTheNext) {
  TestDaemon daemon;
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGSTOP);
  RemoveSockets(daemon.dir());
  kill(before, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return QueryStatus(daemon.dir()).ok(); })) << daemon.Output();
  EXPECT_TRUE(AreThere(daemon.dir()));
}

TEST(Place, ADirectoryThatIsRemovedStaysRemovedAndTheLogSaysIt) {
  const TempDir base;
  const std::string dir = base.path() + "/store", log = base.path() + "/log";
  const pid_t keeper = StartChild([&] {
    if (freopen(log.c_str(), "w", stderr) == nullptr) return 2;
    execl(ProgramPath("penstockd").c_str(), "penstockd", "--dir", dir.c_str(), "--memory",
          "16MiB", nullptr);
    return 1;
  });
  ASSERT_TRUE(Eventually([&] { return QueryStatus(dir).ok(); }));
  std::error_code error;
  std::filesystem::remove_all(dir, error);
  EXPECT_FALSE(error) << error.message();
  EXPECT_TRUE(Eventually([&] {
    std::ostringstream text;
    text << std::ifstream(log).rdbuf();
    return Contains(text.str(), "is this store's no more");
  }));
  EXPECT_FALSE(std::filesystem::exists(dir));
  kill(keeper, SIGTERM);
  EXPECT_EQ(WaitForChild(keeper), 0);
}

}  // namespace
}  // namespace penstock::testing
