// A socket where something else answers than a daemon of this release, and a daemon that
// hears what no client says.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <functional>
#include <thread>

#include <fmt/format.h>

#include "store/base/store_directory.h"
#include "store/shm/memory_file.h"
#include "store/shm/parking.h"
#include "tests/integration/helpers.h"
#include "tests/integration/raw_session.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

// Answers the first packet of each of its callers with what `answer` does, then closes.
class Stranger {
 public:
  explicit Stranger(std::function<void(int fd)> answer, int callers = 1)
      : listener_(Must(ListenAt(SocketPath(dir_.path())))),
        thread_([this, callers, answer = std::move(answer)] {
          for (int i = 0; i < callers; ++i) {
            pollfd item{listener_.get(), POLLIN, 0};
            if (poll(&item, 1, 20'000) != 1) return;
            const UniqueFd caller(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            const auto ignored = ReceivePacketWithin(caller.get(), 20'000);
            answer(caller.get());
          }
        }) {}
  ~Stranger() { thread_.join(); }

  const std::string& dir() const { return dir_.path(); }
  absl::Status Connect() const { return Client::Connect({.dir = dir_.path()}).status(); }
  absl::Status Ask() const { return QueryStatus(dir_.path()).status(); }

 private:
  TempDir dir_;
  UniqueFd listener_;
  std::thread thread_;
};

TEST(StrangePeer, GarbageInTheDaemonsPlaceIsNoDaemon) {
  for (const std::string& garbage :
       {std::string("HTTP/1.1 400 Bad Request\r\n"), std::string(1, '\0'),
        std::string(60'000, '\xff')}) {
    const auto say = [&](int fd) { Must(SendPacket(fd, garbage)); };
    EXPECT_TRUE(Says(Stranger(say).Connect(), StatusCode::kInvalidArgument,
                     "another protocol"));
    EXPECT_TRUE(Says(Stranger(say).Ask(), StatusCode::kInvalidArgument, "another protocol"));
  }
}

TEST(StrangePeer, AMessageOutOfPlaceIsRefused) {
  const auto say = [](int fd) { Must(SendPacket(fd, GoodbyeMessage())); };
  EXPECT_TRUE(Says(Stranger(say).Connect(), StatusCode::kInvalidArgument, "no welcome"));
  EXPECT_TRUE(Says(Stranger(say).Ask(), StatusCode::kInvalidArgument, "no status"));
}

// Tried a few times: the daemon may be one that died, and the next one is there at once.
TEST(StrangePeer, AClosedConnectionIsReportedWhenItHappensTimeAndAgain) {
  const auto say = [](int) {};
  EXPECT_TRUE(
      Says(Stranger(say, 20).Connect(), StatusCode::kUnavailable, "closed the connection 20"));
  EXPECT_TRUE(
      Says(Stranger(say, 20).Ask(), StatusCode::kUnavailable, "closed the connection 20"));
}

TEST(StrangePeer, ARefusalIsReadEvenWhenWordsOfOursStayUnread) {
  const auto say = [](int fd) {
    Must(SendPacket(fd, RefusedMessage(absl::PermissionDeniedError("not you"))));
  };
  EXPECT_TRUE(Says(Stranger(say).Ask(), StatusCode::kPermissionDenied, "not you"));
}

constexpr WelcomeFacts kPlausible{.session = 1,
                                  .incarnation = 2,
                                  .index_bytes = 6 << 20,
                                  .arena_bytes = 4 << 20,
                                  .capacity = 64,
                                  .daemon_pid = 3};

TEST(StrangePeer, AWelcomeWithoutTheRightDescriptorsIsRefused) {
  const auto with_fds = [](size_t count, const std::function<UniqueFd()>& make) {
    return [=](int fd) {
      std::vector<UniqueFd> owned;
      std::vector<int> fds;
      for (size_t i = 0; i < count; ++i) {
        owned.push_back(make());
        fds.push_back(owned.back().get());
      }
      Must(SendPacket(fd, WelcomeMessage(kPlausible), fds));
    };
  };
  const auto null_device = [] { return UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)); };
  const auto too_small = [] {
    MemoryFile file = Must(MemoryFile::Create("small", 4096));
    return UniqueFd(dup(file.fd()));
  };
  for (const size_t count : {size_t{0}, kFdCount - 1, kFdCount + 1}) {
    EXPECT_TRUE(Says(Stranger(with_fds(count, null_device)).Connect(),
                     StatusCode::kInvalidArgument, "no welcome"));
  }
  EXPECT_TRUE(Says(Stranger(with_fds(kFdCount, null_device)).Connect(),
                   StatusCode::kInvalidArgument, "no sealed memory file"));
  EXPECT_TRUE(Says(Stranger(with_fds(kFdCount, too_small)).Connect(),
                   StatusCode::kInvalidArgument, "4096 bytes"));
}

TEST(StrangePeer, AWelcomeThatPromisesTheImpossibleIsRefused) {
  for (const uint32_t capacity : {0u, kMaxSlots + 1}) {
    WelcomeFacts facts = kPlausible;
    facts.capacity = capacity;
    const auto say = [&](int fd) {
      const std::array<int, kFdCount> fds = {fd, fd, fd, fd, fd, fd, fd};
      Must(SendPacket(fd, WelcomeMessage(facts), fds));
    };
    EXPECT_TRUE(Says(Stranger(say).Connect(), StatusCode::kInvalidArgument, "slots"));
  }
}

TEST(StrangePeer, AnIndexOfAnotherLayoutIsRefusedWithBothVersions) {
  const IndexGeometry geometry = IndexGeometry::For(64);
  const SessionGeometry session = SessionGeometry::For(64);
  const MemoryFile arena = Must(MemoryFile::Create("arena", 4 << 20));
  const MemoryFile index = Must(MemoryFile::Create("index", geometry.total_bytes));
  const MemoryFile client = Must(MemoryFile::Create("client", session.client_bytes));
  const MemoryFile daemon = Must(MemoryFile::Create("daemon", session.daemon_bytes));
  const Mapping mapped = Must(Mapping::Map(index.fd(), geometry.total_bytes,
                                           Access::kReadWrite, OnFork::kDrop));
  const IndexSegment formatted = IndexSegment::Format(mapped.data(), geometry, 4 << 20, 2);
  const auto say = [&](int fd) {
    WelcomeFacts facts = kPlausible;
    facts.index_bytes = geometry.total_bytes;
    const std::array<int, kFdCount> fds = {arena.fd(),  arena.fd(), index.fd(), client.fd(),
                                           daemon.fd(), fd,         fd};
    Must(SendPacket(fd, WelcomeMessage(facts), fds));
  };
  formatted.header().layout_version = kIndexLayoutVersion + 7;
  const absl::Status other = Stranger(say).Connect();
  EXPECT_TRUE(Says(other, StatusCode::kFailedPrecondition,
                   fmt::format("version {}", kIndexLayoutVersion + 7)));
  EXPECT_TRUE(Says(other, StatusCode::kFailedPrecondition,
                   fmt::format("version {}", kIndexLayoutVersion)));
  formatted.header().layout_version = kIndexLayoutVersion;
  EXPECT_TRUE(Says(Stranger(say).Connect(), StatusCode::kInvalidArgument,
                   "no Penstock session"));
  formatted.header().magic = 0;
  EXPECT_TRUE(Says(Stranger(say).Connect(), StatusCode::kInvalidArgument,
                   "no Penstock index"));
}

// It holds an object until the client has pinned it, or so it says. A view of what lies in that
// slot by then would show other bytes.
TEST(StrangePeer, AnObjectThatIsNotInItsSlotIsNotHandedOut) {
  const IndexGeometry geometry = IndexGeometry::For(64);
  const SessionGeometry session = SessionGeometry::For(64);
  const MemoryFile arena = Must(MemoryFile::Create("arena", 4 << 20));
  const MemoryFile index = Must(MemoryFile::Create("index", geometry.total_bytes));
  const MemoryFile client_file = Must(MemoryFile::Create("client", session.client_bytes));
  const MemoryFile daemon_file = Must(MemoryFile::Create("daemon", session.daemon_bytes));
  const auto map = [](const MemoryFile& file) {
    return Must(Mapping::Map(file.fd(), file.bytes(), Access::kReadWrite, OnFork::kDrop));
  };
  const Mapping index_mapping = map(index);
  const Mapping client_mapping = map(client_file);
  const Mapping daemon_mapping = map(daemon_file);
  IndexSegment::Format(index_mapping.data(), geometry, 4 << 20, 2);
  const SessionSegments segments = SessionSegments::At(
      client_mapping.data(), daemon_mapping.data(), 64, kPlausible.session);
  segments.Format(64, kPlausible.session);
  const UniqueFd daemon_bell = Must(MakeDoorbell());
  const UniqueFd client_bell = Must(MakeDoorbell());
  const Stranger stranger([&](int fd) {
    WelcomeFacts facts = kPlausible;
    facts.index_bytes = geometry.total_bytes;
    const std::array<int, kFdCount> fds = {
        arena.fd(),       arena.fd(),        index.fd(),       client_file.fd(),
        daemon_file.fd(), daemon_bell.get(), client_bell.get()};
    Must(SendPacket(fd, WelcomeMessage(facts), fds));
    SubmissionConsumer questions = segments.MakeSubmissionConsumer();
    if (!Eventually([&] { return questions.Available().value_or(0) > 0; })) return;
    const Submission get = questions.Take();
    Completion answer{};
    answer.op = CompletionOp::kObject;
    answer.request = get.request;
    answer.object.id = get.id;
    answer.object.size = 100;
    answer.object.slot = 3;
    answer.object.generation = 7;  // in the slot: 0
    CompletionProducer answers = segments.MakeCompletionProducer();
    answers.Write(answer);
    answers.Publish();
    RingDoorbell(client_bell.get());
    pollfd goodbye{fd, POLLIN, 0};
    poll(&goodbye, 1, 20'000);
  });
  Client client = Must(Client::Connect({.dir = stranger.dir()}));
  EXPECT_TRUE(Says(client.Get(ObjectId::FromName("elsewhere"), absl::Seconds(10)),
                   StatusCode::kInternal, "let an object go"));
}

TEST(StrangePeer, ASocketOfAnotherKindIsNoDaemon) {
  const TempDir dir;
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = SocketPath(dir.path());
  std::memcpy(address.sun_path, path.c_str(), path.size());
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener.get(), 4), 0);
  EXPECT_TRUE(Says(Client::Connect({.dir = dir.path()}), StatusCode::kInvalidArgument,
                   "not one of Penstock"));
  EXPECT_TRUE(Says(QueryStatus(dir.path()), StatusCode::kInvalidArgument,
                   "not one of Penstock"));
}

TEST(StrangePeer, OneThatSaysNothingIsLeftAfterTheLibrarysPatience) {
  const TempDir dir;
  const UniqueFd listener = Must(ListenAt(SocketPath(dir.path())));
  absl::Status of_status;
  std::thread second([&] { of_status = QueryStatus(dir.path()).status(); });
  EXPECT_TRUE(Says(Client::Connect({.dir = dir.path()}), StatusCode::kDeadlineExceeded,
                   "is it stopped"));
  second.join();
  EXPECT_TRUE(Says(of_status, StatusCode::kDeadlineExceeded, "is it stopped"));
}

TEST(StrangePeer, WhereThereIsNoDaemonTheErrorSaysHowToStartOne) {
  const TempDir dir;
  for (const std::string& missing : {dir.path(), dir.path() + "/nowhere"}) {
    EXPECT_TRUE(Says(Client::Connect({.dir = missing}), StatusCode::kNotFound,
                     "Start one with penstockd"));
    EXPECT_TRUE(Says(QueryStatus(missing), StatusCode::kNotFound, missing));
  }
  EXPECT_TRUE(Says(Client::Connect({.dir = "/" + std::string(200, 'x')}),
                   StatusCode::kInvalidArgument, "shorter directory"));
}

TEST(StrangeClient, OfAnotherReleaseIsRefusedWithBothVersions) {
  const TestDaemon daemon;
  const std::string refusal = RefusalOf(
      daemon.dir(), HelloMessage(wire::Role_Client, kIndexLayoutVersion + 40,
                                 kSessionLayoutVersion + 50));
  EXPECT_TRUE(Contains(refusal, fmt::format("{} and {}", kIndexLayoutVersion + 40,
                                            kSessionLayoutVersion + 50)))
      << refusal;
  EXPECT_TRUE(Contains(
      refusal, fmt::format("{} and {}:", kIndexLayoutVersion, kSessionLayoutVersion)))
      << refusal;
  EXPECT_TRUE(Contains(refusal, "same release")) << refusal;
}

// Garbage of every size, each in a connection of its own.
int SendGarbage(const std::string& dir, const std::string& hello, uint64_t rounds) {
  for (uint64_t round = 0; round < rounds; ++round) {
    const std::vector<std::byte> noise = Pattern(round, round * round % 65'536 + 1);
    std::string packet(reinterpret_cast<const char*>(noise.data()), noise.size());
    // Every third one looks right at first sight; some are, and open a session.
    if (round % 3 == 0) {
      packet = hello;
      packet[round / 3 % packet.size()] ^= static_cast<char>(1 << (round % 8));
    }
    const UniqueFd socket = Must(ConnectTo(SocketPath(dir)));
    Must(SendPacket(socket.get(), packet));
    PENSTOCK_CHILD_EXPECT(ReceivePacketWithin(socket.get(), 20'000).ok());
  }
  const UniqueFd socket = Must(ConnectTo(SocketPath(dir)));
  Must(SendPacket(socket.get(), std::string(100'000, 'x')));  // longer than is read
  const auto closed = ReceivePacketWithin(socket.get(), 20'000);
  PENSTOCK_CHILD_EXPECT(closed.ok() && closed->bytes.empty());
  return 0;
}

TEST(StrangeClient, ThatSendsGarbageHarmsNobody) {
  const TestDaemon daemon;
  Client bystander = daemon.Connect();
  const ObjectId id = PutPattern(bystander, 1, 5000);
  const pid_t pid = daemon.daemon_pid();
  const size_t before = OpenDescriptors(pid);
  const pid_t child = StartChild([&] {
    return SendGarbage(daemon.dir(),
                       HelloMessage(wire::Role_Client, kIndexLayoutVersion,
                                    kSessionLayoutVersion),
                       300);
  });
  for (uint64_t round = 0; Runs(child); ++round) {
    ASSERT_TRUE(HasPattern(Must(bystander.Get(id)).data(), 1));
    const ObjectId own = PutPattern(bystander, round, 5000);
    ASSERT_TRUE(HasPattern(Must(bystander.Get(own)).data(), round));
    Must(bystander.Delete(own));
  }
  EXPECT_EQ(WaitForChild(child), 0);
  EXPECT_EQ(daemon.daemon_pid(), pid);
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors(pid) <= before + 1; }))
      << OpenDescriptors(pid) << " descriptors, before " << before;
}

TEST(StrangeClient, ThatSendsDescriptorsLeavesNoneBehind) {
  const TestDaemon daemon;
  Client bystander = daemon.Connect();
  const pid_t pid = daemon.daemon_pid();
  const size_t before = OpenDescriptors(pid);
  const UniqueFd null_device(open("/dev/null", O_RDWR | O_CLOEXEC));
  const std::vector<int> fds(kMaxPacketFds, null_device.get());
  const UniqueFd kept = Must(ConnectTo(SocketPath(daemon.dir())));
  Must(SendPacket(kept.get(), HelloMessage(wire::Role_Observer, kIndexLayoutVersion,
                                           kSessionLayoutVersion), fds));
  for (int round = 0; round < 50; ++round) {
    Must(SendPacket(kept.get(), StatusRequestMessage(), fds));
    Must(ReceivePacketWithin(kept.get(), 20'000));
    EXPECT_FALSE(RefusalOf(daemon.dir(), "garbage", fds).empty());
  }
  // The kept connection has two: its socket, and the pidfd of who is behind it.
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors(pid) <= before + 2; }))
      << OpenDescriptors(pid) << " descriptors, before " << before;
  EXPECT_TRUE(bystander.Put("works").ok());
}

TEST(StrangeClient, ThatComesAndGoesLeavesNoDescriptorBehind) {
  const TestDaemon daemon;
  const pid_t pid = daemon.daemon_pid();
  { const Client first = daemon.Connect(); }
  ASSERT_TRUE(NothingIsLeft(daemon));
  const size_t before = OpenDescriptors(pid);
  for (int round = 0; round < 30; ++round) {
    Client client = daemon.Connect();
    PutPattern(client, 1, 100);
  }
  EXPECT_TRUE(NothingIsLeft(daemon));
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors(pid) <= before; }))
      << OpenDescriptors(pid) << " descriptors, before " << before;
}

TEST(StrangeClient, WithASecondHelloKeepsItsFirstSession) {
  const TestDaemon daemon;
  RawSession session(daemon.dir());
  Must(SendPacket(session.socket.get(),
                  HelloMessage(wire::Role_Client, kIndexLayoutVersion,
                               kSessionLayoutVersion)));
  EXPECT_TRUE(Contains(session.Refusal(), "has a session already"));
  session.TakeLease(64);
  EXPECT_EQ(daemon.Status().Counter("sessions"), 1u);
}

}  // namespace
}  // namespace penstock::testing
