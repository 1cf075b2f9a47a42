// penstock-bench: what this host can do, and how close the store comes to it.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>
#include <penstock/runtime.h>

#include "bench/harness/crew.h"
#include "bench/harness/interrupt.h"
#include "bench/harness/report.h"
#include "bench/harness/run_options.h"
#include "bench/harness/withhold.h"
#include "bench/penstock-bench/first_touch.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/copy_plan.h"
#include "store/base/host_limits.h"
#include "store/base/processor.h"

namespace {

using penstock::bench::RunOptions;
using penstock::bench::Subcommand;

struct Entry {
  const char* name;
  const char* description;
  Subcommand run;
};
constexpr Entry kEntries[] = {
    {"floor", "copies, wake-ups and system calls of this machine, without any store",
     penstock::bench::RunFloor},
    {"get", "get and release of sealed objects, in one process and in two",
     penstock::bench::RunGet},
    {"put", "small objects by the million, large ones against a plain copy",
     penstock::bench::RunPut},
    {"copies", "which copy kernel is taken for which size, found out again and again under load",
     penstock::bench::RunCopies},
    {"handoff", "from a producer to a consumer that waits, against a bare relay",
     penstock::bench::RunHandoff},
    {"spill", "four times the memory to disk and back, against plain writes and reads",
     penstock::bench::RunSpill},
    {"task", "tasks that do nothing: one at a time, by the million, and the first of all",
     penstock::bench::RunTask},
    {"actor", "calls of an actor that do nothing: one at a time and by the million",
     penstock::bench::RunActor},
    {"crowd", "many callers at once: who waits for whom, and what all of them take",
     penstock::bench::RunCrowd},
    {"churn", "creates and deletes in a store held at 90%: waste, refusals, moves, gets",
     penstock::bench::RunChurn},
    {"restart", "a daemon killed, and handed over, under busy clients: how long they wait",
     penstock::bench::RunRestart},
    {"turns", "the daemon's longest turn under much of something, and what others feel of it",
     penstock::bench::RunTurns},
    {"sessions", "what thousands of idle sessions cost those that work, and the host",
     penstock::bench::RunSessions},
    {"ps", "the sharded parameter server against its own traffic as plain loops",
     penstock::bench::RunPs},
};

int Fail(const absl::Status& status) {
  std::cerr << "penstock-bench: " << std::string(status.message()) << "\n";
  return 1;
}

int Run(const Entry& entry, const RunOptions& options) {
  // First of all: the crew is forked while this process has no thread.
  auto crew = penstock::bench::Crew::Start();
  if (!crew.ok()) return Fail(crew.status());
  penstock::bench::CatchInterrupts();
  penstock::bench::Report report;
  report.bench = entry.name;
  report.quick = options.quick;
  report.host = penstock::bench::DescribeHost();
  const absl::Status status = entry.run(*crew, options, report);
  if (!status.ok()) return Fail(status);
  report.host.copies =
      (penstock::CopyPlanInUse() == 0 ? "not measured for this process, by default " : "") +
      penstock::Describe(penstock::Completed(penstock::UnpackCopyPlan(penstock::CopyPlanInUse()),
                                             penstock::ThisProcessor()));
  std::cout << (options.json ? report.ToJson().dump(2) + "\n" : report.ToTable());
  std::cout.flush();
  if (!std::cout) return Fail(absl::DataLossError("the report could not be written"));
  return report.verification.ok() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  penstock::FailWritesBeyondFileLimit();
  // Started as a worker of `task`, `actor` or `ps`: it serves in here, and does not return.
  if (getenv("PENSTOCK_WORKER") != nullptr) penstock::Init();
  CLI::App app{
      "Measures what this host can do and what the store makes of it. Floor and result\n"
      "are sampled alternately in one run; a result marked NOISY proves nothing."};
  app.set_version_flag("--version", "penstock-bench 0.1.0");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  penstock-bench floor                  a table of this machine's floors\n"
      "  penstock-bench put --json             one JSON object on standard output\n"
      "  penstock-bench get --quick            a smoke test of a few seconds\n"
      "Run it on an idle machine. Exit status 1: it could not measure, or what it moved\n"
      "came out wrong.");
  RunOptions options;
  for (const Entry& entry : kEntries) {
    CLI::App* command = app.add_subcommand(entry.name, entry.description);
    command->add_flag("--json", options.json, "one JSON object instead of a table");
    command->add_flag("--quick", options.quick, "few samples, small counts: proves nothing");
    command->add_option("--seconds", options.seconds,
                        "longest time for one result until it counts as noisy (180)")
        ->check(CLI::Range(1.0, 3600.0));
  }
  app.get_subcommand("ps")->add_flag(
      "--table", options.table,
      "1, 2, 4 and 8 shards by 1, 2, 4 and 8 workers instead of the rows");
  for (const char* name : {"put", "copies", "floor"}) {
    app.get_subcommand(name)->add_option(
        "--withhold", options.withhold,
        "leave these features of the processor unused, by the floor too: avx512, avx2");
  }
  app.get_subcommand("copies")
      ->add_option("--repeats", options.repeats, "choices under load (10)")
      ->check(CLI::Range(1, 1000));
  CLI::App* spill = app.get_subcommand("spill");
  spill->add_option("--dir", options.dir,
                    "where to make the files: a directory on the disk (/var/tmp)");
  spill->add_option("--memory", options.spill_memory,
                    "size of the arena; four times as much is put (512MiB)");
  spill->add_option("--object-bytes", options.object_bytes,
                    "sizes of the objects, which take turns (4MiB,32MiB)")
      ->delimiter(',');
  CLI::App* churn = app.get_subcommand("churn");
  churn->add_option("--memory", options.memory, "size of the arena (8GiB)");
  churn->add_option("--creates", options.creates, "objects to create (10000000)");
  churn->add_option("--pinned", options.pinned, "part of the objects held by views (0)")
      ->check(CLI::Range(0.0, 0.9));
  churn->add_option("--seed", options.seed, "of sizes and deaths (1)");
  CLI::App* restart = app.get_subcommand("restart");
  restart->add_option("--objects", options.objects, "objects to find again (1000000)")
      ->check(CLI::Range(1, 1'100'000));
  restart->add_option("--clients", options.clients, "busy processes (16)")
      ->check(CLI::Range(1, 64));
  restart->add_option("--kills", options.kills, "times that the daemon is killed (50)")
      ->check(CLI::Range(0, 10'000));
  restart->add_option("--take-overs", options.take_overs,
                      "times that another penstockd takes over (20)")
      ->check(CLI::Range(0, 10'000));
  CLI::App* turns = app.get_subcommand("turns");
  turns->add_option("--scenario", options.scenarios,
                    "a pinned, b restores, c deaths, d get_many, e create_many or f waiters "
                    "(all); may be given again");
  turns->add_option("--dir", options.dir, "where restores have their spill directory (/var/tmp)");
  turns->footer(
      "Examples:\n"
      "  penstock-bench turns                          all scenarios, some minutes\n"
      "  penstock-bench turns --scenario f --json      a million waiters, as JSON\n"
      "  penstock-bench turns --scenario deaths --sessions 1000\n"
      "Exit status 1: a count was not reached, or a bound not kept; it says which.");
  CLI::App* sessions = app.get_subcommand("sessions");
  sessions->footer(
      "Examples:\n"
      "  penstock-bench sessions                  1, 1,000 and 4,096 sessions\n"
      "  penstock-bench sessions --sessions 2500  where the host has not enough descriptors\n"
      "Exit status 1: a bound was not kept; it says which.");
  for (CLI::App* const command : {turns, sessions}) {
    command->add_option("--sessions", options.sessions, "how many are many (4096)")
        ->check(CLI::Range(2, 8000));
  }
  app.get_subcommand("floor")->add_option(
      "--only", options.only,
      "this floor alone (may be repeated); the ps_ ones of full size even with --quick");
  penstock::bench::FirstTouchOptions first_touch;
  CLI::App* fresh = app.add_subcommand(penstock::bench::kFirstTouchCommand)->group("");
  fresh->add_option("--dir", first_touch.dir)->required();
  fresh->add_option("--bytes", first_touch.bytes)->required();
  fresh->add_option("--seed", first_touch.seed)->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  // What the environment withholds from Penstock, the floors do without as well.
  const char* const withheld = std::getenv(penstock::kWithholdVariable);
  if (options.withhold.empty() && withheld != nullptr) options.withhold = withheld;
  if (const absl::Status status = penstock::bench::Withhold(options.withhold, argv);
      !status.ok()) {
    std::cerr << "penstock-bench: --withhold: " << std::string(status.message()) << "\n";
    return 2;
  }
  if (app.got_subcommand(fresh)) return penstock::bench::RunFirstTouchProcess(first_touch);
  for (const Entry& entry : kEntries) {
    if (app.got_subcommand(entry.name)) return Run(entry, options);
  }
  return 1;
}
