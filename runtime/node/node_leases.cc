// NodeService: leases, introductions, actors and their names.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "runtime/channel/channel.h"
#include "runtime/node/node_service.h"
#include "store/base/errors.h"
#include "store/shm/mapping.h"
#include "store/shm/memory_file.h"

namespace penstock {
namespace {

constexpr uint32_t kMostFailedStarts = 3;

struct Segment {
  MemoryFile file;
  UniqueFd read_only;
};

absl::StatusOr<Segment> MakeSegment() {
  Segment segment;
  PENSTOCK_ASSIGN_OR_RETURN(segment.file, MemoryFile::Create("penstock-channel", kChannelBytes));
  PENSTOCK_ASSIGN_OR_RETURN(segment.read_only, segment.file.ReopenReadOnly());
  PENSTOCK_ASSIGN_OR_RETURN(const Mapping mapping,
                            Mapping::Map(segment.file.fd(), kChannelHeaderBytes,
                                         Access::kReadWrite, OnFork::kDrop));
  FormatChannel(mapping.data());
  return segment;
}

int32_t CodeOf(const absl::Status& status) { return static_cast<int32_t>(status.code()); }

}  // namespace

absl::Status NodeService::RequestLease(Process& process, const NodeFacts& facts) {
  LeaseRequest request;
  request.id = next_request_++;
  request.job = process.job;
  request.dedicated = facts.dedicated;
  PENSTOCK_ASSIGN_OR_RETURN(request.needed, Resources::From(facts.resources));
  PENSTOCK_ASSIGN_OR_RETURN(request.kept, Resources::From(facts.kept));
  absl::Status status;
  if (facts.actor != 0 && (actors_.contains(facts.actor) || gone_actors_.contains(facts.actor))) {
    status = absl::AlreadyExistsError(fmt::format("actor {:x} exists", facts.actor));
  }
  if (status.ok()) status = scheduler_.Request(request);
  if (!status.ok()) {
    Tell(process, {.kind = wire::NodeKind_LeaseRefused, .request = facts.request,
                   .code = CodeOf(status), .text = std::string(status.message())});
    return absl::OkStatus();
  }
  requests_[request.id] = {process.number, facts.request, facts.actor};
  return absl::OkStatus();
}

void NodeService::Decide() {
  while (std::exchange(events_since_decision_, false)) {
    for (const Decision& decision : scheduler_.Decide()) Act(decision);
  }
}

void NodeService::Act(const Decision& decision) {
  switch (decision.kind) {
    case Decision::kGrant: Grant(decision); break;
    case Decision::kStartWorker: StartWorker(decision.job, /*asked_for=*/true); break;
    case Decision::kStopWorker: StopWorker(decision.worker); break;
    case Decision::kAskBack:
      if (Process* const worker = Find(decision.worker)) {
        if (Process* const holder = Find(worker->serves)) {
          Tell(*holder, {.kind = wire::NodeKind_AskBack, .process = decision.worker});
        }
      }
      break;
    case Decision::kWorkerLimit:
      if (Process* const worker = Find(decision.worker)) {
        Tell(*worker, {.kind = wire::NodeKind_Limit,
                       .text = fmt::format("all {} workers of this node wait for each other",
                                           options_.max_workers)});
      }
      break;
  }
}

void NodeService::Grant(const Decision& decision) {
  const auto found = requests_.find(decision.request);
  Process* const worker = Find(decision.worker);
  Process* const asker = found == requests_.end() ? nullptr : Find(found->second.process);
  if (worker == nullptr) return;
  if (asker == nullptr) {
    scheduler_.Release(decision.worker);
    events_since_decision_ = true;
    return;
  }
  const Request request = found->second;
  requests_.erase(found);
  worker->serves = asker->number;
  worker->lease = decision.request;
  worker->dedicated = request.actor != 0;
  Introduce(*asker, *worker);
  Tell(*asker, {.kind = wire::NodeKind_LeaseGranted, .request = request.number,
                .process = worker->number, .actor = request.actor, .pid = worker->pid});
  if (request.actor == 0) return;
  actors_[request.actor] = worker->number;
  for (const auto& [number, wanted] : awaited_[request.actor]) {
    Process* const process = Find(number);
    if (process == nullptr) continue;
    Introduce(*process, *worker);
    Tell(*process, {.kind = wire::NodeKind_Found, .request = wanted, .process = worker->number,
                    .actor = request.actor, .pid = worker->pid});
  }
  awaited_.erase(request.actor);
}

// Two processes that have not met get a channel: a segment for each direction.
void NodeService::Introduce(Process& a, Process& b) {
  if (a.number == b.number || a.met.contains(b.number)) return;
  auto from_a = MakeSegment();
  auto from_b = MakeSegment();
  if (!from_a.ok() || !from_b.ok()) {
    const absl::Status& why = from_a.ok() ? from_b.status() : from_a.status();
    spdlog::error("no channel between {} and {}: {}", a.pid, b.pid, why.ToString());
    return;
  }
  const auto tell = [this](Process& to, const Process& peer, const Segment& own,
                           const Segment& other) {
    const int fds[kMeetingFdCount] = {own.file.fd(), other.read_only.get(), peer.page.get(),
                                      peer.doorbell.get()};
    Tell(to, {.kind = wire::NodeKind_Meeting, .process = peer.number, .pid = peer.pid}, fds);
  };
  tell(a, b, *from_a, *from_b);
  tell(b, a, *from_b, *from_a);
  a.met.insert(b.number);
  b.met.insert(a.number);
}

void NodeService::StartWorker(JobId job_id, bool asked_for) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  absl::Status why;
  if (job.failed_starts < kMostFailedStarts) {
    auto process = std::make_unique<Process>();
    const uint64_t number = process->number = next_number_++;
    auto spawned = Spawn(job.launch, job.executable.get(), job.directory.get(), number,
                         options_.dir);
    why = spawned.status();
    if (spawned.ok()) {
      process->job = job_id;
      process->asked_for = asked_for;
      process->pid = spawned->pid;
      process->pidfd = std::move(spawned->pidfd);
      why = reactor_.Watch(process->pidfd.get(), [this, number] { OnDeath(number); });
      if (Process* const driver = Find(job.driver)) {
        const int fds[] = {spawned->output.get()};
        Tell(*driver, {.kind = wire::NodeKind_Output, .process = number, .pid = process->pid},
             fds);
      }
      processes_[number] = std::move(process);
      return;
    }
  } else {
    why = absl::FailedPreconditionError(fmt::format(
        "{} workers in a row, started from {}, ended before they were ready: what they printed "
        "says why; if they printed nothing, Init must stand first in main", kMostFailedStarts,
        job.launch.arguments[0]));
  }
  spdlog::error("{}", std::string(why.message()));
  if (asked_for) scheduler_.StartFailed(job_id);
  events_since_decision_ = true;
  // Nobody of this job can be served: say so instead of trying for ever. Not as what ran out,
  // which to the asker means that a worker comes when another is done.
  for (auto entry = requests_.begin(); entry != requests_.end();) {
    const auto at = entry++;
    Process* const asker = Find(at->second.process);
    if (asker == nullptr || asker->job != job_id) continue;
    scheduler_.Cancel(at->first);
    Tell(*asker, {.kind = wire::NodeKind_LeaseRefused, .request = at->second.number,
                  .code = CodeOf(absl::UnavailableError("")),
                  .text = std::string(why.message())});
    requests_.erase(at);
  }
}

void NodeService::ReturnLease(Process& process, uint64_t number) {
  Process* const worker = Find(number);
  if (worker == nullptr || worker->serves != process.number) return;  // died meanwhile
  EndLease(*worker);
}

void NodeService::EndLease(Process& worker) {
  worker.serves = 0;
  worker.lease = 0;
  scheduler_.Release(worker.number);
}

void NodeService::StopWorker(uint64_t number) {
  if (Process* const worker = Find(number)) {
    syscall(SYS_pidfd_send_signal, worker->pidfd.get(), SIGKILL, nullptr, 0);
  }
}

void NodeService::KillWorker(Process& process, uint64_t number) {
  Process* const worker = Find(number);
  if (worker == nullptr || worker->is_driver || worker->job != process.job) return;
  StopWorker(number);
}

void NodeService::EndJob(JobId job) {
  for (const WorkerId worker : scheduler_.RemoveJob(job)) StopWorker(worker);
  // Also those that have not registered yet.
  for (auto& [number, process] : processes_) {
    if (process->job == job && !process->is_driver) StopWorker(number);
  }
  const std::string prefix = fmt::format("{}/", job);
  absl::erase_if(names_, [&](const auto& entry) { return entry.first.starts_with(prefix); });
  if (const auto found = jobs_.find(job); found != jobs_.end()) {
    // After the workers' deaths: what one of them seals until then goes too.
    store_.DropObjectsOf(found->second.sessions);
    jobs_.erase(found);
  }
}

void NodeService::NameActor(Process& process, const NodeFacts& facts) {
  const auto [found, fresh] =
      names_.try_emplace(fmt::format("{}/{}", process.job, facts.name), facts.actor);
  const bool free = fresh || gone_actors_.contains(found->second);
  if (free) found->second = facts.actor;
  absl::Status status;
  if (!free) {
    status = absl::AlreadyExistsError(fmt::format(
        "an actor named '{}' exists: choose another name, or get it with GetActor", facts.name));
  }
  Tell(process, {.kind = wire::NodeKind_Named, .request = facts.request, .code = CodeOf(status),
                 .text = std::string(status.message())});
}

void NodeService::FindActor(Process& process, const NodeFacts& facts) {
  const auto found = names_.find(fmt::format("{}/{}", process.job, facts.name));
  if (found == names_.end()) {
    Tell(process, {.kind = wire::NodeKind_LeaseRefused, .request = facts.request,
                   .code = static_cast<int32_t>(absl::StatusCode::kNotFound),
                   .text = fmt::format("no actor is named '{}'", facts.name)});
    return;
  }
  MeetActor(process, {.request = facts.request, .actor = found->second});
}

void NodeService::MeetActor(Process& process, const NodeFacts& facts) {
  if (const auto gone = gone_actors_.find(facts.actor); gone != gone_actors_.end()) {
    Tell(process, {.kind = wire::NodeKind_LeaseRefused, .request = facts.request,
                   .code = static_cast<int32_t>(absl::StatusCode::kAborted),
                   .text = gone->second});
    return;
  }
  const auto found = actors_.find(facts.actor);
  Process* const worker = found == actors_.end() ? nullptr : Find(found->second);
  if (worker == nullptr || worker->job != process.job) {
    awaited_[facts.actor].emplace_back(process.number, facts.request);
    return;
  }
  Introduce(process, *worker);
  Tell(process, {.kind = wire::NodeKind_Found, .request = facts.request,
                 .process = worker->number, .actor = facts.actor, .pid = worker->pid});
}

}  // namespace penstock
