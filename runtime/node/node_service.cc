// NodeService: who comes, what they say, how they go.
#include "runtime/node/node_service.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "store/base/errors.h"
#include "store/wire/control_message.h"

namespace penstock {
namespace {

constexpr size_t kMostNameBytes = 256;
constexpr size_t kMostAmounts = 32;
constexpr uint32_t kMostPackets = 64;  // of one process in one turn

Resources NodeResources(double cpus) {
  auto resources = Resources::From({{"CPU", cpus}});
  return resources.ok() ? *std::move(resources) : Resources();
}

void Signal(const UniqueFd& pidfd, int signal) {
  syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

// How a child of ours ended. Zeros when it was no child.
struct Ending {
  int32_t code = 0;
  int32_t signal = 0;
};
Ending EndingOf(const UniqueFd& pidfd) {
  siginfo_t info{};
  if (waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG) != 0 ||
      info.si_pid == 0) {
    return {};
  }
  if (info.si_code == CLD_EXITED) return {info.si_status, 0};
  return {0, info.si_status};
}

absl::StatusOr<std::string> ReadLaunchFile(int fd) {
  struct stat facts{};
  if (fstat(fd, &facts) != 0) return ErrnoStatus(errno, "the launch file");
  if (facts.st_size < 0 || static_cast<uint64_t>(facts.st_size) > kMostLaunchBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "arguments and environment of the driver take {} bytes, at most {} are passed on to "
        "its workers", facts.st_size, kMostLaunchBytes));
  }
  std::string bytes(static_cast<size_t>(facts.st_size), '\0');
  if (pread(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return ErrnoStatus(errno, "reading the launch file");
  }
  return bytes;
}

}  // namespace

NodeService::NodeService(Reactor& reactor, NodeStore& store, const NodeOptions& options)
    : reactor_(reactor),
      store_(store),
      options_(options),
      scheduler_(NodeResources(options.cpus), {.max_workers = options.max_workers}) {}

NodeService::~NodeService() {
  for (auto& [number, process] : processes_) {
    if (process->pidfd.valid()) reactor_.Remove(process->pidfd.get());
    if (process->socket.valid()) reactor_.Remove(process->socket.get());
    if (!process->is_driver && process->pidfd.valid()) Signal(process->pidfd, SIGKILL);
  }
  // Nothing is left behind, not even a zombie for somebody else to bury.
  for (auto& [number, process] : processes_) {
    if (process->is_driver || process->job == 0) continue;
    siginfo_t ignored{};
    waitid(P_PIDFD, static_cast<id_t>(process->pidfd.get()), &ignored, WEXITED);
  }
}

size_t NodeService::workers() const {
  size_t count = 0;
  for (const auto& [number, process] : processes_) {
    count += process->registered && !process->is_driver;
  }
  return count;
}

NodeService::Process* NodeService::Find(uint64_t number) {
  const auto found = processes_.find(number);
  return found == processes_.end() ? nullptr : found->second.get();
}

absl::Status NodeService::Adopt(UniqueFd socket, UniqueFd pidfd, int32_t pid) {
  auto process = std::make_unique<Process>();
  const uint64_t number = process->number = next_number_++;
  process->pid = pid;
  process->socket = std::move(socket);
  process->pidfd = std::move(pidfd);
  PENSTOCK_RETURN_IF_ERROR(
      reactor_.Watch(process->socket.get(), [this, number] { OnPacket(number); }));
  PENSTOCK_RETURN_IF_ERROR(
      reactor_.Watch(process->pidfd.get(), [this, number] { OnDeath(number); }));
  processes_[number] = std::move(process);
  return absl::OkStatus();
}

void NodeService::Tell(Process& process, const NodeFacts& facts, std::span<const int> fds) {
  if (!process.socket.valid()) return;
  const absl::Status sent = SendPacket(process.socket.get(), EncodeNodeMessage(facts), fds);
  // It reads nothing, or is gone: what it does not hear it would wait for, for ever.
  if (!sent.ok()) shutdown(process.socket.get(), SHUT_RDWR);
}

void NodeService::Drop(Process& process, const absl::Status& why) {
  spdlog::warn("process {} of the runtime was dropped: {}", process.pid, why.ToString());
  [[maybe_unused]] const absl::Status ignored =
      SendPacket(process.socket.get(), RefusedMessage(why));
  shutdown(process.socket.get(), SHUT_RDWR);
}

void NodeService::OnPacket(uint64_t number) {
  // A registration moves the process, and a hang-up ends it: it is looked up each time.
  for (uint32_t i = 0; i < kMostPackets; ++i) {
    Process* const process = Find(number);
    if (process == nullptr || !process->socket.valid()) return;
    absl::StatusOr<Packet> packet = ReceivePacket(process->socket.get());
    if (!packet.ok() && absl::IsUnavailable(packet.status())) return;  // nothing there yet
    events_since_decision_ = true;
    if (!packet.ok() || packet->bytes.empty()) {
      // A worker's end is its process's end; a driver that leaves takes its job along.
      reactor_.Remove(process->socket.get());
      process->socket.reset();
      if (process->is_driver || !process->registered) OnDeath(number);
      return;
    }
    absl::StatusOr<NodeFacts> facts = DecodeNodeMessage(packet->bytes);
    absl::Status status = facts.status();
    if (status.ok()) status = Handle(*process, *std::move(facts), std::move(packet->fds));
    if (Process* const still = Find(number); !status.ok() && still != nullptr) {
      Drop(*still, status);
    }
  }
}

absl::Status NodeService::Handle(Process& process, NodeFacts facts, std::vector<UniqueFd> fds) {
  if (facts.resources.size() > kMostAmounts || facts.kept.size() > kMostAmounts ||
      facts.name.size() > kMostNameBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "at most {} resources and names of at most {} bytes", kMostAmounts, kMostNameBytes));
  }
  switch (facts.kind) {
    case wire::NodeKind_RegisterDriver: return RegisterDriver(process, facts, fds);
    case wire::NodeKind_RegisterWorker: return RegisterWorker(process, facts, fds);
    default: break;
  }
  if (!process.registered) {
    return absl::FailedPreconditionError("a process registers before it says anything else");
  }
  switch (facts.kind) {
    case wire::NodeKind_RequestLease: return RequestLease(process, facts);
    case wire::NodeKind_CancelLease:
      for (const auto& [id, request] : requests_) {
        if (request.process != process.number || request.number != facts.request) continue;
        scheduler_.Cancel(id);
        requests_.erase(id);
        break;
      }
      return absl::OkStatus();
    case wire::NodeKind_ReturnLease: ReturnLease(process, facts.process); return absl::OkStatus();
    case wire::NodeKind_Blocked:
      if (!process.is_driver) scheduler_.Blocked(process.number);
      return absl::OkStatus();
    case wire::NodeKind_Resumed:
      if (!process.is_driver) scheduler_.Resumed(process.number);
      return absl::OkStatus();
    case wire::NodeKind_NameActor: NameActor(process, facts); return absl::OkStatus();
    case wire::NodeKind_FindActor: FindActor(process, facts); return absl::OkStatus();
    case wire::NodeKind_MeetActor: MeetActor(process, facts); return absl::OkStatus();
    case wire::NodeKind_Kill: KillWorker(process, facts.process); return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(
          fmt::format("message kind {} is not one that a process sends", int{facts.kind}));
  }
}

absl::Status NodeService::RegisterDriver(Process& process, const NodeFacts& facts,
                                         std::vector<UniqueFd>& fds) {
  if (process.registered || fds.size() != kDriverFdCount ||
      !store_.IsSessionOf(facts.session, process.pid)) {
    return absl::InvalidArgumentError(fmt::format(
        "a driver registers once, with its own session and {} descriptors",
        int{kDriverFdCount}));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const std::string bytes, ReadLaunchFile(fds[kLaunchFile].get()));
  Job job;
  PENSTOCK_ASSIGN_OR_RETURN(job.launch, DecodeLaunch(bytes));
  job.driver = process.number;
  job.sessions.push_back(facts.session);
  job.executable = std::move(fds[kExecutable]);
  job.directory = std::move(fds[kDirectory]);
  process.page = std::move(fds[kProcessPage]);
  process.doorbell = std::move(fds[kProcessDoorbell]);
  process.is_driver = process.registered = true;
  process.job = process.number;
  jobs_[process.job] = std::move(job);
  scheduler_.AddJob(process.job);
  Tell(process, {.kind = wire::NodeKind_Registered, .process = process.number,
                 .job = process.job});
  for (uint32_t i = 0; i < options_.started_ahead; ++i) {
    StartWorker(process.job, /*asked_for=*/false);
  }
  return absl::OkStatus();
}

absl::Status NodeService::RegisterWorker(Process& caller, const NodeFacts& facts,
                                         std::vector<UniqueFd>& fds) {
  Process* const worker = Find(facts.process);
  if (caller.registered || worker == nullptr || worker->registered || worker->is_driver ||
      worker->pid != caller.pid || fds.size() != kProcessFdCount ||
      !store_.IsSessionOf(facts.session, caller.pid)) {
    return absl::InvalidArgumentError(
        "this process was not started as a worker of this node: unset PENSTOCK_WORKER");
  }
  // The connection becomes the worker's, which was known since it was started.
  const uint64_t number = worker->number;
  reactor_.Remove(caller.socket.get());
  reactor_.Remove(caller.pidfd.get());
  worker->socket = std::move(caller.socket);
  processes_.erase(caller.number);
  PENSTOCK_RETURN_IF_ERROR(
      reactor_.Watch(worker->socket.get(), [this, number] { OnPacket(number); }));
  worker->page = std::move(fds[kProcessPage]);
  worker->doorbell = std::move(fds[kProcessDoorbell]);
  worker->registered = true;
  if (const auto job = jobs_.find(worker->job); job != jobs_.end()) {
    job->second.sessions.push_back(facts.session);
    job->second.failed_starts = 0;
  }
  Tell(*worker, {.kind = wire::NodeKind_Registered, .process = number, .job = worker->job});
  scheduler_.WorkerReady(number, worker->job);
  return absl::OkStatus();
}

void NodeService::OnDeath(uint64_t number) {
  Process* const process = Find(number);
  if (process == nullptr) return;
  const Ending ending = EndingOf(process->pidfd);
  const std::unique_ptr<Process> dead = std::move(processes_[number]);
  processes_.erase(number);
  reactor_.Remove(dead->pidfd.get());
  if (dead->socket.valid()) reactor_.Remove(dead->socket.get());
  TellGone(*dead, ending.code, ending.signal);
  for (const uint64_t other : dead->met) {
    if (Process* const peer = Find(other)) peer->met.erase(number);
  }
  // Leases that it held as a caller end; what it asked for is forgotten.
  for (auto& [worker_number, worker] : processes_) {
    if (worker->serves == number) EndLease(*worker);
  }
  for (auto entry = requests_.begin(); entry != requests_.end();) {
    const auto at = entry++;
    if (at->second.process != number) continue;
    scheduler_.Cancel(at->first);
    requests_.erase(at);
  }
  if (dead->is_driver) {
    EndJob(dead->job);
  } else if (!dead->registered && dead->job != 0) {
    if (dead->asked_for) scheduler_.StartFailed(dead->job);
    const auto job = jobs_.find(dead->job);
    if (job != jobs_.end()) ++job->second.failed_starts;
    spdlog::warn("worker {} ended before it was ready", dead->pid);
  } else if (dead->registered) {
    scheduler_.WorkerGone(number);
    if (dead->lease != 0) requests_.erase(dead->lease);
  }
  events_since_decision_ = true;
}

void NodeService::TellGone(const Process& dead, int32_t code, int32_t signal) {
  const std::string how = signal != 0 ? fmt::format("signal {}", signal)
                                      : fmt::format("exit code {}", code);
  const NodeFacts gone{.kind = wire::NodeKind_Gone,
                       .process = dead.number,
                       .code = code,
                       .signal = signal,
                       .pid = dead.pid,
                       .text = fmt::format("process {} ended with {}", dead.pid, how)};
  for (const uint64_t number : dead.met) {
    if (Process* const peer = Find(number)) Tell(*peer, gone);
  }
  for (auto entry = actors_.begin(); entry != actors_.end();) {
    const auto at = entry++;
    if (at->second != dead.number) continue;
    gone_actors_[at->first] = gone.text;
    actors_.erase(at);
  }
}

}  // namespace penstock
