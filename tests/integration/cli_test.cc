// The operator's programs: help, versions, and `penstock status` for people and machines.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

TEST(CommandLine, HelpNamesEveryFlagWithItsUnitAndAnExample) {
  const ProgramOutcome daemon = RunProgram({ProgramPath("penstockd"), "--help"});
  EXPECT_EQ(daemon.exit_code, 0);
  for (const char* part : {"--dir", "--memory", "4MiB to 4TiB", "--objects", "--huge-pages",
                           "auto, collapse, hugetlb or off", "--log-level",
                           "--max-sessions", "--config", "SIGTERM", "SIGHUP",
                           "/tmp/penstock-<uid>", "--allow WHO  ", "Examples"}) {
    EXPECT_TRUE(Contains(daemon.output, part)) << part;
  }
  const ProgramOutcome tool = RunProgram({ProgramPath("penstock"), "--help"});
  EXPECT_EQ(tool.exit_code, 0);
  EXPECT_TRUE(Contains(tool.output, "status"));
  EXPECT_TRUE(Contains(tool.output, "penstock status --json"));
  const ProgramOutcome status = RunProgram({ProgramPath("penstock"), "status", "--help"});
  EXPECT_EQ(status.exit_code, 0);
  EXPECT_TRUE(Contains(status.output, "PENSTOCK_DIR"));
}

TEST(CommandLine, EachProgramTellsItsVersion) {
  for (const char* program : {"penstockd", "penstock"}) {
    const ProgramOutcome outcome = RunProgram({ProgramPath(program), "--version"});
    EXPECT_EQ(outcome.exit_code, 0) << program;
    EXPECT_EQ(outcome.output, fmt::format("{} 0.1.0\n", program));
  }
}

TEST(CommandLine, AnEmptyDirectoryIsNotTakenForTheDefaultOne) {
  const ProgramOutcome outcome = RunProgram({ProgramPath("penstock"), "status", "--dir", ""});
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_TRUE(Contains(outcome.output, "--dir: it is empty, it takes a path")) << outcome.output;
}

TEST(CommandLine, StatusShowsPeopleWhatTheStoreHolds) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  PutPattern(client, 1, 3 << 20, {.evictable = true});
  Must(client.Sync());
  const ProgramOutcome outcome =
      RunProgram({ProgramPath("penstock"), "status", "--dir", daemon.dir()});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const std::string& part :
       {daemon.dir(), fmt::format("daemon process {}", daemon.daemon_pid()),
        std::string("16.00 MiB"), std::string("100.0%"),
        std::string("3.00 MiB of it evictable"), std::string("sessions")}) {
    EXPECT_TRUE(Contains(outcome.output, part)) << part << " in\n" << outcome.output;
  }
}

TEST(CommandLine, StatusAsJsonIsOneObjectWithEveryCounter) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  PutPattern(client, 1, 1000);
  Must(client.Sync());
  const ProgramOutcome outcome =
      RunProgram({ProgramPath("penstock"), "status", "--dir", daemon.dir(), "--json"});
  ASSERT_EQ(outcome.exit_code, 0);
  const auto json = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(json.at("arena_bytes"), 16 << 20);
  EXPECT_EQ(json.at("populated_bytes"), 16 << 20);
  EXPECT_EQ(json.at("objects"), 1);
  EXPECT_EQ(json.at("sealed"), 1);
  EXPECT_EQ(json.at("sessions"), 1);
  EXPECT_EQ(json.at("daemon_pid"), daemon.daemon_pid());
  EXPECT_TRUE(json.at("notes").is_array());
  for (const auto& [name, value] : daemon.Status().counters) {
    EXPECT_TRUE(json.contains(name)) << name;
  }
}

TEST(CommandLine, DoctorLooksAtThisHostAndAtTheDaemonOnIt) {
  const TestDaemon daemon({"--memory", "16MiB"});
  const ProgramOutcome table =
      RunProgram({ProgramPath("penstock"), "doctor", "--dir", daemon.dir()});
  EXPECT_EQ(table.exit_code, 0);
  for (const std::string& part :
       {std::string("to improve"), std::string("io_uring"), std::string("huge pages"),
        fmt::format("of daemon process {}", daemon.daemon_pid())}) {
    EXPECT_TRUE(Contains(table.output, part)) << part << " in\n" << table.output;
  }
  const ProgramOutcome outcome =
      RunProgram({ProgramPath("penstock"), "doctor", "--dir", daemon.dir(), "--json"});
  EXPECT_EQ(outcome.exit_code, 0);
  const auto json = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(json.at("can_run"), true);
  EXPECT_GE(json.at("findings").size(), 15u);
  const ProgramOutcome help = RunProgram({ProgramPath("penstock"), "doctor", "--help"});
  EXPECT_TRUE(Contains(help.output, "Examples")) << help.output;
}

TEST(CommandLine, WhatIsWrongIsSaidWithTheNextStep) {
  const TempDir dir;
  ProgramOutcome outcome =
      RunProgram({ProgramPath("penstock"), "status", "--dir", dir.path()});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_TRUE(Contains(outcome.output, "Start one with penstockd")) << outcome.output;
  outcome = RunProgram({ProgramPath("penstock")});
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_TRUE(Contains(outcome.output, "--help")) << outcome.output;
  outcome = RunProgram({ProgramPath("penstock"), "stats"});
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_TRUE(Contains(outcome.output, "--help")) << outcome.output;
}

TEST(CommandLine, AnUnknownCommandIsNamedAndTheOnesThatThereAreAreListed) {
  const ProgramOutcome outcome = RunProgram({ProgramPath("penstock"), "stats"});
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_TRUE(Contains(outcome.output, "'stats'")) << outcome.output;
  EXPECT_TRUE(Contains(outcome.output, "status objects memory")) << outcome.output;
}

// A full disk, or a pipe that nobody reads, is no success.
TEST(CommandLine, OutputThatIsNotWrittenIsAFailure) {
  const TestDaemon daemon;
  for (const std::string& command : {std::string("status"), std::string("objects"),
                                     std::string("status --json"), std::string("doctor")}) {
    const ProgramOutcome outcome =
        RunProgram({"/bin/sh", "-c", ProgramPath("penstock") + " " + command + " --dir " +
                                         daemon.dir() + " >/dev/full"});
    EXPECT_EQ(outcome.exit_code, 1) << command;
    EXPECT_TRUE(Contains(outcome.output, "could not be written")) << outcome.output;
  }
}

}  // namespace
}  // namespace penstock::testing
