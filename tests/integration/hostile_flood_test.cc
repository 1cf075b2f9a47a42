// Many hostile processes at once, each in its own way, and one bystander whose calls are
// answered and whose bytes are right all along. What the bystander's calls took, quiet and in
// the flood, is printed and not judged: the host decides it, too.
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <new>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "tests/integration/attackers.h"
#include "tests/integration/helpers.h"
#include "tests/integration/raw_session.h"

namespace penstock::testing {
namespace {

bool IsLong() { return getenv("PENSTOCK_TEST_LONG") != nullptr; }
uint64_t Messages() { return IsLong() ? 1'000'000 : 100'000; }
// Of the bystander in each phase, for a p99.
int LeastRounds() { return IsLong() ? 10'000 : 3000; }

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

void PrintRow(const char* what, std::string_view when, Latencies& all, Latencies& quiet,
              Latencies& quiet_on_own_core) {
  const double p99 = all.AtUs(0.99);
  fmt::print("  {:14} {:22} p50 {:6.1f}  p99 {:6.1f}  worst {:8.1f} us of {:6}; p99 is {:5.2f} x "
             "quiet, {:5.2f} x quiet on own cores\n", what, when, all.AtUs(0.5), p99,
             all.AtUs(1), all.count(), p99 / quiet.AtUs(0.99),
             p99 / quiet_on_own_core.AtUs(0.99));
}

struct Kind {
  const char* name;
  AttackFunction attack;
  uint64_t messages;  // before it begins anew
  uint64_t part;      // of all messages, in hundredths: when it is over, by itself
};
constexpr Kind kKinds[] = {{"socket", FloodTheSocket, 5000, 25},
                           {"ring", FloodTheRing, 20'000, 35},
                           {"scribble", ScribbleOverTheOwnSegment, 5000, 5},
                           {"never read", AskAndNeverRead, 20'000, 10},
                           {"descriptors", AbuseDescriptors, 1000, 1}};

// The attackers run under SCHED_IDLE, but at a tick Linux gives even them a slice of the CPU,
// which is longer than all that is measured here: not of a real-time process's. Daemon and
// bystander have a core each. The attackers use the bystander's whenever it sleeps, and not the
// daemon's: many kernels let a system call of anybody run to its end before they take the CPU
// from him, and that is not the daemon's work. (Linux stops a real-time process for 50 ms in a
// second in which it never sleeps: that is the worst call, where a flood keeps the daemon busy.)
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
  const auto work = [&](Measured& measured) {
    for (int i = 0; i < LeastRounds() && !::testing::Test::HasFatalFailure(); ++i) {
      bystander.Work(measured);
    }
  };
  work(quiet);
  KeepFromOthers(pid, 1);
  KeepFromOthers(getpid(), 0);
  work(kept_apart);
  const size_t descriptors = OpenDescriptors(pid);

  AttackCounts& counts = SharedCounts();
  AttackCounts& idle_counts = SharedCounts();
  const int64_t began = NowNs();
  uint64_t seed = 1;
  const auto start = [&](const Kind& kind, AttackCounts& of) {
    return StartAttack(kind.attack, {.dir = daemon.dir(), .seed = seed++,
                                     .messages = kind.messages, .counts = &of});
  };
  const auto sent = [&] { return counts.messages.load() + counts.others.load(); };
  const auto work_until = [&](const std::function<bool()>& is_done, Measured& measured,
                              const std::vector<pid_t>& attackers) {
    const auto all_run = [&] {
      return std::all_of(attackers.begin(), attackers.end(), [](pid_t a) { return Runs(a); });
    };
    for (int round = 0; round < LeastRounds() || !is_done(); ++round) {
      if (::testing::Test::HasFatalFailure() || !all_run()) return;
      bystander.Work(measured);
    }
  };
  const auto end = [&](const std::vector<pid_t>& attackers) {
    counts.stop.store(true);
    for (const pid_t attacker : attackers) EXPECT_EQ(WaitForChild(attacker), 0);
    counts.stop.store(false);
  };

  const pid_t idle = start({"idle", HoldIdleConnections, 0, 0}, idle_counts);
  std::vector<Measured> floods;
  for (const Kind& kind : kKinds) {
    const uint64_t enough = sent() + Messages() * kind.part / 100;
    const std::vector<pid_t> attacker = {start(kind, counts)};
    work_until([&] { return sent() >= enough; }, floods.emplace_back(), attacker);
    end(attacker);
    work(kept_apart);  // between the floods: the machine has its moods
  }
  std::vector<pid_t> attackers;
  for (const Kind& kind : kKinds) attackers.push_back(start(kind, counts));
  work_until([&] { return counts.messages.load() >= Messages(); }, floods.emplace_back(),
             attackers);
  end(attackers);
  work(kept_apart);
  idle_counts.stop.store(true);
  EXPECT_EQ(WaitForChild(idle), 0);

  const double seconds = static_cast<double>(NowNs() - began) / 1e9;
  const uint64_t messages = counts.messages.load();
  fmt::print("{} random and mutated messages in {:.1f} s, {} of them such as no right client "
             "sends; {} whose answers nobody read; {} idle connections opened, a thousand at a "
             "time; {} sessions, {} of them broken, {} packets refused\n",
             messages, seconds, counts.spoilt.load(), counts.others.load(),
             idle_counts.idle_connections.load(), counts.sessions.load(),
             daemon.Status().Counter("broken_sessions"),
             daemon.Status().Counter("turned_away"));
  const auto print = [&](const char* when, Measured& measured) {
    PrintRow("put+get+delete", when, measured.put_get_delete, quiet.put_get_delete,
             kept_apart.put_get_delete);
    PrintRow("question", when, measured.question, quiet.question, kept_apart.question);
  };
  print("quiet", quiet);
  print("quiet on own cores", kept_apart);
  for (size_t i = 0; i < std::size(kKinds); ++i) print(kKinds[i].name, floods[i]);
  print("all of them at once", floods.back());

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
