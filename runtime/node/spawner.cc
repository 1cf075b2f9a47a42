// Starting workers.
#include "runtime/node/spawner.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fmt/format.h>

#include "absl/strings/numbers.h"

#include "store/base/errors.h"
#include "store/base/host_limits.h"

namespace penstock {
namespace {

// The text up to the next zero, which is taken from `bytes`. Nothing when there is none.
std::optional<std::string_view> TakeText(std::string_view& bytes) {
  const size_t end = bytes.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view text = bytes.substr(0, end);
  bytes.remove_prefix(end + 1);
  return text;
}

// A count, then so many texts.
bool TakeList(std::string_view& bytes, std::vector<std::string>& texts) {
  const auto count_text = TakeText(bytes);
  uint32_t count = 0;
  if (!count_text.has_value() ||
      !absl::SimpleAtoi(absl::string_view(count_text->data(), count_text->size()), &count)) {
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) {
    const auto text = TakeText(bytes);
    if (!text.has_value()) return false;
    texts.emplace_back(*text);
  }
  return true;
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// The actions of one posix_spawn.
class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

class SpawnAttributes {
 public:
  SpawnAttributes() {
    posix_spawnattr_init(&attributes_);
    // The daemon blocks the signals that it reads; its children begin without a mask.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes_, &none);
    // Ctrl-C on the driver's terminal is the driver's to answer.
    posix_spawnattr_setpgroup(&attributes_, 0);
    // It ignores these for itself: writes fail instead.
    sigset_t ignored;
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGXFSZ);
    sigaddset(&ignored, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes_, &ignored);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP |
                                               POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnAttributes() { posix_spawnattr_destroy(&attributes_); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  posix_spawnattr_t* get() { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

}  // namespace

std::string EncodeLaunch(std::string_view arguments, char* const* environment) {
  std::string bytes = std::to_string(std::count(arguments.begin(), arguments.end(), '\0')) + '\0';
  bytes.append(arguments);
  size_t count = 0;
  std::string texts;
  for (; environment != nullptr && environment[count] != nullptr; ++count) {
    texts.append(environment[count]);
    texts.push_back(0);
  }
  return bytes + std::to_string(count) + '\0' + texts;
}

absl::StatusOr<Launch> DecodeLaunch(std::string_view bytes) {
  Launch launch;
  if (!TakeList(bytes, launch.arguments) || !TakeList(bytes, launch.environment) ||
      launch.arguments.empty() || !bytes.empty()) {
    return absl::InvalidArgumentError(
        "the launch file is not two lists of texts, arguments and environment");
  }
  return launch;
}

absl::StatusOr<Spawned> Spawn(const Launch& launch, int executable, int directory,
                              uint64_t number, const std::string& node_dir) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return CallStatus(errno, "a pipe for a worker's output");
  const UniqueFd write_end(ends[1]);
  Spawned spawned;
  spawned.output = UniqueFd(ends[0]);
  std::vector<std::string> environment;
  const std::string own = fmt::format("{}=", kWorkerVariable);
  for (const std::string& text : launch.environment) {
    if (text.compare(0, own.size(), own) != 0) environment.push_back(text);
  }
  environment.push_back(fmt::format("{}{},{}", own, number, node_dir));
  FileActions actions;
  posix_spawn_file_actions_addopen(actions.get(), 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(actions.get(), write_end.get(), 1);
  posix_spawn_file_actions_adddup2(actions.get(), write_end.get(), 2);
  posix_spawn_file_actions_addfchdir_np(actions.get(), directory);
  SpawnAttributes attributes;
  const std::string path = fmt::format("/proc/self/fd/{}", executable);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, path.c_str(), actions.get(), attributes.get(),
                                Pointers(launch.arguments).data(), Pointers(environment).data());
  if (error != 0) {
    const std::string what = fmt::format("starting a worker from {}", launch.arguments[0]);
    return error == EAGAIN || error == ENOMEM ? StartStatus(error, what)
                                              : ErrnoStatus(error, what);
  }
  spawned.pid = pid;
  spawned.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!spawned.pidfd.valid()) return CallStatus(errno, "pidfd_open of a worker");
  return spawned;
}

}  // namespace penstock
