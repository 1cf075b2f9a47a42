// Who may come in, and who may only read: the allow list, and that a guest who reads only can
// write none of the descriptors it is given but its own segment.
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>

#include <fmt/format.h>

#include "store/base/store_directory.h"
#include "store/shm/size_class.h"
#include "tests/integration/helpers.h"
#include "tests/integration/raw_session.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

// Root stands here for the store's owner, and nobody for its guest.
#define SKIP_UNLESS_ROOT()                                                               \
  if (geteuid() != 0) {                                                                  \
    fprintf(stderr, "\n*** NOT TESTED: only root can become another user ***\n\n");      \
    GTEST_SKIP() << "only root can become another user";                                 \
  }

std::vector<std::string> Allowing(const std::vector<std::string>& entries) {
  std::vector<std::string> flags = {"--memory", "64MiB"};
  for (const std::string& entry : entries) {
    flags.push_back("--allow");
    flags.push_back(entry);
  }
  return flags;
}

// What another user says and hears: `body` with the rights of nobody.
int AsNobody(const std::function<int()>& body) {
  return RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(BecomeNobody());
    return body();
  });
}

// All that a reader can do works, and all that it cannot do says so and breaks nothing.
int ReadAndFailToWrite(Client& reader, const ObjectId& id, const std::string& what_to_do) {
  PENSTOCK_CHILD_EXPECT(HasPattern(Must(reader.Get(id)).data(), 1));
  PENSTOCK_CHILD_EXPECT(HasPattern(Must(reader.Get(id)).metadata(), 2));
  PENSTOCK_CHILD_EXPECT(Must(reader.Contains(id)));
  PENSTOCK_CHILD_EXPECT(!Must(reader.Contains(ObjectId::FromName("none"))));
  PENSTOCK_CHILD_EXPECT(!Must(reader.List()).empty());
  PENSTOCK_CHILD_EXPECT(reader.Sync().ok());
  PENSTOCK_CHILD_EXPECT(reader.Subscribe({}).ok());
  PENSTOCK_CHILD_EXPECT(
      absl::IsDeadlineExceeded(reader.Get(Must(reader.NextId()), absl::Milliseconds(5)).status()));
  const auto is_refused = [&](const absl::Status& status) {
    return Says(status, StatusCode::kPermissionDenied, what_to_do);
  };
  const std::vector<uint64_t> sizes = {10, 20};
  PENSTOCK_CHILD_EXPECT(is_refused(reader.Create(10).status()));
  PENSTOCK_CHILD_EXPECT(is_refused(reader.CreateMany(sizes).status()));
  PENSTOCK_CHILD_EXPECT(is_refused(reader.Create(10, {.id = ObjectId::FromName("a")}).status()));
  PENSTOCK_CHILD_EXPECT(is_refused(reader.Put("text").status()));
  PENSTOCK_CHILD_EXPECT(is_refused(reader.Delete(id)));
  PENSTOCK_CHILD_EXPECT(is_refused(reader.Delete(ObjectId::FromName("none"))));
  PENSTOCK_CHILD_EXPECT(HasPattern(Must(reader.Get(id)).data(), 1));
  return 0;
}

ObjectId PutForReaders(Client& owner) {
  const std::vector<std::byte> metadata = Pattern(2, 40);
  const ObjectId id = PutPattern(owner, 1, 50'000, {.metadata = metadata});
  Must(owner.Sync());
  return id;
}

TEST(Roles, AClientThatAsksForItReadsOnly) {
  const TestDaemon daemon;
  Client owner = daemon.Connect();
  const ObjectId id = PutForReaders(owner);
  Client reader = Must(Client::Connect({.dir = daemon.dir(), .read_only = true}));
  EXPECT_EQ(ReadAndFailToWrite(reader, id, "ClientOptions::read_only"), 0);
  EXPECT_EQ(daemon.Status().Counter("broken_sessions"), 0u);
  // A child of it asks for the same.
  EXPECT_EQ(RunInChild([&] {
    return ReadAndFailToWrite(reader, id, "ClientOptions::read_only");
  }), 0);
}

TEST(Roles, AGuestOfTheListReadsOnlyUnlessTheListSaysOtherwise) {
  SKIP_UNLESS_ROOT();
  for (const std::string& entry :
       {fmt::format("uid:{}", kNobody), fmt::format("{}", kNobody), std::string("nobody"),
        fmt::format("uid:1 gid:{}", kNobody), fmt::format("uid:1:rw,uid:{}", kNobody)}) {
    SCOPED_TRACE(entry);
    const TestDaemon daemon(Allowing({entry}));
    Client owner = daemon.Connect();
    const ObjectId id = PutForReaders(owner);
    EXPECT_EQ(AsNobody([&] {
      Client guest = daemon.Connect();
      PENSTOCK_CHILD_EXPECT(QueryStatus(daemon.dir()).ok());
      return ReadAndFailToWrite(guest, id, fmt::format("--allow uid:{}:rw", kNobody));
    }), 0);
    EXPECT_EQ(daemon.Status().Counter("broken_sessions"), 0u);
    EXPECT_TRUE(NothingIsLeft(daemon, 1));
  }
  for (const std::vector<std::string>& entries :
       {std::vector{fmt::format("uid:{}:rw", kNobody)},
        std::vector{fmt::format("uid:{}", kNobody), fmt::format("gid:{}:rw", kNobody)}}) {
    const TestDaemon daemon(Allowing(entries));
    Client owner = daemon.Connect();
    const ObjectId id = PutForReaders(owner);
    EXPECT_EQ(AsNobody([&] {
      Client guest = daemon.Connect();
      const ObjectId own = PutPattern(guest, 3, 1000);
      PENSTOCK_CHILD_EXPECT(HasPattern(Must(guest.Get(own)).data(), 3));
      PENSTOCK_CHILD_EXPECT(guest.Delete(own).ok());
      Client reader = Must(Client::Connect({.dir = daemon.dir(), .read_only = true}));
      return ReadAndFailToWrite(reader, id, "ClientOptions::read_only");
    }), 0);
  }
}

// The packet itself, and not what a library makes of it.
TEST(Roles, AUserWhoIsNotListedGetsNoDescriptorAndIsToldWhatToSet) {
  SKIP_UNLESS_ROOT();
  const TestDaemon daemon(Allowing({"uid:1", "gid:2:rw"}));
  EXPECT_EQ(AsNobody([&] {
    for (const wire::Role role : {wire::Role_Client, wire::Role_Observer, wire::Role_Runtime}) {
      const UniqueFd socket = Must(ConnectTo(SocketPath(daemon.dir())));
      const std::string hello =
          HelloMessage(role, kIndexLayoutVersion, kSessionLayoutVersion, true);
      const Packet packet = Must(AskDaemon(socket.get(), {&hello, 1}));
      PENSTOCK_CHILD_EXPECT(packet.fds.empty());
      const auto* const refused = Must(ParseMessage(packet.bytes))->body_as_Refused();
      PENSTOCK_CHILD_EXPECT(refused != nullptr);
      PENSTOCK_CHILD_EXPECT(Says(StatusOf(*refused), StatusCode::kPermissionDenied,
                                 fmt::format("--allow uid:{}", kNobody)));
      const Packet after = Must(ReceivePacketWithin(socket.get(), 20'000));
      PENSTOCK_CHILD_EXPECT(after.bytes.empty() && after.fds.empty());
    }
    return 0;
  }), 0);
}

// Workers run with the rights of the daemon.
TEST(Roles, AGuestRunsNoTasks) {
  SKIP_UNLESS_ROOT();
  const TestDaemon daemon(Allowing({fmt::format("uid:{}:rw", kNobody)}));
  EXPECT_EQ(AsNobody([&] {
    const std::string refusal = RefusalOf(
        daemon.dir(),
        HelloMessage(wire::Role_Runtime, kIndexLayoutVersion, kSessionLayoutVersion));
    PENSTOCK_CHILD_EXPECT(Contains(refusal, "daemon of your own"));
    return 0;
  }), 0);
}

// Every way to a byte that can be written, for one descriptor. The name of the first that
// opens.
std::string WayToWrite(int fd, uint64_t bytes) {
  void* const writable = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (writable != MAP_FAILED) return "mmap";
  void* const readable = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (readable == MAP_FAILED) return "no mapping at all";
  if (mprotect(readable, bytes, PROT_READ | PROT_WRITE) == 0) return "mprotect";
  munmap(readable, bytes);
  for (const int flags : {O_RDWR, O_WRONLY, O_RDWR | O_TRUNC, O_WRONLY | O_APPEND}) {
    const UniqueFd reopened(open(fmt::format("/proc/self/fd/{}", fd).c_str(), flags | O_CLOEXEC));
    if (reopened.valid()) return fmt::format("open with {:#o}", flags);
  }
  // The access mode stays; only that the call does no harm.
  fcntl(fd, F_SETFL, O_RDWR);
  if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY) return "F_SETFL";
  const char byte = 'x';
  if (write(fd, &byte, 1) == 1 || pwrite(fd, &byte, 1, 0) == 1) return "write";
  if (ftruncate(fd, 0) == 0 || ftruncate(fd, static_cast<off_t>(bytes * 2)) == 0) {
    return "ftruncate";
  }
  const auto half = static_cast<off_t>(bytes / 2);
  for (const int mode : {0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
                         FALLOC_FL_COLLAPSE_RANGE}) {
    if (fallocate(fd, mode, 0, half) == 0) return fmt::format("fallocate {}", mode);
  }
  for (const int seal : {F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_FUTURE_WRITE}) {
    if (fcntl(fd, F_ADD_SEALS, seal) == 0) return fmt::format("seal {}", seal);
  }
  if (fchmod(fd, 0666) == 0 || fchown(fd, geteuid(), getegid()) == 0) return "fchmod";
  return "";
}

int TryToWriteAsAGuest(const TestDaemon& daemon) {
  const RawSession guest(daemon.dir());
  PENSTOCK_CHILD_EXPECT(guest.facts.read_only);
  PENSTOCK_CHILD_EXPECT(!guest.fds.at(kFdArenaWritable).valid());
  const SessionGeometry geometry = SessionGeometry::For(guest.facts.capacity);
  const std::vector<std::pair<FdOrder, uint64_t>> files = {
      {kFdArenaReadOnly, guest.facts.arena_bytes},
      {kFdIndex, guest.facts.index_bytes},
      {kFdDaemonSegment, geometry.daemon_bytes}};
  for (const auto& [which, bytes] : files) {
    const std::string way = WayToWrite(guest.fds.at(which).get(), bytes);
    if (!way.empty()) fprintf(stderr, "descriptor %zu: %s\n", size_t{which}, way.c_str());
    PENSTOCK_CHILD_EXPECT(way.empty());
  }
  // None of the others is one of them under another number.
  struct stat arena, index, other;
  PENSTOCK_CHILD_EXPECT(fstat(guest.fds[kFdArenaReadOnly].get(), &arena) == 0);
  PENSTOCK_CHILD_EXPECT(fstat(guest.fds[kFdIndex].get(), &index) == 0);
  for (const FdOrder which : {kFdClientSegment, kFdDaemonDoorbell, kFdClientDoorbell}) {
    PENSTOCK_CHILD_EXPECT(fstat(guest.fds[which].get(), &other) == 0);
    PENSTOCK_CHILD_EXPECT(other.st_ino != arena.st_ino || other.st_dev != arena.st_dev);
    PENSTOCK_CHILD_EXPECT(other.st_ino != index.st_ino || other.st_dev != index.st_dev);
  }
  // Its own segment is writable, as it must be, and cannot be shortened under the daemon.
  const int own = guest.fds[kFdClientSegment].get();
  PENSTOCK_CHILD_EXPECT(ftruncate(own, 0) != 0 && fcntl(own, F_ADD_SEALS, F_SEAL_WRITE) != 0);
  return 0;
}

TEST(Roles, AGuestWhoReadsOnlyFindsNoWayToWrite) {
  SKIP_UNLESS_ROOT();
  const TestDaemon daemon(Allowing({fmt::format("uid:{}", kNobody)}));
  Client owner = daemon.Connect();
  const ObjectId id = PutForReaders(owner);
  EXPECT_EQ(AsNobody([&] { return TryToWriteAsAGuest(daemon); }), 0);
  EXPECT_TRUE(HasPattern(Must(owner.Get(id)).data(), 1));
  EXPECT_TRUE(owner.Put("works").ok());
  EXPECT_TRUE(NothingIsLeft(daemon, 1));
}

// The daemon answers root, and what it says is that the store is another user's.
TEST(Roles, RootHearsWhoseStoreItIsAndNotThatTheDaemonIsSilent) {
  SKIP_UNLESS_ROOT();
  const TempDir dir;
  const std::string store = dir.path() + "/store";
  const pid_t daemon = StartDaemonOfNobody(dir.path(), store);
  ProgramOutcome status;
  EXPECT_TRUE(Eventually([&] {
    status = RunProgram({ProgramPath("penstock"), "status", "--dir", store});
    return Contains(status.output, "belongs to user");
  })) << status.output;
  EXPECT_EQ(status.exit_code, 2);
  EXPECT_FALSE(Contains(status.output, "gdb")) << status.output;
  EXPECT_TRUE(Contains(status.output, "16.00 MiB")) << status.output;
  const ProgramOutcome doctor = RunProgram({ProgramPath("penstock"), "doctor", "--dir", store});
  EXPECT_TRUE(Contains(doctor.output, "the daemon of another user runs")) << doctor.output;
  EXPECT_EQ(kill(daemon, SIGTERM), 0);
  EXPECT_EQ(WaitForChild(daemon), 0);
}

// Its library refuses these calls first; a process without it loses its session.
TEST(Roles, ARecordThatWritesEndsASessionThatMayOnlyRead) {
  const TestDaemon daemon;
  Client owner = daemon.Connect();
  const ObjectId id = PutForReaders(owner);
  const uint32_t slot = [&] {
    RawSession reader(daemon.dir(), true);
    Submission get{};
    get.op = SubmissionOp::kGet;
    get.request = 1;
    get.id = id;
    reader.Push(get);
    return reader.AnswerTo(1).object.slot;
  }();
  for (const SubmissionOp op :
       {SubmissionOp::kSeal, SubmissionOp::kDelete, SubmissionOp::kDeleteById,
        SubmissionOp::kLease, SubmissionOp::kReserve, SubmissionOp::kReturnLease}) {
    SCOPED_TRACE(static_cast<int>(op));
    RawSession reader(daemon.dir(), true);
    Submission record{};
    record.op = op;
    record.request = 1;
    record.slot = slot;
    record.generation =
        GenerationOf(reader.index.slot(slot).state.load(std::memory_order_seq_cst));
    record.id = id;
    record.size = BlockBytes(100);
    record.flags_or_count = 1;
    reader.Push(record);
    const std::string refusal = reader.Refusal();
    EXPECT_TRUE(Contains(refusal, "may only read")) << refusal;
    EXPECT_EQ(reader.segments.daemon->revoked.load(), 1u);
  }
  EXPECT_TRUE(HasPattern(Must(owner.Get(id)).data(), 1));
}

TEST(Roles, OutliveTheDaemonThatGaveThem) {
  const TestDaemon daemon;
  Client owner = daemon.Connect();
  const ObjectId id = PutForReaders(owner);
  Client reader = Must(Client::Connect({.dir = daemon.dir(), .read_only = true}));
  RawSession raw(daemon.dir(), true);
  raw.segments.client->use.store(kInUse);  // it has its welcome
  const pid_t first = daemon.daemon_pid();
  kill(first, SIGKILL);
  ASSERT_TRUE(Eventually([&] {
    const pid_t now = daemon.daemon_pid();
    return now > 0 && now != first;
  }));
  EXPECT_EQ(ReadAndFailToWrite(reader, id, "ClientOptions::read_only"), 0);
  EXPECT_TRUE(owner.Put("works").ok());
  // What the successor took over is a session that reads only, whatever it asks.
  Submission lease{};
  lease.op = SubmissionOp::kLease;
  lease.request = 9;
  lease.size = BlockBytes(100);
  lease.flags_or_count = 1;
  raw.Push(lease);
  const auto restarted = Must(ReceivePacketWithin(raw.socket.get(), 20'000));
  EXPECT_TRUE(restarted.fds.empty());
  const std::string refusal = raw.Refusal();
  EXPECT_TRUE(Contains(refusal, "may only read")) << refusal;
}

}  // namespace
}  // namespace penstock::testing
