// penstock-stress: many client processes do everything at once on a store that is too small,
// and a third of them is killed again and again.
//
//   penstock-stress [--processes 64] [--threads 4] [--seconds 60] [--memory 128MiB] [--seed N]
//   penstock-stress --long     the full count; skips itself without PENSTOCK_TEST_LONG
//
// Every payload follows from its object's seed and is checked in full wherever it is read;
// a get may fail only as the log of all processes allows; at the end the store must hold
// what the log says, and after that nothing.
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include <fmt/format.h>

#include "store/base/units.h"
#include "tests/integration/stress/driver.h"
#include "tests/support/test_daemon.h"

namespace penstock::stress {
namespace {

constexpr int kSkipped = 77;
constexpr uint64_t kMostObjects = 8'000'000;

[[noreturn]] void Refuse(const std::string& why) {
  fmt::print(stderr, "penstock-stress: {}; see the head of tests/integration/stress/main.cc\n",
             why);
  exit(2);
}

StressPlan Parse(int argc, char** argv) {
  StressPlan plan;
  plan.memory_bytes = 128 * kMiB;
  plan.seed = static_cast<uint64_t>(time(nullptr));
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--long") {
      if (getenv("PENSTOCK_TEST_LONG") == nullptr) {
        fmt::print("Skipped: takes more than a minute; set PENSTOCK_TEST_LONG=1\n");
        exit(kSkipped);
      }
      continue;
    }
    if (i + 1 == argc) Refuse(flag + " is unknown, or lacks its value");
    const auto value = ParseBytes(argv[++i]);
    if (!value.ok() || *value == 0) Refuse(flag + " takes a number from 1 up");
    if (flag == "--processes") plan.processes = static_cast<uint32_t>(*value);
    else if (flag == "--threads") plan.threads = static_cast<uint32_t>(*value);
    else if (flag == "--seconds") plan.seconds = static_cast<uint32_t>(*value);
    else if (flag == "--memory") plan.memory_bytes = *value;
    else if (flag == "--seed") plan.seed = *value;
    else Refuse("unknown flag " + flag);
  }
  if (plan.processes * plan.threads > SharedLog::kMostThreads) {
    Refuse(fmt::format("more than {} threads in all", SharedLog::kMostThreads));
  }
  return plan;
}

void PrintTable(const StressPlan& plan, const SharedLog& log, uint64_t kills) {
  fmt::print("\n  {:<20}{:>14}\n", "processes killed", kills);
  for (uint32_t i = 0; i < static_cast<uint32_t>(Count::kCounts); ++i) {
    const auto count = static_cast<Count>(i);
    fmt::print("  {:<20}{:>14}\n", std::string(NameOf(count)), log.Get(count));
  }
  fmt::print("  {:<20}{:>13.1f}x\n", "made / store",
             static_cast<double>(log.Get(Count::kMadeBytes)) /
                 static_cast<double>(plan.memory_bytes));
}

// In a process of its own, whose only children are the clients.
int Drive(const StressPlan& plan) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  SharedLog* const log = SharedLog::Make(kMostObjects);
  const auto before = QueryStatus(plan.dir);
  Driver driver(plan, log);
  bool fine = driver.RunProcesses();
  if (fine) fine = JudgeStore(plan, log);
  PrintTable(plan, *log, driver.kills());
  const auto after = QueryStatus(plan.dir);
  if (!before.ok() || !after.ok() ||
      before->Counter("daemon_pid") != after->Counter("daemon_pid")) {
    log->Fail("the daemon died on the way");
  }
  if (log->Get(Count::kMadeBytes) < 10 * plan.memory_bytes) {
    log->Fail("less than ten times the store was made: run it longer, or with less --memory");
  }
  if (log->full()) log->Fail("the log of objects is full: raise kMostObjects");
  if (log->failures() > 0) {
    fmt::print("\nFAILED: {} failures (seed {})\n{}", log->failures(), plan.seed,
               log->FailureTexts());
  }
  fflush(stdout);
  return fine && log->failures() == 0 ? 0 : 1;
}

}  // namespace

int Main(int argc, char** argv) {
  StressPlan plan = Parse(argc, argv);
  fmt::print("penstock-stress: {} processes x {} threads, {} s, a store of {}, seed {}\n",
             plan.processes, plan.threads, plan.seconds, FormatBytes(plan.memory_bytes),
             plan.seed);
  testing::TestDaemon daemon(
      {"--memory", std::to_string(plan.memory_bytes), "--log-level", "warn"});
  daemon.WaitPopulated();
  plan.dir = daemon.dir();
  const int code = testing::RunInChild([&plan] { return Drive(plan); });
  if (code != 0) fmt::print("\nThe daemon said:\n{}", daemon.Output());
  const int ended = daemon.Stop();
  if (ended != 0) fmt::print("FAILED: the daemon ended with {}\n", ended);
  if (code == 0 && ended == 0) fmt::print("\npassed\n");
  return code == 0 && ended == 0 ? 0 : 1;
}

}  // namespace penstock::stress

int main(int argc, char** argv) { return penstock::stress::Main(argc, argv); }
