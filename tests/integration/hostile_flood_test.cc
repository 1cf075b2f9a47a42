// Many hostile processes at once, each in its own way, and one bystander whose calls are
// answered and whose bytes are right all along. What the bystander's calls took, quiet and in
// the flood, is printed and not judged: the host decides it, too.
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "tests/integration/attackers.h"
#include "tests/integration/helpers.h"
#include "tests/integration/raw_session.h"

namespace penstock::testing {
namespace {

bool IsLong() { return getenv("PENSTOCK_TEST_LONG") != nullptr; }
uint64_t Messages() { return IsLong() ? 1'000'000 : 100'000; }

// Of all processes that fork from here.
AttackCounts& SharedCounts() {
  void* const memory = mmap(nullptr, sizeof(AttackCounts), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) GiveUp("no memory for the counts");
  return *new (memory) AttackCounts;
}

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

class Latencies {
 public:
  void Add(int64_t ns) { all_.push_back(ns); }
  size_t count() const { return all_.size(); }
  double AtUs(double part) {
    std::sort(all_.begin(), all_.end());
    return static_cast<double>(all_[static_cast<size_t>(
               part * static_cast<double>(all_.size() - 1))]) / 1e3;
  }

 private:
  std::vector<int64_t> all_;
};

struct Measured {
  Latencies put_get_delete;
  Latencies question;  // one that only the daemon can answer
};

// Whose objects are checked while others attack.
class Bystander {
 public:
  explicit Bystander(const TestDaemon& daemon) : client_(daemon.Connect()) {
    for (uint64_t i = 0; i < 50; ++i) ids_.push_back(PutPattern(client_, i, 100 * i + 1));
    pinned_ = Must(client_.Get(ids_[7]));
  }

  void Work(Measured& measured) {
    const uint64_t round = round_++;
    const std::vector<std::byte> bytes = Pattern(round, 4096);
    int64_t began = NowNs();
    const ObjectId id = Must(client_.Put(bytes, {.deadline = absl::Minutes(2)}));
    const bool is_right = HasPattern(Must(client_.Get(id, absl::Minutes(2))).data(), round);
    Must(client_.Delete(id));
    measured.put_get_delete.Add(NowNs() - began);
    ASSERT_TRUE(is_right) << round;
    began = NowNs();
    ASSERT_FALSE(Must(client_.Contains(ObjectId::FromName("nobody makes this"))));
    measured.question.Add(NowNs() - began);
    const uint64_t old = round % ids_.size();
    ASSERT_TRUE(HasPattern(Must(client_.Get(ids_[old])).data(), old));
    ASSERT_TRUE(HasPattern(pinned_.data(), 7));
    usleep(200);
  }

 private:
  Client client_;
  std::vector<ObjectId> ids_;
  ObjectView pinned_;
  uint64_t round_ = 0;
};

// `quiet`: what it is compared with.
void Print(const char* what, const char* when, Latencies& all, Latencies& quiet) {
  fmt::print("  {:16} {:24} p50 {:7.1f} us, p99 {:7.1f} us, worst {:8.1f} us ({}): p99 {:.2f} x\n",
             what, when, all.AtUs(0.5), all.AtUs(0.99), all.AtUs(1), all.count(),
             all.AtUs(0.99) / quiet.AtUs(0.99));
}

struct Kind {
  const char* name;
  AttackFunction attack;
  uint64_t messages;  // before it begins anew
};
constexpr Kind kKinds[] = {{"socket", FloodTheSocket, 5000},
                           {"ring", FloodTheRing, 20'000},
                           {"scribble", ScribbleOverTheOwnSegment, 5000},
                           {"never read", AskAndNeverRead, 20'000},
                           {"descriptors", AbuseDescriptors, 1000},
                           {"idle", HoldIdleConnections, 0}};

// The attackers run under SCHED_IDLE, but at a tick Linux gives even them a slice of the CPU,
// which is longer than all that is measured here: not of a real-time process's. Daemon and
// bystander have a core each, which attackers use whenever those do not.
void KeepFromOthers(pid_t process, int cpu) {
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(cpu, &own);
  const sched_param lowest{.sched_priority = 1};
  if (sched_setaffinity(process, sizeof(own), &own) != 0 ||
      sched_setscheduler(process, SCHED_RR | SCHED_RESET_ON_FORK, &lowest) != 0) {
    fmt::print("  two cores or SCHED_RR (CAP_SYS_NICE) are refused here: what the attackers "
               "take of the CPU is measured, too\n");
  }
}

TEST(HostileFlood, IsSurvivedAndABystanderServedAllAlong) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  const pid_t pid = daemon.daemon_pid();
  Bystander bystander(daemon);
  Measured quiet, kept_apart, flood, each;
  for (int i = 0; i < 200; ++i) bystander.Work(each);  // warm
  for (int i = 0; i < 3000 && !::testing::Test::HasFatalFailure(); ++i) bystander.Work(quiet);
  KeepFromOthers(pid, 1);
  KeepFromOthers(getpid(), 0);
  for (int i = 0; i < 3000 && !::testing::Test::HasFatalFailure(); ++i) {
    bystander.Work(kept_apart);
  }
  const size_t descriptors = OpenDescriptors(pid);

  AttackCounts& counts = SharedCounts();
  const int64_t began = NowNs();
  std::vector<pid_t> attackers;
  uint64_t seed = 1;
  for (const Kind& kind : kKinds) {
    attackers.push_back(StartAttack(kind.attack, {.dir = daemon.dir(),
                                                  .seed = seed++,
                                                  .messages = kind.messages,
                                                  .counts = &counts}));
  }
  // All of them, all the time.
  const auto all_run = [&] {
    return std::all_of(attackers.begin(), attackers.end(), [](pid_t a) { return Runs(a); });
  };
  while (counts.messages.load() < Messages() && all_run() &&
         !::testing::Test::HasFatalFailure()) {
    bystander.Work(flood);
  }
  const double seconds = static_cast<double>(NowNs() - began) / 1e9;
  const uint64_t messages = counts.messages.load();
  counts.stop.store(true);
  for (size_t i = 0; i < attackers.size(); ++i) {
    EXPECT_EQ(WaitForChild(attackers[i]), 0) << kKinds[i].name;
  }
  fmt::print("{} random and mutated messages in {:.1f} s, {} of them such as no right client "
             "sends; {} whose answers nobody read, {} idle connections; {} sessions, {} of "
             "them broken, {} packets refused\n", messages, seconds, counts.spoilt.load(),
             counts.others.load(), counts.idle_connections.load(), counts.sessions.load(),
             daemon.Status().Counter("broken_sessions"),
             daemon.Status().Counter("turned_away"));
  Print("put+get+delete", "quiet", quiet.put_get_delete, quiet.put_get_delete);
  Print("question", "quiet", quiet.question, quiet.question);
  for (const auto& [when, measured] : {std::pair("quiet, cores as below", &kept_apart),
                                       std::pair("flood", &flood)}) {
    Print("put+get+delete", when, measured->put_get_delete, kept_apart.put_get_delete);
    Print("question", when, measured->question, kept_apart.question);
  }

  EXPECT_GE(messages, Messages());
  EXPECT_EQ(daemon.daemon_pid(), pid) << "the daemon died\n" << daemon.Output();
  EXPECT_TRUE(NothingIsLeft(daemon, 1));
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors(pid) <= descriptors + 1; }))
      << OpenDescriptors(pid) << " descriptors, before " << descriptors;
  EXPECT_LT(daemon.Output().size(), 1u << 20) << "anybody can fill the log";
  for (int i = 0; i < 100; ++i) bystander.Work(each);
}

}  // namespace
}  // namespace penstock::testing
