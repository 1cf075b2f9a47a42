// A client killed at every named point: what it had sealed is there with its bytes, what it
// had leased and pinned comes back, and nobody else is disturbed.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/crash/crash_world.h"

namespace penstock::testing {
namespace {

constexpr uint32_t kMostLogged = 100'000;

// What the victim did, in a file that outlives it; written before and after each step.
struct VictimLog {
  enum State : uint32_t { kMade = 1, kSealed = 2, kDeleting = 3, kDeleted = 4 };
  struct Entry {
    ObjectId id;
    uint64_t seed;
    uint64_t size;
    std::atomic<uint32_t> state;
  };
  std::atomic<uint32_t> count;
  std::atomic<uint32_t> asked_for;  // by the reader
  Entry entries[kMostLogged];
};

VictimLog* MapLog(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, sizeof(VictimLog)) != 0) GiveUp("no log");
  void* const memory =
      mmap(nullptr, sizeof(VictimLog), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) GiveUp("no log");
  return static_cast<VictimLog*>(memory);
}

// A process of its own: works until it is killed.
int RunVictim(const std::string& dir, const std::string& log_path, uint64_t seed) {
  VictimLog* const log = MapLog(log_path);
  Client client = Must(Client::Connect({.dir = dir}));
  std::mt19937_64 random(seed);
  const ObjectId shared = ObjectId::FromName("shared");
  std::vector<ObjectView> pinned;
  for (;;) {
    const uint32_t i = log->count.load();
    if (i >= kMostLogged) return 0;
    VictimLog::Entry& entry = log->entries[i];
    entry.seed = seed << 32 | i;
    entry.size = 1 + random() % 30'000;
    Builder builder = Must(client.Create(entry.size, {.deadline = absl::Seconds(60)}));
    FillPattern(builder.data(), entry.seed);
    entry.id = builder.id();
    entry.state.store(VictimLog::kMade);
    log->count.store(i + 1);
    Must(builder.Seal());
    entry.state.store(VictimLog::kSealed);
    // Alternately at once, from its own ring, and asked of the daemon.
    if (i % 2 == 0) Must(client.Sync());
    if (!HasPattern(Must(client.Get(entry.id)).data(), entry.seed)) GiveUp("other bytes");
    pinned.push_back(Must(client.Get(shared)));
    if (pinned.size() > 8) pinned.erase(pinned.begin());
    [[maybe_unused]] const auto absent =
        client.Get(ObjectId::FromName("nobody made it"), absl::ZeroDuration());
    [[maybe_unused]] const Builder aborted =
        Must(client.Create(1 + random() % 5000, {.deadline = absl::Seconds(60)}));
    VictimLog::Entry& old = log->entries[random() % (i + 1)];
    if (old.state.load() == VictimLog::kSealed && random() % 2 == 0) {
      old.state.store(VictimLog::kDeleting);
      Must(client.Delete(old.id));
      old.state.store(VictimLog::kDeleted);
    }
  }
}

ObjectId Soon(uint64_t i) { return ObjectId::FromName(fmt::format("soon {}", i)); }

// Waits for objects of another process's making: an answer with a hold, taken over. Which one
// comes next stands in the log.
int RunReader(const std::string& dir, const std::string& log_path) {
  VictimLog* const log = MapLog(log_path);
  Client client = Must(Client::Connect({.dir = dir}));
  for (;;) {
    const uint32_t i = log->count.load();
    log->asked_for.store(i);
    if (i == 0) continue;  // none yet
    const auto view = client.Get(Soon(i), absl::Milliseconds(500));
    if (view.ok() && !HasPattern(view->data(), i)) GiveUp("other bytes");
  }
}

// Makes them, each when it is waited for, until the reader is killed.
void FeedReader(const TestDaemon& daemon, Client& client, const Arming& arming,
                uint32_t fired, VictimLog& log) {
  static uint32_t next = 0;  // no name twice: one that was deleted is not waited for
  for (int made = 0; arming.fired() == fired && made < 1000; ++made) {
    log.count.store(++next);
    const bool is_waited_for = Eventually([&] {
      return arming.fired() != fired ||
             (log.asked_for.load() == next && daemon.Status().Counter("get_waiters") > 0);
    });
    if (!is_waited_for) return;
    PutPattern(client, next, 500, {.id = Soon(next)});
    Must(client.Delete(Soon(next)));
    Must(client.Sync());
  }
  log.count.store(0);
}

pid_t Spawn(const std::vector<std::string>& arguments, const std::string& crash_file) {
  std::vector<char*> words;
  for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that fails leaves nobody behind
    setenv("PENSTOCK_CRASH_FILE", crash_file.c_str(), 1);
    execv("/proc/self/exe", words.data());
    _exit(127);
  }
  return pid;
}

class ClientKilledAt : public ::testing::TestWithParam<CrashPoint> {};

TEST_P(ClientKilledAt, LosesAndLeaksNothingAndDisturbsNobody) {
  // The daemon runs without the file: only victims are killed.
  Arming arming;
  const TempDir files;
  const TestDaemon daemon({"--memory", "32MiB"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  PutPattern(client, 77, 4000, {.id = ObjectId::FromName("shared")});
  std::mt19937_64 random(static_cast<uint64_t>(GetParam()));
  const bool of_reader = GetParam() == CrashPoint::kClientAnswered ||
                         GetParam() == CrashPoint::kClientTookOver;
  {
    BusyClient bystander(daemon, 5, &arming, 3 << 20);
    for (int round = 0; round < RoundsPerPoint(); ++round) {
      const std::string log_path = fmt::format("{}/log-{}", files.path(), round);
      VictimLog* const log = MapLog(log_path);
      const uint32_t fired = arming.fired();
      const pid_t victim =
          of_reader
              ? Spawn({"crash_test", "--reader", daemon.dir(), log_path}, arming.path())
              : Spawn({"crash_test", "--victim", daemon.dir(), log_path,
                       std::to_string(round + 1)}, arming.path());
      ASSERT_TRUE(of_reader || Eventually([&] { return log->count.load() > 3; }));
      arming.Arm(GetParam(), static_cast<int>(1 + random() % 40));
      if (of_reader) FeedReader(daemon, client, arming, fired, *log);
      ASSERT_TRUE(arming.WaitFired(fired, absl::Seconds(60)))
          << "nobody passes " << NameOf(GetParam());
      EXPECT_EQ(WaitForChild(victim), 128 + SIGKILL);
      ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("sessions") == 2; }));
      for (uint32_t i = 0; i < log->count.load(); ++i) {
        const VictimLog::Entry& entry = log->entries[i];
        const uint32_t state = entry.state.load();
        const auto view = client.Get(entry.id, absl::ZeroDuration());
        EXPECT_TRUE(view.ok() || state != VictimLog::kSealed)
            << "a sealed object is gone: " << view.status();
        EXPECT_FALSE(view.ok() && state == VictimLog::kDeleted) << "a deleted one is there";
        if (!view.ok()) continue;
        EXPECT_EQ(view->data().size(), entry.size);
        EXPECT_TRUE(HasPattern(view->data(), entry.seed));
        Must(client.Delete(entry.id));
      }
      munmap(log, sizeof(VictimLog));
    }
    const uint64_t before = bystander.operations();
    EXPECT_TRUE(Eventually([&] { return bystander.operations() > before; }));
  }
  Must(client.Delete(ObjectId::FromName("shared")));
  Must(client.Sync());
  EXPECT_TRUE(Eventually([&] {
    const DaemonStatus status = daemon.Status();
    return status.Counter("objects") == 0 && status.Counter("leases") == 0 &&
           status.Counter("free_bytes") == status.Counter("arena_bytes");
  })) << NothingIsLeft(daemon, 1);
}

std::vector<CrashPoint> ClientPoints() {
  std::vector<CrashPoint> points;
  for (uint32_t i = 0; i < kCrashPoints; ++i) {
    const auto point = static_cast<CrashPoint>(i);
    if (PasserOf(point) == 'C') points.push_back(point);
  }
  return points;
}

INSTANTIATE_TEST_SUITE_P(Crash, ClientKilledAt, ::testing::ValuesIn(ClientPoints()),
                         [](const auto& item) { return std::string(NameOf(item.param)); });

}  // namespace
}  // namespace penstock::testing

int main(int argc, char** argv) {
  using penstock::testing::RunReader;
  using penstock::testing::RunVictim;
  if (argc == 5 && std::string(argv[1]) == "--victim") {
    return RunVictim(argv[2], argv[3], std::stoull(argv[4]));
  }
  if (argc == 4 && std::string(argv[1]) == "--reader") return RunReader(argv[2], argv[3]);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
