// penstockd refuses what is wrong with its flags, its file and its directory: by name,
// with what it takes instead, and exit code 2 (flags) or 1 (the host is in the way).
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include <fmt/format.h>

#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

// penstockd in `dir` with `flags`; it should end by itself.
ProgramOutcome RunDaemonIn(const std::string& dir, const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = {ProgramPath("penstockd"), "--dir", dir};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return RunProgram(arguments, absl::Seconds(20));
}

void ExpectRefused(const ProgramOutcome& outcome, int exit_code,
                   const std::vector<std::string>& parts) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.output;
  for (const std::string& part : parts) {
    EXPECT_TRUE(Contains(outcome.output, part)) << "no '" << part << "' in\n"
                                                << outcome.output;
  }
}

TEST(DaemonFlags, AWrongValueIsRefusedByNameWithItsRange) {
  const TempDir dir;
  struct Case {
    std::string flag;
    std::string value;
    std::string takes;
  };
  const std::vector<Case> cases = {
      {"memory", "much", "for example 4GiB"},
      {"memory", "-1", "for example 4GiB"},
      {"memory", "12parsec", "for example 4GiB"},
      {"memory", "1KiB", "4.00 MiB to 4.00 TiB"},
      {"memory", "5TiB", "4.00 MiB to 4.00 TiB"},
      {"memory", "4194303", "memory is 4.00 MiB (4194303 B)"},
      {"memory", "1e30", "for example 4GiB"},
      {"objects", "0", "from 64 to 268435456"},
      {"objects", "-5", "from 64 to 268435456"},
      {"objects", "64x", "from 64 to 268435456"},
      {"objects", "99999999999999999999", "from 64 to 268435456"},
      {"huge-pages", "some", "auto, collapse, hugetlb or off"},
      {"log-level", "loud", "trace, debug, info, warn, error, off"},
      {"max-sessions", "0", "from 1 to 65536"},
      {"max-sessions", "65537", "from 1 to 65536"},
      {"give-back-after", "0", "from 1 to 86400"},
      {"give-back-after", "1.5", "from 1 to 86400"},
      {"keep-free", "some", "for example 4GiB"},
      {"keep-free", "1GiB", "--give-back-after"},
      {"allow", "", "allow is empty"},
      {"allow", "uid:", "uid:1001"},
      {"allow", "uid:5:ro", "uid:5:ro"},
      {"allow", "no-such-user-here", "names no user"},
      {"allow", "uid:1,gid:no-such-group", "names no group"},
      {"allow", "uid:4294967295", "names no user"},
      {"allow", ":rw", "with :rw behind it"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.flag + " " + each.value);
    ExpectRefused(RunDaemonIn(dir.path(), {"--" + each.flag, each.value}), 2,
                  {each.flag, each.takes, "--help"});
  }
  ExpectRefused(RunProgram({ProgramPath("penstockd"), "--dir", ""}), 2, {"dir", "path"});
  ExpectRefused(RunDaemonIn(dir.path(), {"--config", "/nonexistent.toml"}), 2,
                {"--config", "/nonexistent.toml"});
  ExpectRefused(RunDaemonIn(dir.path(), {"--colour", "red"}), 2, {"--colour", "--help"});
  ExpectRefused(RunDaemonIn(dir.path(), {"--memory"}), 2, {"--memory", "--help"});
  ExpectRefused(RunDaemonIn(dir.path(), {"stray"}), 2, {"stray", "--help"});
}

TEST(DaemonFlags, MoreMemoryThanThereIsIsRefusedWithWhatThereIs) {
  const TempDir dir;
  ExpectRefused(RunDaemonIn(dir.path(), {"--memory", "4TiB"}), 2,
                {"memory is 4.00 TiB", "has", "choose less"});
}

TEST(DaemonFlags, AFileIsRefusedByNameToo) {
  const TempDir dir;
  struct Case {
    std::string text;
    std::vector<std::string> parts;
  };
  const std::vector<Case> cases = {
      {"memroy = '1GiB'\n", {"memroy", "no option", "max-sessions"}},
      {"objects = 'many'\n", {"objects", "whole number"}},
      {"objects = true\n", {"objects", "whole number"}},
      {"objects = [1, 2]\n", {"objects", "neither a string nor a whole number"}},
      {"memory = 1.5\n", {"memory", "neither a string nor a whole number"}},
      {"memory = '8MiB'\nobjects = = 5\n", {"settings.toml", "line 2"}},
      {"[memory]\nsize = 5\n", {"memory", "neither a string nor a whole number"}},
      {"huge-pages = 'perhaps'\n", {"huge-pages", "auto, collapse, hugetlb or off"}},
  };
  const std::string path = dir.path() + "/settings.toml";
  for (const Case& each : cases) {
    SCOPED_TRACE(each.text);
    std::ofstream(path) << each.text;
    ExpectRefused(RunDaemonIn(dir.path(), {"--config", path}), 2, each.parts);
  }
}

TEST(DaemonFlags, AFileSetsWhatNoFlagSets) {
  const TempDir dir;
  const std::string path = dir.path() + "/settings.toml";
  std::ofstream(path) << "memory = \"much\"\nobjects = 100\nhuge-pages = \"off\"\n"
                      << "allow = \"uid:1001 uid:1002:rw gid:100\"\n";
  const TestDaemon daemon({"--config", path, "--memory", "16MiB"});
  EXPECT_EQ(daemon.Status().Counter("arena_bytes"), 16u << 20);
  EXPECT_EQ(daemon.Status().Counter("slots"), 100u);
}

TEST(DaemonDirectory, OfAnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can make one";
  const TempDir dir;
  const std::string theirs = dir.path() + "/theirs";
  ASSERT_EQ(mkdir(theirs.c_str(), 0711), 0);
  ASSERT_EQ(chown(theirs.c_str(), kNobody, kNobody), 0);
  ExpectRefused(RunDaemonIn(theirs, {}), 1,
                {theirs, fmt::format("belongs to user {}", kNobody), "--dir"});
}

TEST(DaemonDirectory, WritableForOthersIsRefused) {
  const TempDir dir;
  const std::string open = dir.path() + "/open";
  ASSERT_EQ(mkdir(open.c_str(), 0700), 0);
  ASSERT_EQ(chmod(open.c_str(), 0777), 0);
  ExpectRefused(RunDaemonIn(open, {}), 1, {open, "777", "chmod 711"});
}

TEST(DaemonDirectory, ThatIsNoneOrCannotBeIsRefused) {
  const TempDir dir;
  const std::string file = dir.path() + "/file";
  std::ofstream(file) << "x";
  ExpectRefused(RunDaemonIn(file, {}), 1, {file, "choose another with --dir"});
  ExpectRefused(RunDaemonIn(dir.path() + "/no/parent", {}), 1, {"no/parent", "Make its parent"});
  const std::string link = dir.path() + "/link";
  ASSERT_EQ(symlink("/", link.c_str()), 0);
  ExpectRefused(RunDaemonIn(link, {}), 1, {link});
  const std::string deep = dir.path() + "/" + std::string(120, 'd');
  ExpectRefused(RunDaemonIn(deep, {}), 1, {"shorter directory", deep});
}

TEST(DaemonDirectory, IsMadeSearchableAndNoMore) {
  const TempDir dir;
  const TestDaemon daemon;
  struct stat facts;
  ASSERT_EQ(stat(daemon.dir().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0711u);
}

TEST(DaemonDirectory, HeldByADaemonIsRefusedWithItsProcess) {
  TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 1000);
  ExpectRefused(RunDaemonIn(daemon.dir(), {"--memory", "16MiB"}), 1,
                {daemon.dir(), fmt::format("process {}", daemon.keeper_pid()), "--dir"});
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
  EXPECT_TRUE(Must(daemon.Connect().Contains(id))) << "new clients find the first one";
}

TEST(DaemonFlags, ReservedPagesThatAreNotThereAreRefusedWithTheCommand) {
  std::ifstream free_pages("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  int count = 0;
  if (free_pages >> count && count >= 8) GTEST_SKIP() << "this host has reserved pages";
  const TempDir dir;
  ExpectRefused(RunDaemonIn(dir.path(), {"--memory", "16MiB", "--huge-pages", "hugetlb"}), 1,
                {"16.00 MiB", "vm.nr_hugepages=8"});
}

TEST(DaemonFlags, AtTheLimitOfSessionsAClientIsToldTheFlag) {
  const TestDaemon daemon({"--memory", "16MiB", "--max-sessions", "2"});
  const Client first = daemon.Connect();
  {
    const Client second = daemon.Connect();
    const auto third = Client::Connect({.dir = daemon.dir()});
    EXPECT_TRUE(Says(third, absl::StatusCode::kResourceExhausted, "--max-sessions"));
  }
  EXPECT_TRUE(Eventually([&] { return Client::Connect({.dir = daemon.dir()}).ok(); }));
}

}  // namespace
}  // namespace penstock::testing
