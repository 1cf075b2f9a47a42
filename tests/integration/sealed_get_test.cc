// A get of a sealed object makes no system call and needs no daemon: shown under a filter
// of the kernel that kills the process at the first one, with the daemon stopped.
#include <seccomp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

constexpr size_t kIds = 10'000;
constexpr size_t kPairs = 1'000'000;
constexpr size_t kBytes = 1024;

// Exit codes of the child.
enum : int { kAllRight = 0, kNoFilter = 2, kNotThere = 3, kWrongPayload = 4 };

// Every system call but exit_group kills this process from here on.
bool ForbidSystemCalls() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  return filter != nullptr &&
         seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(exit_group), 0) == 0 &&
         seccomp_load(filter) == 0;
}

// `ids` and `payloads` are filled already; nothing here may allocate.
int GetAndReleaseAll(Client& client, const std::vector<ObjectId>& ids,
                     const std::vector<std::vector<std::byte>>& payloads) {
  uint64_t state = 1;
  for (size_t i = 0; i < kPairs; ++i) {
    // The first round in order, so that each id comes up; then at random.
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const size_t chosen = i < kIds ? i : (state >> 33) % kIds;
    const absl::StatusOr<ObjectView> view = client.Get(ids[chosen]);
    if (!view.ok() || view->data().size() != kBytes) return kNotThere;
    if (std::memcmp(view->data().data(), payloads[chosen].data(), kBytes) != 0) {
      return kWrongPayload;
    }
  }
  return kAllRight;
}

TEST(SealedGet, AMillionGetsAndReleasesMakeNoSystemCallAndNeedNoDaemon) {
  if (kSanitized) GTEST_SKIP() << "sanitizers make system calls of their own";
  const TestDaemon daemon;
  Client maker = daemon.Connect();
  std::vector<ObjectId> ids;
  std::vector<std::vector<std::byte>> payloads;
  for (size_t i = 0; i < kIds; ++i) {
    payloads.push_back(Pattern(i, kBytes));
    ids.push_back(Must(maker.Put(payloads.back())));
  }
  Must(maker.Sync());
  daemon.WaitPopulated();
  Channel ready, go;
  const pid_t child = StartChild([&] {
    Client client = daemon.Connect();
    // Whatever is made at its first use is made now.
    for (size_t i = 0; i < 10; ++i) Must(client.Get(ids[i]));
    ready.Signal();
    go.Wait();
    if (!ForbidSystemCalls()) return static_cast<int>(kNoFilter);
    // Not a return: that flushes streams.
    _exit(GetAndReleaseAll(client, ids, payloads));
  });
  ready.Wait();
  const pid_t daemon_pid = daemon.daemon_pid();
  kill(daemon_pid, SIGSTOP);
  go.Signal();
  const int code = WaitForChild(child);
  kill(daemon_pid, SIGCONT);
  EXPECT_EQ(code, kAllRight) << "159: killed at a system call";
}

// The filter of the test above does what it says.
TEST(SealedGet, TheFilterKillsAtASystemCall) {
  if (kSanitized) GTEST_SKIP() << "sanitizers make system calls of their own";
  const int code = RunInChild([] {
    if (!ForbidSystemCalls()) return 0;
    syscall(SYS_getppid);
    return 0;
  });
  EXPECT_EQ(code, 128 + SIGSYS);
}

}  // namespace
}  // namespace penstock::testing
