// Free memory that nobody needs goes to the host and comes again, as the host counts it.
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kObject = 1 << 20;

std::vector<std::string> Arguments() {
  return {"--memory", "64MiB", "--give-back-after", "1", "--keep-free", "8MiB"};
}

// What the arena takes of the host's memory.
uint64_t HostBytes(const TestDaemon& daemon) {
  const auto fds = fmt::format("/proc/{}/fd", daemon.daemon_pid());
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(fds, error)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    struct stat facts;
    if (!target.starts_with("/memfd:penstock-arena") || stat(entry.path().c_str(), &facts) != 0) {
      continue;
    }
    return static_cast<uint64_t>(facts.st_blocks) * 512;
  }
  return 0;
}

bool IsGivenBack(const TestDaemon& daemon) {
  return Eventually([&] { return daemon.Status().Counter("returned_bytes") >= 48 << 20; });
}

std::vector<ObjectId> PutMany(Client& client, uint64_t first, uint64_t count) {
  std::vector<ObjectId> ids;
  for (uint64_t i = first; i < first + count; ++i) ids.push_back(PutPattern(client, i, kObject));
  return ids;
}

void ExpectMany(Client& client, uint64_t first, const std::vector<ObjectId>& ids) {
  for (uint64_t i = 0; i < ids.size(); ++i) {
    EXPECT_TRUE(HasPattern(Must(client.Get(ids[i], absl::ZeroDuration())).data(), first + i));
  }
}

TEST(GiveBack, IdleMemoryIsTheHostsUntilItIsNeeded) {
  const TestDaemon daemon(Arguments());
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const ObjectId cache = PutPattern(client, 7, kObject, {.evictable = true});
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(IsGivenBack(daemon));
    // What objects, leases and the kept part take.
    EXPECT_LE(HostBytes(daemon), 16u << 20);
    const std::vector<ObjectId> ids = PutMany(client, 100, 60);
    ExpectMany(client, 100, ids);
    EXPECT_GE(HostBytes(daemon), 61u << 20);
    EXPECT_EQ(daemon.Status().Counter("evicted"), 0u) << "there was memory to be had";
    for (const ObjectId& id : ids) Must(client.Delete(id));
  }
  EXPECT_TRUE(HasPattern(Must(client.Get(cache)).data(), 7));
}

TEST(GiveBack, TheNextDaemonTakesFromTheHostWhatIsNeeded) {
  const TestDaemon daemon(Arguments());
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const std::vector<ObjectId> kept = PutMany(client, 1, 4);
  ASSERT_TRUE(IsGivenBack(daemon));
  const pid_t before = daemon.daemon_pid();
  kill(before, SIGKILL);
  NextDaemon(daemon, before);
  daemon.WaitPopulated();
  ExpectMany(client, 1, kept);
  EXPECT_LE(HostBytes(daemon), 24u << 20) << "objects, leases, and at most what is to be free";
  const std::vector<ObjectId> more = PutMany(client, 50, 56);
  ExpectMany(client, 1, kept);
  ExpectMany(client, 50, more);
  EXPECT_EQ(daemon.Status().Counter("free_bytes") + daemon.Status().Counter("object_bytes") +
                daemon.Status().Counter("leased_bytes"), 64u << 20);
}

TEST(GiveBack, TakeOversLoseNothing) {
  TestDaemon daemon(Arguments());
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const std::vector<ObjectId> kept = PutMany(client, 1, 4);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("returned_bytes") > 0; }));
    const pid_t before = daemon.daemon_pid();
    const pid_t heir = daemon.StartHeir();
    NextDaemon(daemon, before);
    daemon.SettleKeepers(heir);
    const std::vector<ObjectId> more = PutMany(client, 50, 56);
    ExpectMany(client, 1, kept);
    ExpectMany(client, 50, more);
    for (const ObjectId& id : more) Must(client.Delete(id));
  }
}

}  // namespace
}  // namespace penstock::testing
