// The task API's entry points: starting and ending, functions by name, and the calls that
// the templates of penstock/runtime.h make.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "runtime/node/spawner.h"
#include "runtime/process/process.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/store_directory.h"
#include "store/base/units.h"
#include "store/shm/host_cpus.h"
#include "store/wire/packet_socket.h"

extern char** environ;

namespace penstock {
namespace internal {
namespace {

std::atomic<Process*> g_process{nullptr};
std::unique_ptr<Process> g_owned;

struct Registry {
  std::map<std::string, Function> by_key;
  absl::flat_hash_map<uint64_t, const Function*> by_hash;
};
Registry& TheRegistry() {
  static auto* const registry = new Registry();
  return *registry;
}

thread_local PackScope* t_scope = nullptr;

}  // namespace

Process* Process::Get() { return g_process.load(std::memory_order_acquire); }

Process& Process::Must() {
  Process* const process = Get();
  if (process == nullptr) throw UsageError("call penstock::Init first");
  return *process;
}

uint64_t HashOfName(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

bool Register(Function function) {
  Registry& registry = TheRegistry();
  const auto [by_hash, fresh] = registry.by_hash.try_emplace(function.hash, nullptr);
  if (!fresh) {
    if (by_hash->second->key == function.key) return true;
    fmt::print(stderr, "PENSTOCK_REMOTE: '{}' is registered twice, for two functions: give one of "
               "them another name, or write its namespace\n", function.name);
    abort();
  }
  const auto [entry, inserted] = registry.by_key.emplace(function.key, std::move(function));
  by_hash->second = &entry->second;
  return inserted;
}

const Function* FindByKey(const std::string& key) {
  const Registry& registry = TheRegistry();
  const auto found = registry.by_key.find(key);
  if (found != registry.by_key.end()) return &found->second;
  std::string names;
  for (const auto& [hash, function] : registry.by_hash) names += " " + function->name;
  throw UsageError("this function is not registered: add it to PENSTOCK_REMOTE; registered are:" +
                   (names.empty() ? " none" : names));
}

const Function* FindByHash(uint64_t hash) {
  const Registry& registry = TheRegistry();
  const auto found = registry.by_hash.find(hash);
  return found == registry.by_hash.end() ? nullptr : found->second;
}

std::vector<std::string> SplitNames(const char* names) {
  std::vector<std::string> each(1);
  int depth = 0;
  for (const char* at = names; *at != 0; ++at) {
    depth += *at == '(' || *at == '<';
    depth -= *at == ')' || *at == '>';
    if (*at == ',' && depth == 0) each.emplace_back();
    else if (*at != ' ' && *at != '&') each.back().push_back(*at);
  }
  return each;
}

PackScope::PackScope() : outer_(t_scope) { t_scope = this; }
PackScope::~PackScope() { t_scope = outer_; }
PackScope* PackScope::Current() { return t_scope; }

std::string_view ArgumentReader::Next() {
  ArgumentKind kind;
  uint32_t size = 0;
  if (!TakeFrom(bytes_, kind) || !TakeFrom(bytes_, size) || size > bytes_.size()) {
    throw UsageError("the call has fewer arguments than its function");
  }
  const std::string_view body = bytes_.substr(0, size);
  bytes_.remove_prefix(size);
  if (kind == ArgumentKind::kValue) return body;
  std::string_view rest = body;
  ObjectId id;
  if (!TakeFrom(rest, id)) throw UsageError("an argument that names no object");
  auto view = Process::Must().client().Get(id, absl::Seconds(60));
  if (!view.ok()) throw ObjectLost("an argument: " + std::string(view.status().message()));
  const auto held = std::make_shared<ObjectView>(*std::move(view));
  if (held->type_tag() == kErrorTag) ThrowError(held->text());
  held_.push_back(held);
  return held->text();
}

namespace {

OutgoingCall MakeCall(const Function& function, CallArguments arguments,
                      std::vector<ResultPtr> kept) {
  OutgoingCall call;
  call.result = std::make_shared<Result>(Process::Must().NextId());
  call.header.result = call.result->id;
  call.header.function = function.hash;
  call.arguments = std::move(arguments);
  call.kept = std::move(kept);
  call.function = &function;
  for (const Argument& argument : call.arguments.list) {
    if (argument.ref == nullptr && argument.bytes.empty()) {
      throw UsageError("an ObjectRef that stands for nothing cannot be an argument");
    }
    if (argument.ref != nullptr) Process::Must().CheckIsOurs(argument.ref->id);
  }
  return call;
}

uint64_t NumberOf(const ActorId& actor) {
  if (actor.number == 0) throw UsageError("this ActorHandle stands for no actor");
  if (actor.cluster != Process::Must().cluster()) {
    throw UsageError("this ActorHandle is of another cluster: of one that was shut down, or "
                     "that another program is in");
  }
  return actor.number;
}

}  // namespace

ResultPtr CallTask(const Function& function, CallArguments arguments,
                   std::vector<ResultPtr> kept, const CallOptions& options) {
  return Process::Must().CallTask(
      MakeCall(function, std::move(arguments), std::move(kept)), options);
}
ActorId CreateActor(const Function& factory, CallArguments arguments,
                    std::vector<ResultPtr> kept, const CallOptions& options) {
  Process& process = Process::Must();
  return {process.cluster(),
          process.CreateActor(MakeCall(factory, std::move(arguments), std::move(kept)), options)};
}
ResultPtr CallActor(const ActorId& actor, const Function& method,
                    CallArguments arguments, std::vector<ResultPtr> kept) {
  return Process::Must().CallActor(
      NumberOf(actor), MakeCall(method, std::move(arguments), std::move(kept)));
}
ActorId FindActor(const std::string& name) {
  Process& process = Process::Must();
  return {process.cluster(), process.FindActor(name)};
}
void KillActor(const ActorId& actor) { Process::Must().KillActor(NumberOf(actor)); }
ResultPtr PutBytes(std::string bytes, std::vector<ResultPtr> contained) {
  return Process::Must().Put(std::move(bytes), std::move(contained));
}
std::string_view GetBytes(const ResultPtr& result, absl::Duration deadline,
                          std::shared_ptr<const void>& hold) {
  return Process::Must().Bytes(result, deadline, hold);
}
std::vector<size_t> WaitFor(std::span<const ResultPtr> results, size_t count,
                            absl::Duration deadline) {
  return Process::Must().WaitFor(results, count, deadline);
}
std::string PackRef(const ResultPtr& result) { return Process::Must().PackRef(result); }
ResultPtr UnpackRef(const char* bytes, size_t size) {
  return Process::Must().UnpackRef({bytes, size});
}

namespace {

std::string FindDaemon(const Config& config) {
  if (!config.daemon_path.empty()) return config.daemon_path;
  if (const char* const given = getenv("PENSTOCK_DAEMON")) return given;
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (size > 0) {
    std::string beside(path, static_cast<size_t>(size));
    beside = beside.substr(0, beside.rfind('/') + 1) + "penstockd";
    if (access(beside.c_str(), X_OK) == 0) return beside;
  }
  return "penstockd";  // in PATH
}

constexpr uint32_t kMaxWorkers = 64;

// A directory of our own, in /tmp as long as it can be written: a socket's path is short, and
// what TMPDIR names may be long.
std::string MakeSessionDir() {
  std::string why;
  for (const char* const name : {"", "TMPDIR", "XDG_RUNTIME_DIR"}) {
    const char* const parent = *name == 0 ? "/tmp" : getenv(name);
    if (parent == nullptr || *parent == 0) continue;
    std::string dir = std::string(parent) + "/penstock-session-XXXXXX";
    if (SocketPath(dir).size() > kMostSocketPathBytes) {
      why += fmt::format("; in {} ({}): its path is too long for a socket", parent, name);
    } else if (mkdtemp(dir.data()) != nullptr) {
      return dir;
    } else {
      why += fmt::format("; in {}{}: {}", parent, *name == 0 ? "" : fmt::format(" ({})", name),
                         strerror(errno));
    }
  }
  throw RuntimeUnavailable(fmt::format(
      "no directory for the cluster can be made{}. Set TMPDIR to a directory that user {} may "
      "write to, with a short path", why, geteuid()));
}

constexpr const char* kEndedAtOnce = "penstockd ended at once; what it said stands above";

std::string CannotBeStarted(const std::string& daemon, int error) {
  if (error == ENOENT || error == EACCES || error == ENOEXEC) {
    return fmt::format("{} cannot be started ({}): set Config::daemon_path or PENSTOCK_DAEMON to "
                       "penstockd{}", daemon, strerror(error),
                       IsProcMounted() ? "" : ". It was not looked for beside this program, for "
                                              "which /proc has to be mounted");
  }
  const std::string what = "starting " + daemon;
  const absl::Status why = error == EAGAIN || error == ENOMEM ? StartStatus(error, what)
                                                              : ErrnoStatus(error, what);
  return std::string(why.message());
}

void CheckConfig(const Config& config) {
  if (config.num_cpus > 10'000) {
    throw UsageError(fmt::format("Config::num_cpus is {}, it takes 0 to 10000", config.num_cpus));
  }
  if (config.max_workers > 512) {
    throw UsageError(
        fmt::format("Config::max_workers is {}, it takes 0 to 512", config.max_workers));
  }
  if (!config.address.empty() &&
      (config.num_cpus != 0 || config.max_workers != 0 || config.memory != 0)) {
    throw UsageError(fmt::format(
        "Config::address joins the cluster at {}, which has its own num_cpus, max_workers and "
        "memory: leave them out", config.address));
  }
}

// Where to join; empty: a private cluster.
std::string AddressOf(const Config& config) {
  if (!config.address.empty()) return config.address;
  const char* const given = getenv("PENSTOCK_ADDRESS");
  return given == nullptr ? "" : given;
}

}  // namespace

std::unique_ptr<Process> Process::StartDriver(const Config& config, std::string session_dir) {
  const uint32_t cpus =
      config.num_cpus > 0 ? config.num_cpus : ReadHostCpus().count;
  std::vector<std::string> arguments = {
      FindDaemon(config), "--dir", session_dir, "--log-level", "warn",
      "--owner-pid", std::to_string(getpid()), "--cpus", std::to_string(cpus),
      "--max-workers", std::to_string(config.max_workers > 0 ? config.max_workers : kMaxWorkers)};
  if (config.memory > 0) {
    arguments.insert(arguments.end(), {"--memory", std::to_string(config.memory)});
  }
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setpgroup(&attributes, 0);  // Ctrl-C is the driver's to answer
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int error =
      posix_spawnp(&pid, arguments[0].c_str(), &actions, &attributes, pointers.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    throw RuntimeUnavailable(CannotBeStarted(arguments[0], error));
  }
  std::unique_ptr<Process> process(new Process());
  process->keeper_pid_ = pid;
  const absl::Time until = absl::Now() + absl::Seconds(20);
  // Bound is not listening yet: only a connection shows that it answers.
  while (!ConnectTo(SocketPath(session_dir)).ok()) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == pid) {
      throw RuntimeUnavailable(kEndedAtOnce);
    }
    if (absl::Now() > until) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      throw RuntimeUnavailable("penstockd does not answer after 20 s");
    }
    absl::SleepFor(absl::Microseconds(200));
  }
  try {
    process->Connect(session_dir, std::nullopt);
  } catch (const RuntimeUnavailable&) {
    // It listens before it serves: what comes in between is the cause, and said above.
    process->keeper_pid_ = 0;
    kill(pid, SIGTERM);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) throw RuntimeUnavailable(kEndedAtOnce);
    throw;
  }
  return process;
}

std::unique_ptr<Process> Process::JoinDriver(const std::string& address) {
  std::unique_ptr<Process> process(new Process());
  try {
    process->Connect(address, std::nullopt);
  } catch (const RuntimeUnavailable& failure) {
    throw RuntimeUnavailable(fmt::format(
        "the cluster at {} cannot be joined: {}. Config::address and PENSTOCK_ADDRESS take the "
        "--dir of a running penstockd; without them Init starts a private cluster",
        address, failure.what()));
  }
  return process;
}

void Process::RunWorker(const std::string& variable) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  unsetenv(kWorkerVariable);
  int code = 0;
  try {
    const size_t comma = variable.find(',');
    if (comma == std::string::npos) throw RuntimeUnavailable("PENSTOCK_WORKER is no worker's");
    auto* const process = new Process();  // lives as long as the process
    g_process.store(process, std::memory_order_release);
    process->Connect(variable.substr(comma + 1), std::stoull(variable));
    process->Serve();
  } catch (const std::exception& failure) {
    fmt::print(stderr, "penstock worker: {}\n", failure.what());
    code = 1;
  }
  fflush(nullptr);
  _exit(code);
}

}  // namespace internal

namespace {

void WaitForMemory(const std::string& dir) {
  for (;;) {
    const auto status = QueryStatus(dir);
    if (!status.ok()) throw RuntimeUnavailable(std::string(status.status().message()));
    if (status->Counter("population_done") == 1) return;
    absl::SleepFor(absl::Milliseconds(2));
  }
}

}  // namespace

ClusterInfo Init(const Config& config, int, char**) {
  if (const char* const variable = getenv(kWorkerVariable);
      variable != nullptr && internal::Process::Get() == nullptr) {
    internal::Process::RunWorker(variable);
  }
  if (IsInitialized()) throw UsageError("Init was called before: call Shutdown first");
  internal::CheckConfig(config);
  if (const std::string address = internal::AddressOf(config); !address.empty()) {
    internal::g_owned = internal::Process::JoinDriver(address);
  } else {
    const std::string session_dir = internal::MakeSessionDir();
    try {
      internal::g_owned = internal::Process::StartDriver(config, session_dir);
    } catch (...) {
      rmdir(session_dir.c_str());
      throw;
    }
  }
  internal::g_process.store(internal::g_owned.get(), std::memory_order_release);
  static const bool registered = atexit(Shutdown) == 0;
  (void)registered;
  if (config.prefault) WaitForMemory(internal::g_owned->session_dir());
  ClusterInfo info;
  info.session_dir = internal::g_owned->session_dir();
  info.node_ip_address = "127.0.0.1";
  info.object_store_address = SocketPath(info.session_dir);
  return info;
}

bool IsInitialized() { return internal::Process::Get() != nullptr; }

void Shutdown() {
  if (internal::g_owned == nullptr) return;
  internal::Process* const process = internal::g_owned.get();
  process->EndCluster();
  internal::g_process.store(nullptr, std::memory_order_release);
  internal::g_owned.reset();
}

namespace internal {

// The daemon ends in order, and with it every worker.
void Process::EndCluster() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  RingDoorbell(wake_listener_.get());
  if (listener_.joinable()) listener_.join();
  if (keeper_pid_ <= 0) return;
  kill(keeper_pid_, SIGTERM);
  int status = 0;
  while (waitpid(keeper_pid_, &status, 0) < 0 && errno == EINTR) {
  }
  keeper_pid_ = 0;
}

}  // namespace internal
}  // namespace penstock
