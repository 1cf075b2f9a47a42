// Wrong use of the programs, and output that cannot be written.
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

TEST(CommandLine, ACommandLineThatMakesNoSenseEndsWith64AndNamesWhatIsWrong) {
  const std::string penstock = ProgramPath("penstock");
  const std::string long_word(100'000, 'x');
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"statsu"}, "'statsu'"},
      {{long_word}, "xxx...'"},
      {{}, "subcommand"},
      {{"status", "--patience", "nan"}, "'nan'"},
      {{"top", "--interval", "0"}, "'0'"},
      {{"top", "--count", "-1"}, "'-1'"},
      {{"objects", "--limit", ""}, "''"},
      {{"objects", "--limit", "99999999999999999999"}, "'99999999999999999999'"},
      {{"objects", "--limit", long_word}, "xxx...'"},
  };
  for (const auto& [arguments, part] : wrong) {
    std::vector<std::string> all = {penstock};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const ProgramOutcome outcome = RunProgram(all);
    EXPECT_EQ(outcome.exit_code, 64) << outcome.output.substr(0, 500);
    EXPECT_TRUE(Contains(outcome.output, part)) << part << " in " << outcome.output.substr(0, 500);
    EXPECT_LT(outcome.output.size(), 1000u);
  }
}

TEST(CommandLine, HelpThatCannotBeWrittenIsSaid) {
  for (const char* const tool : {"penstock", "penstockd"}) {
    const ProgramOutcome outcome =
        RunProgram({"/bin/sh", "-c", ProgramPath(tool) + " --help > /dev/full"});
    EXPECT_EQ(outcome.exit_code, 1) << tool << outcome.output;
  }
}

TEST(CommandLine, AnyBytesOfAPathAreShownToMachinesToo) {
  const ProgramOutcome outcome =
      RunProgram({ProgramPath("penstock"), "doctor", "--json", "--dir", "/tmp/ba\xff\xfe" "d"});
  EXPECT_TRUE(nlohmann::json::accept(outcome.output)) << outcome.output;
}

TEST(CommandLine, APrivateStoreOfAProcessThatIsGoneDoesNotBegin) {
  const TempDir dir;
  const pid_t gone = StartChild([] { return 0; });
  ASSERT_EQ(WaitForChild(gone), 0);
  const ProgramOutcome outcome = RunProgram({ProgramPath("penstockd"), "--dir", dir.path() + "/s",
                                             "--memory", "8MiB", "--owner-pid",
                                             std::to_string(gone)});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_TRUE(Contains(outcome.output, "no process")) << outcome.output;
}

TEST(CommandLine, AFileThatStartsAStoreServesForItsTakeOverToo) {
  TestDaemon daemon;
  const TempDir dir;
  const std::string file = dir.path() + "/penstock.toml";
  std::ofstream(file) << "memory = \"32MiB\"\nclient-quota = \"8MiB\"\n";
  const pid_t before = daemon.daemon_pid();
  const pid_t heir = StartChild([&] {
    execl(ProgramPath("penstockd").c_str(), "penstockd", "--config", file.c_str(), "--take-over",
          "--dir", daemon.dir().c_str(), nullptr);
    return 99;
  });
  NextDaemon(daemon, before);
  Client client = daemon.Connect();
  EXPECT_TRUE(Says(client.Create(9 << 20), absl::StatusCode::kResourceExhausted, "8.00 MiB"));
  kill(heir, SIGTERM);
  EXPECT_EQ(WaitForChild(heir), 0);
}

TEST(CommandLine, StatusWaitsForADaemonThatIsAboutToBegin) {
  const TempDir dir;
  const std::string start = ProgramPath("penstockd") + " --dir " + dir.path() +
                            " --memory 16MiB 2> /dev/null & D=$!; ";
  const std::string look = ProgramPath("penstock") + " status --wait 20 --dir " + dir.path();
  const ProgramOutcome there =
      RunProgram({"/bin/sh", "-c", start + look + "; S=$?; kill $D; wait $D; exit $S"});
  EXPECT_EQ(there.exit_code, 0) << there.output;
  const ProgramOutcome never = RunProgram(
      {ProgramPath("penstock"), "status", "--wait", "0.1", "--dir", dir.path() + "/none"});
  EXPECT_EQ(never.exit_code, 1);
  EXPECT_TRUE(Contains(never.output, "no Penstock daemon answers")) << never.output;
}

}  // namespace
}  // namespace penstock::testing
