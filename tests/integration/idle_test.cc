// A daemon that nobody needs sleeps.
#include <unistd.h>

#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

// User and system time of all its threads, in ticks of the clock (usually 10 ms).
uint64_t TicksOf(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::ostringstream all;
  all << file.rdbuf();
  const std::string text = all.str();
  std::istringstream words(text.substr(text.rfind(')') + 2));
  std::string word;
  for (int field = 3; field < 14; ++field) words >> word;  // up to the one before utime
  uint64_t user = 0, system = 0;
  words >> user >> system;
  return user + system;
}

TEST(Idle, ADaemonWithThreeIdleClientsUsesNoProcessor) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  std::vector<Client> clients;
  std::vector<ObjectView> views;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(daemon.Connect());
    views.push_back(Must(clients.back().Get(PutPattern(clients.back(), 1, 1000))));
  }
  const pid_t pid = daemon.daemon_pid();
  const uint64_t turns_before = daemon.Status().Counter("turns");
  const uint64_t before = TicksOf(pid);
  // The time is what is measured here, not what is waited for.
  const absl::Time start = absl::Now();
  Eventually([&] { return absl::Now() - start > absl::Seconds(3); }, absl::Seconds(10));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  const uint64_t used = TicksOf(pid) - before;
  const double percent = 100.0 * static_cast<double>(used) /
                         static_cast<double>(sysconf(_SC_CLK_TCK)) / seconds;
  printf("the idle daemon used %.3f%% of a processor in %.1f s\n", percent, seconds);
  // 0.1% of 3 s is 3 ms, below one tick: a tick more may be an accident of the sampling.
  EXPECT_LE(used, 1u);
  // What a sampling could miss: the turns it made. The two questions cost a few.
  EXPECT_LE(daemon.Status().Counter("turns") - turns_before, 5000u);
}

}  // namespace
}  // namespace penstock::testing
