// What one client, one user or one connection may take, and that whoever takes more is told
// and nobody else notices.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "store/base/store_directory.h"
#include "store/base/units.h"
#include "store/shm/size_class.h"
#include "tests/integration/helpers.h"
#include "tests/integration/raw_session.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

constexpr uint64_t kTiB = uint64_t{1} << 40;
constexpr size_t kMostWithoutSession = 1024;  // of the daemon, tools/penstockd/antechamber.h

TEST(Limits, AThousandIdleConnectionsCostNobodyAnythingAndAreClosed) {
  const TestDaemon daemon;
  Client bystander = daemon.Connect();
  const ObjectId id = PutPattern(bystander, 1, 5000);
  const size_t before = OpenDescriptors(daemon.daemon_pid());
  Channel all_open;
  const pid_t child = StartChild([&] {
    PENSTOCK_CHILD_EXPECT(RaiseDescriptorLimit());
    std::vector<UniqueFd> sockets;
    for (int i = 0; i < 1000; ++i) {
      sockets.push_back(Must(ConnectTo(SocketPath(daemon.dir()))));
      // Half a message: a packet is whole or not at all, so this is all of it.
      if (i % 10 == 0) Must(SendPacket(sockets.back().get(), std::string(1, 'P')));
    }
    all_open.Signal();
    PENSTOCK_CHILD_EXPECT(Eventually([&] { return CountClosed(sockets) == sockets.size(); },
                                     absl::Seconds(60)));
    return 0;
  });
  all_open.Wait();
  const absl::Time began = absl::Now();
  for (uint64_t round = 0; Runs(child); ++round) {
    ASSERT_TRUE(HasPattern(Must(bystander.Get(id)).data(), 1));
    Client other = daemon.Connect();
    const ObjectId own = PutPattern(other, round, 5000);
    ASSERT_TRUE(HasPattern(Must(bystander.Get(own)).data(), round));
    Must(other.Delete(own));
    usleep(5000);
  }
  EXPECT_EQ(WaitForChild(child), 0);
  EXPECT_LT(absl::Now() - began, absl::Seconds(60));
  EXPECT_TRUE(Eventually([&] {
    return OpenDescriptors(daemon.daemon_pid()) <= before + 1;
  })) << OpenDescriptors(daemon.daemon_pid()) << " descriptors, before " << before;
  EXPECT_TRUE(NothingIsLeft(daemon, 1));
}

// With no call of anybody that would wake the daemon.
TEST(Limits, OneSilentConnectionIsClosedAndToldWhy) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  const UniqueFd socket = Must(ConnectTo(SocketPath(daemon.dir())));
  const absl::Time began = absl::Now();
  const Packet packet = Must(ReceivePacketWithin(socket.get(), 60'000));
  const auto* const refused = Must(ParseMessage(packet.bytes))->body_as_Refused();
  ASSERT_NE(refused, nullptr);
  EXPECT_TRUE(Says(StatusOf(*refused), StatusCode::kDeadlineExceeded, "nothing came"));
  EXPECT_GE(absl::Now() - began, absl::Seconds(9));
}

TEST(Limits, OfManyConnectionsWithoutASessionTheMostSilentMakesRoom) {
  ASSERT_TRUE(RaiseDescriptorLimit());
  const TestDaemon daemon;
  std::vector<UniqueFd> sockets;
  for (size_t i = 0; i < kMostWithoutSession + 50; ++i) {
    sockets.push_back(Must(ConnectTo(SocketPath(daemon.dir()))));
    // The oldest ones speak now and then, and so are not the most silent.
    if (i == 1000) Must(SendPacket(sockets[0].get(), StatusRequestMessage()));
  }
  EXPECT_TRUE(Eventually([&] { return CountClosed(sockets) >= 50; }));
  EXPECT_LT(CountClosed(sockets), 200u);
  EXPECT_TRUE(daemon.Connect().Put("works").ok());
  EXPECT_LE(daemon.Status().Counter("connections_without_session"), kMostWithoutSession);
}

TEST(Limits, OneUserHasNoMoreSessionsThanTheOptionSays) {
  const TestDaemon daemon({"--memory", "64MiB", "--max-sessions-per-user", "3"});
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(daemon.Connect());
  EXPECT_TRUE(Says(Client::Connect({.dir = daemon.dir()}), StatusCode::kResourceExhausted,
                   "--max-sessions-per-user"));
  clients.pop_back();
  EXPECT_TRUE(Eventually([&] { return Client::Connect({.dir = daemon.dir()}).ok(); }));
}

TEST(Limits, AGuestHasAQuarterOfTheSessions) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const TestDaemon daemon({"--memory", "64MiB", "--max-sessions", "8", "--allow",
                           fmt::format("uid:{}", kNobody)});
  Client owner = daemon.Connect();
  EXPECT_EQ(RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(BecomeNobody());
    const Client first = daemon.Connect(), second = daemon.Connect();
    const auto third = Client::Connect({.dir = daemon.dir()});
    PENSTOCK_CHILD_EXPECT(Says(third, StatusCode::kResourceExhausted, "for one user"));
    return 0;
  }), 0);
  std::vector<Client> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(daemon.Connect());
  EXPECT_TRUE(owner.Put("works").ok());
}

TEST(Limits, AClientBeyondItsQuotaIsRefusedAndNobodyElse) {
  const TestDaemon daemon({"--memory", "64MiB", "--client-quota", "8MiB"});
  daemon.WaitPopulated();
  Client greedy = daemon.Connect();
  Client other = daemon.Connect();
  std::vector<ObjectId> ids;
  absl::Status refusal;
  for (uint64_t i = 0; i < 100 && refusal.ok(); ++i) {
    const auto put = greedy.Put(Pattern(i, 1 << 20));
    refusal = put.status();
    if (put.ok()) ids.push_back(*put);
  }
  EXPECT_TRUE(Says(refusal, StatusCode::kResourceExhausted, "--client-quota"));
  EXPECT_GE(ids.size(), 5u);
  EXPECT_LE(ids.size(), 8u);
  EXPECT_TRUE(Says(greedy.Create(1 << 20, {.id = ObjectId::FromName("mine")}),
                   StatusCode::kResourceExhausted, "quota of 8.00 MiB"));
  EXPECT_TRUE(other.Put(Pattern(1, 4 << 20)).ok());
  Must(greedy.Delete(ids.back()));
  Must(greedy.Sync());
  EXPECT_TRUE(greedy.Put(Pattern(1, 1 << 19)).ok());
}

TEST(Limits, WhoPinsBeyondItsQuotaWhileOthersWaitIsNamedThenRevoked) {
  const TestDaemon daemon({"--memory", "16MiB", "--pin-quota", "4MiB"});
  daemon.WaitPopulated();
  Client other = daemon.Connect();
  Channel pinned, go_on;
  const pid_t holder = StartChild([&] {
    Client client = daemon.Connect();
    std::vector<ObjectView> views;
    for (uint64_t i = 0; i < 12; ++i) {
      auto builder = client.Create(1 << 20, {.evictable = true});
      PENSTOCK_CHILD_EXPECT(builder.ok());
      FillPattern(builder->data(), i);
      views.push_back(Must(builder->SealToView()));
    }
    pinned.Signal();
    go_on.Wait();
    // Revoked: what it has stays readable.
    for (uint64_t i = 0; i < 12; ++i) PENSTOCK_CHILD_EXPECT(HasPattern(views[i].data(), i));
    return 0;
  });
  pinned.Wait();
  // Nobody waits: it may pin what it likes.
  absl::SleepFor(absl::Seconds(1));
  EXPECT_FALSE(Contains(daemon.Output(), "its quota is"));
  const auto refused = other.Create(8 << 20, {.deadline = absl::Seconds(4)});
  EXPECT_TRUE(Says(refused, StatusCode::kResourceExhausted,
                   fmt::format("process {} pins", holder)));
  EXPECT_TRUE(Contains(daemon.Output(), fmt::format("process {} ", holder))) << daemon.Output();
  EXPECT_TRUE(Contains(daemon.Output(), "its quota is 4.00 MiB")) << daemon.Output();
  EXPECT_TRUE(Contains(daemon.Output(), "beyond its quota")) << daemon.Output();
  EXPECT_FALSE(Contains(daemon.Output(), "broke the protocol")) << daemon.Output();
  EXPECT_EQ(daemon.Status().Counter("broken_sessions"), 1u);
  go_on.Signal();
  EXPECT_EQ(WaitForChild(holder), 0);
  EXPECT_TRUE(other.Create(8 << 20, {.deadline = absl::Seconds(10)}).ok());
}

TEST(Limits, ASessionThatSendsNonsenseOverItsSocketIsEnded) {
  const TestDaemon daemon;
  Client bystander = daemon.Connect();
  RawSession session(daemon.dir());
  EXPECT_TRUE(Eventually([&] {
    const absl::Status sent = SendPacket(session.socket.get(), "nonsense");
    while (ReceivePacketWithin(session.socket.get(), 1).ok()) continue;
    return !sent.ok() || session.segments.daemon->revoked.load() == 1u;
  }));
  EXPECT_TRUE(bystander.Put("works").ok());
  EXPECT_EQ(daemon.Status().Counter("broken_sessions"), 1u);
}

TEST(Limits, ATebibyteInAValidRecordIsAnAnswerOrABreachAndNoHarm) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  Client bystander = daemon.Connect();
  const ObjectId id = PutPattern(bystander, 1, 5000);
  ASSERT_EQ(BlockBytes(kTiB), kTiB) << "a right size, and far too large";
  {
    RawSession session(daemon.dir());
    Submission record{};
    record.op = SubmissionOp::kLease;
    record.request = 1;
    record.size = kTiB;
    record.flags_or_count = 2048;
    session.Push(record);
    EXPECT_EQ(session.AnswerTo(1).code, AnswerCode::kTooLarge);
    record.op = SubmissionOp::kReserve;
    record.request = 2;
    record.id = ObjectId::FromName("huge");
    session.Push(record);
    EXPECT_EQ(session.AnswerTo(2).code, AnswerCode::kTooLarge);
    record.op = SubmissionOp::kLease;
    record.request = 0;  // nobody to answer
    session.Push(record);
    const GrantedLease lease = session.TakeLease(BlockBytes(100));
    record.op = SubmissionOp::kSeal;
    record.slot = lease.slot();
    record.generation = lease.generation;
    record.id = {session.facts.incarnation, session.facts.session, 1};
    record.flags_or_count = 0;
    session.Push(record);
    EXPECT_TRUE(Contains(session.Refusal(), "into a block of"));
  }
  EXPECT_TRUE(HasPattern(Must(bystander.Get(id)).data(), 1));
  EXPECT_TRUE(bystander.Put("works").ok());
}

// An eventfd that two processes hold is one open file: whoever takes O_NONBLOCK off and fills
// it makes the other's next ring wait for ever.
TEST(Limits, AClientWhoFillsItsDoorbellStopsNobody) {
  const TestDaemon daemon;
  Client bystander = daemon.Connect();
  RawSession session(daemon.dir());
  const int bell = session.fds.at(kFdClientDoorbell).get();
  fcntl(bell, F_SETFL, O_NONBLOCK);
  const uint64_t most = ~uint64_t{0} - 1;
  for (int i = 0; i < 1'000'000 && write(bell, &most, sizeof(most)) > 0; ++i) continue;
  const uint64_t one = 1;
  for (int i = 0; i < 1'000'000 && write(bell, &one, sizeof(one)) > 0; ++i) continue;
  fcntl(bell, F_SETFL, 0);
  Submission sync{};
  sync.op = SubmissionOp::kSync;
  for (uint32_t i = 1; i <= 100; ++i) {
    session.segments.client->parked.exchange(i);
    sync.request = i;
    session.Push(sync);
    session.AnswerTo(i);
  }
  EXPECT_TRUE(bystander.Put("works").ok());
  Must(bystander.Sync());
}

// A lease makes whoever opens the file next wait, 45 s as Linux comes. It sits on the open file
// that the daemon sent, so it outlives who took it, as long as anybody has that.
TEST(Limits, ALeaseOnADescriptorKeepsTheNextDaemonFromNothing) {
  const TestDaemon daemon;
  Client bystander = daemon.Connect();
  const ObjectId id = PutPattern(bystander, 1, 5000);
  Must(bystander.Sync());
  RawSession session(daemon.dir());
  session.segments.client->use.store(kInUse);
  int taken = 0;
  for (const FdOrder which : {kFdArenaReadOnly, kFdArenaWritable, kFdIndex, kFdClientSegment,
                              kFdDaemonSegment}) {
    if (fcntl(session.fds.at(which).get(), F_SETLEASE, F_WRLCK) == 0) ++taken;
  }
  fprintf(stderr, "%d leases taken\n", taken);
  const pid_t first = daemon.daemon_pid();
  kill(first, SIGKILL);
  EXPECT_TRUE(Eventually([&] {
    const pid_t now = daemon.daemon_pid();
    return now > 0 && now != first;
  }));
  const absl::Time began = absl::Now();
  EXPECT_TRUE(HasPattern(Must(bystander.Get(id)).data(), 1));
  EXPECT_FALSE(Must(bystander.Contains(ObjectId::FromName("none"))));
  EXPECT_LT(absl::Now() - began, absl::Seconds(20));
  EXPECT_TRUE(daemon.Connect().Put("works").ok());
}

// A TCP connection that cannot send what it has, and whose last close waits for that.
UniqueFd LingeringSocket() {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  UniqueFd sender(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* const where = reinterpret_cast<const sockaddr*>(&address);
  if (bind(listener.get(), where, length) != 0 || listen(listener.get(), 1) != 0 ||
      getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      connect(sender.get(), where, length) != 0) {
    GiveUp("no TCP on the loopback");
  }
  // The other end reads nothing and lives as long as this process.
  static std::vector<int> others;
  others.push_back(accept(listener.get(), nullptr, nullptr));
  const std::string bytes(1 << 20, 'x');
  while (send(sender.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) continue;
  const linger patience{1, 60};
  setsockopt(sender.get(), SOL_SOCKET, SO_LINGER, &patience, sizeof(patience));
  return sender;
}

TEST(Limits, ADescriptorThatTakesAMinuteToCloseHoldsNobodyUp) {
  const TestDaemon daemon;
  Client bystander = daemon.Connect();
  const UniqueFd connection = Must(ConnectTo(SocketPath(daemon.dir())));
  for (int i = 0; i < 20; ++i) {
    UniqueFd lingering = LingeringSocket();
    const int fd = lingering.get();
    Must(SendPacket(connection.get(), StatusRequestMessage(), {&fd, 1}));
    lingering.reset();  // the last one is the daemon's now
    Must(ReceivePacketWithin(connection.get(), 20'000));
  }
  const absl::Time began = absl::Now();
  EXPECT_FALSE(Must(bystander.Contains(ObjectId::FromName("none"))));
  EXPECT_LT(absl::Now() - began, absl::Seconds(20));
}

}  // namespace
}  // namespace penstock::testing
