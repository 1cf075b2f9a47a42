// Process: coming to its node, and hearing what the node says.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "runtime/node/spawner.h"
#include "runtime/process/clock.h"
#include "runtime/process/process.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/store_directory.h"
#include "store/base/threads.h"
#include "store/shm/memory_file.h"
#include "store/shm/slot_layout.h"
#include "store/shm/session_layout.h"
#include "store/wire/control_message.h"
#include "store/wire/packet_socket.h"

extern char** environ;

namespace penstock::internal {
namespace {

// A lease that nobody used for so long goes back.
constexpr int64_t kIdleLease_ns = 50'000'000;
// While calls wait for something, this often it is looked whether anybody takes care.
constexpr int kAttention_ms = 1;
constexpr int kIdleCheck_ms = 50;

template <typename T>
T Take(absl::StatusOr<T> value) {
  if (!value.ok()) throw RuntimeUnavailable(std::string(value.status().message()));
  return *std::move(value);
}

// The arguments and the environment of this process, for its workers.
absl::StatusOr<UniqueFd> MakeLaunchFile() {
  FILE* const file = fopen("/proc/self/cmdline", "re");
  if (file == nullptr) return ProcStatus(errno, "reading the arguments in /proc/self/cmdline");
  std::string arguments;
  char buffer[4096];
  size_t got;
  while ((got = fread(buffer, 1, sizeof(buffer), file)) > 0) arguments.append(buffer, got);
  fclose(file);
  const std::string bytes = EncodeLaunch(arguments, environ);
  UniqueFd fd(CreateMemfd("penstock-launch", 0));
  if (!fd.valid()) return CallStatus(errno, "memfd_create of penstock-launch");
  const std::string handing = "handing arguments and environment to the workers";
  if (bytes.size() > LargestFileBytes()) return ErrnoStatus(EFBIG, handing);
  if (write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    return ErrnoStatus(errno, handing);
  }
  return fd;
}

absl::StatusOr<UniqueFd> OpenForWorkers(const char* path, int flags) {
  UniqueFd fd(open(path, flags | O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, fmt::format("opening {} for the workers", path));
  return fd;
}

}  // namespace

void Process::SendToNode(const NodeFacts& facts, std::span<const int> fds) {
  const absl::Status sent = SendPacket(socket_.get(), EncodeNodeMessage(facts), fds);
  if (!sent.ok() && node_lost_.empty()) {
    node_lost_ = "the node is gone: " + std::string(sent.message());
  }
}

void Process::Connect(const std::string& dir, std::optional<uint64_t> worker_number) {
  session_dir_ = dir;
  is_worker_ = worker_number.has_value();
  client_ = Take(Client::Connect({.dir = dir}));
  const ObjectId own = Take(client_->NextId());
  cluster_ = own.home;
  socket_ = Take(ConnectTo(SocketPath(dir)));
  doorbell_ = Take(MakeDoorbell());
  wake_listener_ = Take(MakeDoorbell());
  page_file_ = Take(MemoryFile::Create("penstock-process", kProcessPageBytes));
  page_mapping_ = Take(Mapping::Map(page_file_.fd(), kProcessPageBytes, Access::kReadWrite,
                                    OnFork::kDrop));
  page_ = new (page_mapping_.data()) ProcessPage{};
  page_->layout_version = kChannelLayoutVersion;
  page_->magic = kProcessPageMagic;
  const UniqueFd read_only = Take(page_file_.ReopenReadOnly());
  const std::string hello =
      HelloMessage(wire::Role_Runtime, kIndexLayoutVersion, kSessionLayoutVersion);
  if (const absl::Status sent = SendPacket(socket_.get(), hello); !sent.ok()) {
    throw RuntimeUnavailable(std::string(sent.message()));
  }
  if (is_worker_) {
    const int fds[kProcessFdCount] = {read_only.get(), doorbell_.get()};
    SendToNode({.kind = wire::NodeKind_RegisterWorker, .process = *worker_number,
                .session = own.session}, fds);
  } else {
    const UniqueFd launch = Take(MakeLaunchFile());
    const UniqueFd executable = Take(OpenForWorkers("/proc/self/exe", 0));
    const UniqueFd directory = Take(OpenForWorkers(".", O_DIRECTORY));
    const int fds[kDriverFdCount] = {read_only.get(), doorbell_.get(), launch.get(),
                                     executable.get(), directory.get()};
    SendToNode({.kind = wire::NodeKind_RegisterDriver, .session = own.session}, fds);
  }
  Packet packet = Take(ReceivePacketWithin(socket_.get(), 20'000));
  const auto facts = DecodeNodeMessage(packet.bytes);
  if (!facts.ok() || facts->kind != wire::NodeKind_Registered) {
    const auto refused = ParseMessage(packet.bytes);
    throw RuntimeUnavailable(
        refused.ok() && (*refused)->body_type() == wire::Body_Refused
            ? std::string(StatusOf(*(*refused)->body_as_Refused()).message())
            : "the node did not answer the registration: is it of the same release?");
  }
  number_ = facts->process;
  listener_ = Take(StartThread("starting the thread that listens to the node",
                               [this] { ListenToNode(); }));
}

void Process::ListenToNode() {
  prctl(PR_SET_NAME, "penstock-node");
  for (;;) {
    std::vector<pollfd> items = {{socket_.get(), POLLIN, 0}, {wake_listener_.get(), POLLIN, 0}};
    for (const Output& output : outputs_) items.push_back({output.pipe.get(), POLLIN, 0});
    int timeout_ms = -1;
    {
      const Lock lock(mutex_);
      if (stopping_) return;
      listener_attends_ = NeedsAttention();
      if (listener_attends_) {
        timeout_ms = kAttention_ms;
      } else {
        for (const auto& [resources, shape] : shapes_) {
          if (!shape->leases.empty()) timeout_ms = kIdleCheck_ms;
        }
      }
    }
    if (poll(items.data(), items.size(), timeout_ms) < 0 && errno != EINTR) return;
    if (items[1].revents != 0) DrainDoorbell(wake_listener_.get());
    for (size_t i = items.size(); i-- > 2;) {
      if (items[i].revents != 0) ForwardOutput(i - 2);
    }
    if (items[0].revents != 0) {
      auto packet = ReceivePacket(socket_.get());
      if (!packet.ok() || packet->bytes.empty()) return OnNodeLost();
      auto facts = DecodeNodeMessage(packet->bytes);
      if (!facts.ok()) return OnNodeLost();
      OnNodeMessage(*std::move(facts), std::move(packet->fds));
      continue;
    }
    Tick();
  }
}

// Nobody waits: what calls wait for is looked after here.
void Process::Tick() {
  const Lock lock(mutex_);
  // Also beside a leader, who may be asleep.
  if (has_trash_.load(std::memory_order_relaxed)) DrainTrash();
  if (!leading_) {
    Pump();
    DispatchHeld();
  }
  const int64_t now_ns = SteadyNs();
  for (const auto& [resources, shape] : shapes_) {
    const std::vector<Peer*> leases = shape->leases;
    for (Peer* const peer : leases) {
      if (peer->sent.open() == 0 && shape->queue.empty() &&
          now_ns - peer->idle_since_ns > kIdleLease_ns) {
        ReturnLease(*peer);
      }
    }
  }
}

void Process::OnNodeMessage(NodeFacts facts, std::vector<UniqueFd> fds) {
  const Lock lock(mutex_);
  switch (facts.kind) {
    case wire::NodeKind_Meeting:
      OnMeeting(facts, fds);
      break;
    case wire::NodeKind_LeaseGranted:
      OnGranted(facts);
      break;
    case wire::NodeKind_Found:
      if (actor_of_request_.contains(facts.request)) {
        OnGranted(facts);
      } else if (const auto found = answers_.find(facts.request); found != answers_.end()) {
        found->second = {true, facts};
      }
      break;
    case wire::NodeKind_LeaseRefused:
    case wire::NodeKind_Named:
      if (const auto found = answers_.find(facts.request); found != answers_.end()) {
        found->second = {true, facts};
      } else {
        OnRefused(facts);
      }
      break;
    case wire::NodeKind_AskBack:
      if (const auto peer = peers_.find(facts.process); peer != peers_.end()) {
        peer->second->asked_back = true;
        if (peer->second->sent.open() == 0) ReturnLease(*peer->second);
      }
      break;
    case wire::NodeKind_Gone:
      OnGone(facts);
      break;
    case wire::NodeKind_Limit:
      limit_ = facts.text + ": raise Config::max_workers, or wait for less at a time";
      break;
    case wire::NodeKind_Output:
      if (fds.size() == 1) outputs_.push_back({std::move(fds[0]), facts.pid, {}});
      break;
    default:
      break;  // of a later release: not for us
  }
  // Whoever waits looks again.
  turn_.notify_all();
  RingDoorbell(doorbell_.get());
}

void Process::OnMeeting(const NodeFacts& facts, std::vector<UniqueFd>& fds) {
  if (fds.size() != kMeetingFdCount || peers_.contains(facts.process)) return;
  auto peer = std::make_unique<Peer>();
  peer->number = facts.process;
  peer->pid = facts.pid;
  const auto map = [](UniqueFd fd, uint64_t bytes, Access access) -> absl::StatusOr<Mapping> {
    PENSTOCK_ASSIGN_OR_RETURN(const MemoryFile file, MemoryFile::Adopt(std::move(fd), bytes));
    return Mapping::Map(file.fd(), bytes, access, OnFork::kDrop);
  };
  auto own = map(std::move(fds[kOwnSegment]), kChannelBytes, Access::kReadWrite);
  auto other = map(std::move(fds[kPeerSegment]), kChannelBytes, Access::kReadOnly);
  auto page = map(std::move(fds[kPeerPage]), kProcessPageBytes, Access::kReadOnly);
  if (!own.ok() || !other.ok() || !page.ok() || !CheckChannel(other->data()).ok()) return;
  peer->own = *std::move(own);
  peer->other = *std::move(other);
  peer->page = *std::move(page);
  peer->doorbell = std::move(fds[kPeerDoorbell]);
  AddPeer(std::move(peer));
}

void Process::AddPeer(std::unique_ptr<Peer> peer) {
  auto* const header = reinterpret_cast<ChannelHeader*>(peer->own.data());
  peer->producer = ChannelProducer(
      peer->own.data(), reinterpret_cast<const ChannelHeader*>(peer->other.data()));
  peer->consumer = ChannelConsumer(header, peer->other.data());
  peer_list_.push_back(peer.get());
  const uint64_t number = peer->number;
  peers_[number] = std::move(peer);
}

// A worker that was leased to itself: what it called and did not wait for, it runs when it
// has nothing else to do. One segment is both directions of the channel.
void Process::MeetItself() {
  if (peers_.contains(number_)) return;
  auto peer = std::make_unique<Peer>();
  peer->number = number_;
  peer->pid = getpid();
  const MemoryFile segment = Take(MemoryFile::Create("penstock-channel", kChannelBytes));
  peer->own = Take(Mapping::Map(segment.fd(), kChannelBytes, Access::kReadWrite, OnFork::kDrop));
  FormatChannel(peer->own.data());
  peer->other = Take(Mapping::Map(segment.fd(), kChannelBytes, Access::kReadOnly, OnFork::kDrop));
  peer->page = Take(Mapping::Map(page_file_.fd(), kProcessPageBytes, Access::kReadOnly,
                                 OnFork::kDrop));
  peer->doorbell = UniqueFd(fcntl(doorbell_.get(), F_DUPFD_CLOEXEC, 0));
  AddPeer(std::move(peer));
}

void Process::OnNodeLost() {
  if (is_worker_) _exit(0);  // a worker ends with its node
  const Lock lock(mutex_);
  if (stopping_) return;
  node_lost_ = "the node ended: its tasks, actors and objects are gone";
  turn_.notify_all();
  RingDoorbell(doorbell_.get());
}

// What a worker prints appears here, line by line, with its process in front.
void Process::ForwardOutput(size_t index) {
  Output& output = outputs_[index];
  char buffer[4096];
  const ssize_t got = read(output.pipe.get(), buffer, sizeof(buffer));
  if (got > 0) output.line.append(buffer, static_cast<size_t>(got));
  const bool ended = got <= 0;
  size_t begin = 0;
  for (size_t end; (end = output.line.find('\n', begin)) != std::string::npos; begin = end + 1) {
    fmt::print(stdout, "(pid={}) {}\n", output.pid, output.line.substr(begin, end - begin));
  }
  output.line.erase(0, begin);
  if (ended && !output.line.empty()) fmt::print(stdout, "(pid={}) {}\n", output.pid, output.line);
  fflush(stdout);
  if (ended) outputs_.erase(outputs_.begin() + static_cast<ptrdiff_t>(index));
}

Process::~Process() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  RingDoorbell(wake_listener_.get());
  if (listener_.joinable()) listener_.join();
  socket_.reset();  // the node ends this job
}

}  // namespace penstock::internal
