// penstock-bench crowd: many callers at once. Who waits for whom, and what they all take.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include <penstock/client.h>
#include <penstock/runtime.h>

#include "bench/harness/clock.h"
#include "bench/harness/interrupt.h"
#include "bench/harness/paired_runner.h"
#include "bench/penstock-bench/crowd_processes.h"
#include "bench/penstock-bench/runtime_functions.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr int64_t kTaskNs = 1'000'000;
constexpr uint64_t kQueuedTasks = 100'000;
constexpr int kSingles = 40;
// Longer than a lease is kept without use: each single task asks the node anew.
constexpr int64_t kBetweenSinglesNs = 80'000'000;
constexpr int kCrowd = 100;
constexpr int kSyncCalls = 3000;
constexpr uint64_t kDropped = 1'000'000;

int SleepOneMs() {
  SleepNs(kTaskNs);
  return 1;
}

// Calls the actor for so long, five hundred at a time.
int FloodActor(ActorHandle<Echo> echo, int seconds) {
  sched_param none{};
  sched_setscheduler(0, SCHED_IDLE, &none);
  const int64_t start_ns = NowNs();
  int wrong = 0;
  while (SecondsSince(start_ns) < seconds) {
    std::vector<ObjectRef<uint64_t>> refs;
    for (uint64_t i = 0; i < 500; ++i) refs.push_back(echo.Task(&Echo::Next).Remote(i));
    for (uint64_t i = 0; i < 500; ++i) wrong += *refs[i].Get() != i + 1;
  }
  return wrong;
}

// Calls every one of them, and stays until all of the crowd have.
class Door {
 public:
  bool Enter() { return ++inside_ >= kCrowd; }
  bool IsFull() const { return inside_ >= kCrowd; }

 private:
  int inside_ = 0;
};
Door* MakeDoor() { return new Door(); }
int VisitAll(std::vector<ActorHandle<Echo>> actors, ActorHandle<Door> door) {
  for (uint64_t round = 0; round < 3; ++round) {
    for (const auto& actor : actors) {
      // Then the door is never full, and the measurement fails.
      if (*actor.Task(&Echo::Next).Remote(round).Get() != round + 1) return 1;
    }
  }
  door.Task(&Door::Enter).Remote().Get();
  // One that counts the memory lets us go by ending the job.
  while (true) SleepNs(1'000'000'000);
}
PENSTOCK_REMOTE(SleepOneMs, FloodActor, MakeDoor, &Door::Enter, &Door::IsFull, VisitAll);

// Another driver, that queues far more than there is room for.
absl::Status FloodWithTasks(Member& member, const RoleOrder& order, RoleAnswer&) {
  Init({.address = order.text});
  auto refs = std::make_shared<std::vector<ObjectRef<int>>>();
  for (uint64_t i = 0; i < order.count; ++i) refs->push_back(Task(SleepOneMs).Remote());
  (*refs)[0].Get();
  member.belongings = refs;
  return absl::OkStatus();
}
absl::Status CountAndLeave(Member& member, const RoleOrder&, RoleAnswer& answer) {
  using Refs = std::shared_ptr<std::vector<ObjectRef<int>>>;
  const Refs refs = std::any_cast<Refs>(member.belongings);
  const auto waited = Wait(*refs, refs->size(), absl::ZeroDuration());
  answer.start_ns = static_cast<int64_t>(waited.unready.size());
  member.belongings.reset();
  refs->clear();
  Shutdown();
  return absl::OkStatus();
}

absl::Status BesideQueuedTasks(Crew& crew, const RunOptions& options, Report& report) {
  const ClusterInfo info = Init({.num_cpus = 2, .memory = 256 << 20});
  Part flood{0, FloodWithTasks, {}};
  flood.order.count = options.quick ? kQueuedTasks / 20 : kQueuedTasks;
  std::snprintf(flood.order.text, sizeof(flood.order.text), "%s", info.session_dir.c_str());
  PENSTOCK_RETURN_IF_ERROR(crew.Play({&flood, 1}).status());
  std::vector<double> singles;
  for (int i = 0; i < (options.quick ? 3 : kSingles); ++i) {
    SleepNs(kBetweenSinglesNs);
    const int64_t start_ns = NowNs();
    if (*Task(NextOf).Remote(static_cast<uint64_t>(i)).Get() != static_cast<uint64_t>(i) + 1) {
      report.verification.Fail("task_beside_flood_worst_ms: a wrong result");
    }
    singles.push_back(SecondsSince(start_ns) * 1000);
  }
  const pid_t daemon = NamedAmong(FamilyOf(getpid()), "penstock-daemon");
  const auto anonymous = static_cast<double>(StatusBytes(daemon, "RssAnon"));
  const Part count{0, CountAndLeave, {}};
  PENSTOCK_ASSIGN_OR_RETURN(const auto answers, crew.Play({&count, 1}));
  std::sort(singles.begin(), singles.end());
  // The worst of them, since the question is whether one ever waits for the flood.
  Result result = Figure("task_beside_flood_worst_ms", "ms", singles.back());
  result.operations = singles.size();
  result.more["median"] = singles[singles.size() / 2];
  result.more["queued_at_the_end"] = answers[0].start_ns;
  if (answers[0].start_ns == 0) {
    report.verification.Fail("task_beside_flood_worst_ms: the other queue was empty before");
  }
  report.results.push_back(std::move(result));
  report.results.push_back(Figure("daemon_rss_anon_mb", "MB", anonymous / 1e6));
  if (anonymous == 0) report.verification.Fail("daemon_rss_anon_mb: the daemon was not found");
  Shutdown();
  return absl::OkStatus();
}

absl::Status BesideFloodingCallers(const RunOptions& options, Report& report) {
  const int crowd = options.quick ? 10 : kCrowd;
  Init({.num_cpus = static_cast<uint32_t>(crowd) + 2, .max_workers = 256,
        .memory = 256 << 20});
  const auto echo = Actor(MakeEcho).Remote();
  echo.Task(&Echo::Next).Remote(0).Get();
  std::vector<ObjectRef<int>> floods;
  for (int i = 0; i < crowd; ++i) {
    floods.push_back(Task(FloodActor).Remote(echo, options.quick ? 3 : 30));
  }
  SleepNs(options.quick ? 1'000'000'000 : 8'000'000'000);  // all of them are there by then
  Sample calls;
  const int64_t begin_ns = NowNs();
  const double longest = options.quick ? 1 : 15;
  for (int i = 0; i < kSyncCalls && SecondsSince(begin_ns) < longest; ++i) {
    PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
    const int64_t start_ns = NowNs();
    const auto number = static_cast<uint64_t>(i);
    if (*echo.Task(&Echo::Next).Remote(number).Get() != number + 1) {
      report.verification.Fail("actor_beside_100_ms: a wrong result");
    }
    calls.Add(SecondsSince(start_ns) * 1000);
  }
  for (const auto& flood : floods) {
    if (*flood.Get() != 0) report.verification.Fail("actor_beside_100_ms: a flood's result");
  }
  Result result;
  result.name = "actor_beside_100_ms";
  result.unit = "ms";
  ConcludeRun(Kind::kLatency, calls, result);
  report.results.push_back(std::move(result));
  Shutdown();
  return absl::OkStatus();
}

absl::Status MemoryOfACrowd(const RunOptions& options, Report& report) {
  if (options.quick) {
    report.AddNote("quick: the memory of 100 callers of 100 actors was not measured");
    return absl::OkStatus();
  }
  Init({.num_cpus = kCrowd + 2, .max_workers = 256, .memory = 256 << 20});
  const auto door = Actor(MakeDoor).Remote();
  std::vector<ActorHandle<Echo>> actors;
  for (int i = 0; i < kCrowd; ++i) actors.push_back(Actor(MakeEcho).Remote());
  std::vector<ObjectRef<int>> visits;
  for (int i = 0; i < kCrowd; ++i) visits.push_back(Task(VisitAll).Remote(actors, door));
  const int64_t start_ns = NowNs();
  while (!*door.Task(&Door::IsFull).Remote().Get()) {
    PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
    if (SecondsSince(start_ns) > 120) {
      return absl::DeadlineExceededError("100 callers of 100 actors were not done after 120 s");
    }
    SleepNs(50'000'000);
  }
  const std::vector<pid_t> family = FamilyOf(getpid());
  uint64_t bytes = 0;
  for (const pid_t pid : family) bytes += PssWithoutArena(pid);
  Result result = Figure("crowd_100x100_pss_mb", "MB", static_cast<double>(bytes) / 1e6);
  result.more["processes"] = family.size();
  report.results.push_back(std::move(result));
  Shutdown();
  return absl::OkStatus();
}

// A million calls and a million puts, whose refs are dropped as they come.
absl::Status NothingIsLeft(const RunOptions& options, Report& report) {
  const uint64_t count = options.quick ? kDropped / 100 : kDropped;
  const ClusterInfo info = Init({.num_cpus = 2, .memory = 256 << 20});
  const auto echo = Actor(MakeEcho).Remote();
  for (uint64_t i = 0; i < count; ++i) {
    const auto put = Put(i);
    // Every other one leaves the process, and so becomes an object of the store.
    const auto called = i % 2 == 0 ? echo.Task(&Echo::NextOfRef).Remote(std::vector{put})
                                   : echo.Task(&Echo::Next).Remote(put);
    if (i % 64 == 0 && *called.Get() != i + 1) {
      report.verification.Fail("left_behind_bytes: a wrong result");
    }
  }
  echo.Task(&Echo::Next).Remote(0).Get();
  uint64_t left = 0;
  const int64_t start_ns = NowNs();
  do {
    PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus status, QueryStatus(info.session_dir));
    left = status.Counter("object_bytes");
    SleepNs(5'000'000);
  } while (left != 0 && SecondsSince(start_ns) < 10);
  report.results.push_back(Figure("left_behind_bytes", "B", static_cast<double>(left)));
  report.results.back().more["calls_and_puts"] = count;
  if (left != 0) report.verification.Fail("left_behind_bytes: objects were left behind");
  Shutdown();
  return absl::OkStatus();
}

absl::Status Measure(Crew& crew, const RunOptions& options, Report& report) {
  PENSTOCK_RETURN_IF_ERROR(BesideQueuedTasks(crew, options, report));
  PENSTOCK_RETURN_IF_ERROR(BesideFloodingCallers(options, report));
  PENSTOCK_RETURN_IF_ERROR(MemoryOfACrowd(options, report));
  return NothingIsLeft(options, report);
}

}  // namespace

absl::Status RunCrowd(Crew& crew, const RunOptions& options, Report& report) {
  report.host.io = "epoll";
  report.host.pages = "none: calls travel in rings";
  absl::Status status;
  try {
    status = Measure(crew, options, report);
  } catch (const Error& error) {
    status = absl::UnavailableError(error.what());
  }
  Shutdown();
  return status;
}

}  // namespace penstock::bench
