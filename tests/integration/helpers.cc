// Helpers of the integration tests.
#include "tests/integration/helpers.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

// Children of a test start threads of their own (a client's watcher).
#if defined(__SANITIZE_THREAD__)
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
#endif

namespace penstock::testing {
namespace {

constexpr int kPatience_ms = 60'000;

}  // namespace

void GiveUp(const std::string& why) {
  fprintf(stderr, "test: %s\n", why.c_str());
  abort();
}

void Must(const absl::Status& status) {
  if (!status.ok()) GiveUp(status.ToString());
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

::testing::AssertionResult Says(const absl::Status& status, absl::StatusCode code,
                                const std::string& part) {
  if (status.code() == code && Contains(std::string(status.message()), part)) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure()
         << "expected " << absl::StatusCodeToString(code) << " with '" << part
         << "', got " << status.ToString();
}

ObjectId PutPattern(Client& client, uint64_t seed, size_t size,
                    const CreateOptions& options) {
  CreateOptions patient = options;
  // On a busy machine the arena may take longer than the usual patience to be populated.
  if (options.deadline == CreateOptions().deadline) patient.deadline = absl::Minutes(1);
  Builder builder = Must(client.Create(size, patient));
  FillPattern(builder.data(), seed);
  return Must(builder.Seal());
}

Channel::Channel() {
  int ends[2];
  if (pipe(ends) != 0) GiveUp("pipe");
  read_ = UniqueFd(ends[0]);
  write_ = UniqueFd(ends[1]);
}

void Channel::SendBytes(const void* bytes, size_t count) {
  if (write(write_.get(), bytes, count) != static_cast<ssize_t>(count)) GiveUp("write");
}

void Channel::ReceiveBytes(void* bytes, size_t count) {
  pollfd item{read_.get(), POLLIN, 0};
  if (poll(&item, 1, kPatience_ms) != 1) GiveUp("the other process says nothing");
  if (read(read_.get(), bytes, count) != static_cast<ssize_t>(count)) GiveUp("read");
}

::testing::AssertionResult NothingIsLeft(const TestDaemon& daemon, uint64_t clients) {
  DaemonStatus status;
  const bool gone = Eventually([&] {
    status = daemon.Status();
    return status.Counter("sessions") == clients && status.Counter("doomed") == 0 &&
           (clients > 0 ||
            (status.Counter("leased_bytes") == 0 && status.Counter("leases") == 0)) &&
           status.Counter("room_waiters") == 0 && status.Counter("get_waiters") == 0;
  });
  if (gone) return ::testing::AssertionSuccess();
  auto failure = ::testing::AssertionFailure() << "left over:";
  for (const auto& [name, value] : status.counters) failure << " " << name << "=" << value;
  return failure;
}

pid_t NextDaemon(const TestDaemon& daemon, pid_t before) {
  pid_t now = before;
  const bool came = Eventually([&] {
    const auto status = QueryStatus(daemon.dir());
    if (status.ok()) now = static_cast<pid_t>(status->Counter("daemon_pid"));
    return now != before;
  });
  if (!came) GiveUp("no other daemon came: " + daemon.Output());
  return now;
}

bool RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= 4096;
}

size_t CountClosed(const std::vector<UniqueFd>& sockets) {
  size_t closed = 0;
  for (const UniqueFd& socket : sockets) {
    pollfd item{socket.get(), POLLIN | POLLRDHUP, 0};
    if (poll(&item, 1, 0) == 1 && (item.revents & (POLLRDHUP | POLLHUP)) != 0) ++closed;
  }
  return closed;
}

size_t OpenDescriptors(pid_t pid) {
  const auto count = [pid] {
    const std::filesystem::directory_iterator entries(fmt::format("/proc/{}/fd", pid));
    return static_cast<size_t>(std::distance(begin(entries), end(entries)));
  };
  // A listing taken while one is being closed may miss another: twice the same counts.
  size_t last = count();
  Eventually([&] {
    const size_t before = last;
    last = count();
    return last == before;
  });
  return last;
}

bool Runs(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text);
  // pid (name) state ...; a name may hold anything, a parenthesis too.
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text[name_end + 2] != 'Z';
}

bool BecomeNobody() {
  if (setgroups(0, nullptr) != 0 || setgid(kNobody) != 0 || setuid(kNobody) != 0) return false;
  // The change of user took /proc/self away from us.
  return prctl(PR_SET_DUMPABLE, 1) == 0;
}

pid_t StartDaemonOfNobody(const std::string& place, const std::string& store,
                          const std::vector<std::string>& more) {
  if (chown(place.c_str(), kNobody, kNobody) != 0) GiveUp("chown of " + place);
  // By its descriptor: the folders above it may be closed to others.
  const UniqueFd program(open(ProgramPath("penstockd").c_str(), O_RDONLY));
  if (!program.valid()) GiveUp("opening penstockd");
  return StartChild([&] {
    if (!BecomeNobody()) return 1;
    std::vector<std::string> words = {"penstockd", "--dir", store, "--memory", "16MiB"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    fexecve(program.get(), arguments.data(), environ);
    return 1;
  });
}

}  // namespace penstock::testing
