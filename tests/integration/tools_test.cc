// The operator's tools on a store whose daemon serves, is stopped, or has died; and that
// nobody at the keeper's window can hold the keeper up.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "store/base/store_directory.h"
#include "tests/integration/helpers.h"
#include "tests/integration/raw_session.h"
#include "tools/penstock/process_state.h"
#include "tools/penstock/window.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;
using nlohmann::json;

ProgramOutcome Tool(const TestDaemon& daemon, const std::string& command,
                    const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {ProgramPath("penstock"), command, "--dir", daemon.dir()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return RunProgram(arguments);
}

json ToolJson(const TestDaemon& daemon, const std::string& command,
              std::vector<std::string> more = {}) {
  more.push_back("--json");
  const ProgramOutcome outcome = Tool(daemon, command, more);
  EXPECT_EQ(outcome.exit_code, 0) << command << "\n" << outcome.output;
  const json parsed = json::parse(outcome.output, nullptr, false);
  EXPECT_FALSE(parsed.is_discarded()) << outcome.output;
  return parsed;
}

// Stopped while it lives.
class Stopped {
 public:
  explicit Stopped(pid_t pid) : pid_(pid) { kill(pid, SIGSTOP); }
  ~Stopped() { kill(pid_, SIGCONT); }
  Stopped(const Stopped&) = delete;
  Stopped& operator=(const Stopped&) = delete;

 private:
  pid_t pid_;
};

// Two objects of `client`, of which it pins the larger twice.
struct Held {
  ObjectId large;
  ObjectId small;
  std::vector<ObjectView> views;
};
Held PutTwo(Client& client) {
  Held held;
  held.small = PutPattern(client, 1, 1000, {.type_tag = 7});
  const std::vector<std::byte> metadata = Pattern(2, 40);
  held.large = PutPattern(client, 2, 3 << 20, {.metadata = metadata, .evictable = true,
                                               .priority = Priority::kLow});
  Must(client.Sync());
  for (int i = 0; i < 2; ++i) held.views.push_back(Must(client.Get(held.large)));
  return held;
}

// All that the tools say of such a store, whatever the daemon does.
void ExpectTwo(const TestDaemon& daemon, const Held& held) {
  const json objects = ToolJson(daemon, "objects");
  ASSERT_EQ(objects.at("objects"), 2);
  EXPECT_EQ(objects.at("bytes"), (3 << 20) + 1000);
  const json& large = objects.at("rows").at(0);
  EXPECT_EQ(large.at("id"), held.large.ToHex());
  EXPECT_EQ(large.at("state"), "sealed");
  EXPECT_EQ(large.at("size"), 3 << 20);
  EXPECT_EQ(large.at("metadata_size"), 40);
  EXPECT_EQ(large.at("evictable"), true);
  EXPECT_EQ(large.at("priority"), "low");
  EXPECT_EQ(large.at("maker_session"), held.large.session);
  EXPECT_EQ(large.at("maker_pid"), getpid());
  EXPECT_EQ(large.at("pins"), 2);
  EXPECT_EQ(large.at("pinned_by").at(0).at("pid"), getpid());
  EXPECT_EQ(large.at("on_disk"), false);
  EXPECT_EQ(objects.at("rows").at(1).at("type_tag"), 7);

  const json memory = ToolJson(daemon, "memory");
  EXPECT_EQ(memory.at("arena_bytes"), 64 << 20);
  EXPECT_EQ(memory.at("populated_bytes"), 64 << 20);
  EXPECT_EQ(memory.at("sealed").at("blocks"), 2);
  EXPECT_EQ(memory.at("pinned").at("blocks"), 1);
  EXPECT_EQ(memory.at("evictable").at("blocks"), 1);
  EXPECT_EQ(memory.at("free_bytes").get<uint64_t>() +
                memory.at("sealed").at("bytes").get<uint64_t>() +
                memory.at("leased").at("bytes").get<uint64_t>(), 64u << 20);
  EXPECT_LE(memory.at("largest_free_bytes"), memory.at("free_bytes"));
  EXPECT_EQ(memory.at("torn"), 0);

  const json clients = ToolJson(daemon, "clients");
  ASSERT_EQ(clients.at("sessions"), 1);
  const json& client = clients.at("rows").at(0);
  EXPECT_EQ(client.at("session"), held.large.session);
  EXPECT_EQ(client.at("pid"), getpid());
  EXPECT_EQ(client.at("uid"), geteuid());
  EXPECT_EQ(client.at("lives"), true);
  EXPECT_EQ(client.at("read_only"), false);
  EXPECT_EQ(client.at("objects"), 2);
  EXPECT_EQ(client.at("pinned"), 1);
  EXPECT_EQ(client.at("pins"), 2);
  EXPECT_EQ(client.at("unread_submissions"), 0);
  EXPECT_EQ(client.at("trouble"), "");
  EXPECT_EQ(client.at("leases"), memory.at("leased").at("blocks"));

  const ProgramOutcome top = Tool(daemon, "top", {"--count", "2", "--interval", "0.05"});
  EXPECT_EQ(top.exit_code, 0);
  EXPECT_TRUE(Contains(top.output, "objects 2")) << top.output;
  EXPECT_TRUE(Contains(top.output, "/s")) << top.output;
  for (const char* command : {"objects", "memory", "clients"}) {
    const ProgramOutcome table = Tool(daemon, command);
    EXPECT_EQ(table.exit_code, 0) << table.output;
    EXPECT_TRUE(Contains(table.output, "3.0")) << table.output;
  }
}

TEST(Tools, SayTheSameOfAStoreWhoseDaemonServesIsStoppedOrHasDied) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const Held held = PutTwo(client);
  ExpectTwo(daemon, held);
  {
    const Stopped stopped(daemon.daemon_pid());
    ExpectTwo(daemon, held);
  }
  const pid_t dead = daemon.daemon_pid();
  kill(dead, SIGKILL);
  // Just now, by whichever of the two there is.
  EXPECT_EQ(ToolJson(daemon, "objects").at("objects"), 2);
  NextDaemon(daemon, dead);
  Must(client.Sync());
  ExpectTwo(daemon, held);
  EXPECT_EQ(Must(AskKeeper(daemon.dir(), 0)).facts.deaths, 1u);
}

TEST(Tools, StatusTellsWhyTheDaemonDoesNotAnswerAndShowsItsStore) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const Held held = PutTwo(client);
  const pid_t pid = daemon.daemon_pid();
  const Stopped stopped(pid);
  const ProgramOutcome text = Tool(daemon, "status");
  EXPECT_EQ(text.exit_code, 2) << text.output;
  for (const std::string& part :
       {fmt::format("process {}, is stopped", pid), fmt::format("kill -CONT {}", pid),
        std::string("64.00 MiB"), std::string("restarts")}) {
    EXPECT_TRUE(Contains(text.output, part)) << part << " in\n" << text.output;
  }
  const ProgramOutcome outcome = Tool(daemon, "status", {"--json", "--patience", "0.1"});
  EXPECT_EQ(outcome.exit_code, 2);
  const json status = json::parse(outcome.output);
  EXPECT_EQ(status.at("answers"), false);
  EXPECT_EQ(status.at("daemon_state"), "stopped");
  EXPECT_EQ(status.at("daemon_pid"), pid);
  EXPECT_EQ(status.at("keeper_pid"), daemon.keeper_pid());
  EXPECT_EQ(status.at("objects"), 2);
  EXPECT_EQ(status.at("sessions"), 1);
}

TEST(Tools, DoctorNamesADaemonThatIsStoppedAndWhatLetsItGoOn) {
  const TestDaemon daemon;
  const pid_t pid = daemon.daemon_pid();
  EXPECT_TRUE(Contains(Tool(daemon, "doctor").output, fmt::format("process {} answers", pid)));
  const Stopped stopped(pid);
  const ProgramOutcome outcome = Tool(daemon, "doctor");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_TRUE(Contains(outcome.output, fmt::format("the daemon, process {}, is stopped", pid)))
      << outcome.output;
  EXPECT_TRUE(Contains(outcome.output, fmt::format("kill -CONT {}", pid))) << outcome.output;
}

TEST(Tools, StatusCountsTheDaemonsThatCameAfterAnotherAndWhatWasMoved) {
  const TestDaemon daemon;
  const pid_t dead = daemon.daemon_pid();
  kill(dead, SIGKILL);
  NextDaemon(daemon, dead);
  const std::string text = Tool(daemon, "status").output;
  const size_t at = text.find("restarts");
  ASSERT_NE(at, std::string::npos) << text;
  EXPECT_TRUE(Contains(text.substr(at, text.find('\n', at) - at), " 1")) << text;
  for (const char* const name : {"compactions", "given_up", "moved_objects", "moved_bytes"}) {
    EXPECT_TRUE(Contains(text, name)) << text;
  }
}

TEST(Tools, ASilentKeeperIsNamedAndSaidToBeStopped) {
  const TestDaemon daemon;
  const Stopped stopped(daemon.keeper_pid());
  const ProgramOutcome outcome = Tool(daemon, "memory");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_TRUE(Contains(outcome.output,
                       fmt::format("keeper, process {}, is stopped", daemon.keeper_pid())))
      << outcome.output;
  EXPECT_EQ(Tool(daemon, "status", {"--patience", "10"}).exit_code, 0);
}

// It starts no other one as long as it is stopped.
TEST(Tools, StatusOfAStoppedKeeperWhoseDaemonIsDeadIsThatNobodyAnswers) {
  const TestDaemon daemon;
  const Stopped stopped(daemon.keeper_pid());
  kill(daemon.daemon_pid(), SIGKILL);
  const ProgramOutcome outcome = Tool(daemon, "status");
  EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
  EXPECT_TRUE(Contains(outcome.output, "kill -CONT")) << outcome.output;
  EXPECT_FALSE(Contains(outcome.output, "is it stopped?")) << outcome.output;
}

TEST(Tools, ASuccessorOfTheKeeperAnswersAtTheSamePlace) {
  TestDaemon daemon;
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const Held held = PutTwo(client);
  const pid_t first = daemon.keeper_pid();
  daemon.KillKeeper();
  ASSERT_TRUE(Eventually([&] {
    const auto page = AskKeeper(daemon.dir(), 0);
    return page.ok() && page->facts.keeper_pid != first && page->facts.sessions == 1;
  })) << daemon.Output();
  EXPECT_EQ(Must(AskKeeper(daemon.dir(), 0)).facts.daemon_pid, daemon.daemon_pid());
  ExpectTwo(daemon, held);
  daemon.Stop();
  EXPECT_TRUE(Eventually([&] { return access(WindowPath(daemon.dir()).c_str(), F_OK) != 0; }));
}

TEST(Tools, AnEmptyStoreIsSaidToBeEmpty) {
  const TestDaemon daemon;
  EXPECT_TRUE(Contains(Tool(daemon, "objects").output, "holds no object"));
  EXPECT_TRUE(Contains(Tool(daemon, "clients").output, "Nobody has a session"));
  EXPECT_EQ(ToolJson(daemon, "memory").at("sealed").at("blocks"), 0);
  EXPECT_EQ(ToolJson(daemon, "objects").at("rows").size(), 0u);
}

TEST(Tools, ACutListingSaysHowManyItLeftOut) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  std::vector<ObjectId> ids;
  for (uint64_t i = 0; i < 70; ++i) ids.push_back(PutPattern(client, i, 100 * (i + 1)));
  Must(client.Sync());
  const ProgramOutcome table = Tool(daemon, "objects");
  EXPECT_TRUE(Contains(table.output, "70 objects")) << table.output;
  EXPECT_TRUE(Contains(table.output, "20 more were left out")) << table.output;
  const json few = ToolJson(daemon, "objects", {"--limit", "3"});
  EXPECT_EQ(few.at("left_out"), 67);
  ASSERT_EQ(few.at("rows").size(), 3u);
  EXPECT_EQ(few.at("rows").at(2).at("id"), ids[67].ToHex());
  const json all = ToolJson(daemon, "objects", {"--limit", "0", "--sort", "id"});
  ASSERT_EQ(all.at("rows").size(), 70u);
  EXPECT_EQ(all.at("rows").at(0).at("id"), ids[0].ToHex());
}

TEST(Tools, ObjectsOnDiskAreListedAndCounted) {
  const TempDir disk;
  const TestDaemon daemon({"--memory", "32MiB", "--spill-dir", disk.path()});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  for (uint64_t i = 0; i < 64; ++i) PutPattern(client, i, 1 << 20);
  Must(client.Sync());
  const json memory = ToolJson(daemon, "memory");
  EXPECT_GE(memory.at("disk_objects"), 32);
  EXPECT_GE(memory.at("disk_bytes"), 32 << 20);
  const json objects = ToolJson(daemon, "objects", {"--limit", "0"});
  EXPECT_EQ(objects.at("objects"), 64);
  int on_disk_only = 0;
  for (const json& row : objects.at("rows")) on_disk_only += row.at("state") == "on disk";
  EXPECT_GE(on_disk_only, 32);
  EXPECT_TRUE(Contains(Tool(daemon, "doctor").output, "on disk"));
  // What the operator watches has the disk too, and when the daemon does not answer. It is
  // stopped for the numbers to stay.
  const Stopped stopped(daemon.daemon_pid());
  const json now = ToolJson(daemon, "memory");
  for (const json& other :
       {ToolJson(daemon, "top", {"--count", "1"}),
        json::parse(Tool(daemon, "status", {"--json", "--patience", "0.1"}).output)}) {
    EXPECT_EQ(other.at("disk_objects"), now.at("disk_objects"));
    EXPECT_EQ(other.at("disk_bytes"), now.at("disk_bytes"));
  }
  const std::string in_top = fmt::format("disk {} (", now.at("disk_objects").get<uint64_t>());
  EXPECT_TRUE(Contains(Tool(daemon, "top", {"--count", "1"}).output, in_top));
  EXPECT_TRUE(Contains(Tool(daemon, "status", {"--patience", "0.1"}).output, "on disk"));
  EXPECT_TRUE(Contains(Tool(daemon, "doctor").output, "on disk"));
}

TEST(Tools, MoreSessionsThanAPacketHoldsAreAllThere) {
  const TestDaemon daemon({"--memory", "16MiB", "--objects", "1024"});
  std::vector<std::unique_ptr<RawSession>> sessions;
  for (int i = 0; i < 230; ++i) sessions.push_back(std::make_unique<RawSession>(daemon.dir()));
  const json clients = ToolJson(daemon, "clients", {"--limit", "0", "--sort", "session"});
  EXPECT_EQ(clients.at("sessions"), 230);
  ASSERT_EQ(clients.at("rows").size(), 230u);
  EXPECT_EQ(clients.at("rows").at(229).at("session"), sessions.back()->facts.session);
  const ProgramOutcome table = Tool(daemon, "clients");
  EXPECT_TRUE(Contains(table.output, "180 more were left out")) << table.output;
}

TEST(Tools, AMillionObjectsAreListedInSeconds) {
  if (kSanitized) GTEST_SKIP() << "takes long with a sanitizer";
  constexpr uint64_t kObjects = 1'000'000;
  const TestDaemon daemon({"--memory", "256MiB", "--objects", "1100000"});
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  for (uint64_t i = 0; i < kObjects; ++i) Must(client.Put("x"));
  Must(client.Sync());
  for (const auto& [command, name] : {std::pair("objects", "objects"), {"memory", "sealed"}}) {
    const absl::Time before = absl::Now();
    const json said = ToolJson(daemon, command);
    const absl::Duration took = absl::Now() - before;
    printf("%s of a million: %s\n", command, absl::FormatDuration(took).c_str());
    EXPECT_EQ(said.at(name).is_number() ? said.at(name) : said.at(name).at("blocks"), kObjects);
    EXPECT_LT(took, absl::Seconds(30));  // tenths of one, unless others want the processor
  }
}

// A segment of lies, with the daemon stopped so that it stays.
TEST(Tools, HostileValuesOfAClientAreSaidAndCostNothing) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  PutPattern(client, 1, 1000);
  Must(client.Sync());
  RawSession liar(daemon.dir());
  const Stopped stopped(daemon.daemon_pid());
  SessionSegments& lies = liar.segments;
  const uint32_t capacity = liar.facts.capacity;
  lies.client->submission_tail.store(~uint64_t{0} / 2);
  lies.client->completion_head.store(uint64_t{1} << 40);
  lies.client->parked.store(~uint64_t{0});
  lies.client->use.store(77);
  lies.client->magic = 1;
  lies.client->capacity = 3;
  // It says of every page that it is touched, and pins what nobody has in one of them.
  for (uint32_t i = 0; i < capacity; i += 64 * kPinsPerPage) {
    lies.bitmap[i / kPinsPerPage / 64].store(~uint64_t{0});
  }
  for (uint32_t i = 0; i < kPinsPerPage; ++i) lies.pins[i].count.store(~uint32_t{0});
  struct stat before{}, after{};
  ASSERT_EQ(fstat(liar.fds.at(kFdClientSegment).get(), &before), 0);
  const json clients = ToolJson(daemon, "clients", {"--sort", "session"});
  ASSERT_EQ(clients.at("rows").size(), 2u);
  const json& row = clients.at("rows").at(1);
  EXPECT_EQ(row.at("unread_submissions"), nullptr);
  EXPECT_EQ(row.at("unread_completions"), nullptr);
  EXPECT_TRUE(Contains(row.at("trouble"), "cannot be"));
  EXPECT_TRUE(Contains(Tool(daemon, "clients").output, "cannot be"));
  EXPECT_EQ(clients.at("rows").at(0).at("trouble"), "");
  const json objects = ToolJson(daemon, "objects");
  EXPECT_EQ(objects.at("rows").at(0).at("pins"), ~uint32_t{0});
  for (const char* command : {"objects", "memory", "clients"}) {
    EXPECT_EQ(Tool(daemon, command).exit_code, 0) << command;
  }
  EXPECT_EQ(Tool(daemon, "top", {"--count", "1"}).exit_code, 0);
  // No page of its segment was made by looking at it.
  ASSERT_EQ(fstat(liar.fds.at(kFdClientSegment).get(), &after), 0);
  EXPECT_EQ(before.st_blocks, after.st_blocks);
}

TEST(ProcessStates, AreWhatTheProcessIsIn) {
  EXPECT_EQ(StateOfProcess(getpid()), ProcessState::kRunning);
  EXPECT_EQ(StateOfProcess(0), ProcessState::kGone);
  const pid_t child = StartChild([] {
    pause();
    return 0;
  });
  const auto becomes = [&](ProcessState state) {
    return Eventually([&] { return StateOfProcess(child) == state; });
  };
  EXPECT_TRUE(becomes(ProcessState::kWaiting));
  kill(child, SIGSTOP);
  EXPECT_TRUE(becomes(ProcessState::kStopped));
  kill(child, SIGKILL);
  EXPECT_TRUE(becomes(ProcessState::kDead));
  WaitForChild(child);
  EXPECT_TRUE(becomes(ProcessState::kGone));
  EXPECT_TRUE(Contains(WhyNoAnswer("daemon", 7, ProcessState::kRunning), "gdb -p 7"));
}

TEST(Window, HandsOutNothingThatCanBeWritten) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  WindowPage page;
  ASSERT_TRUE(Eventually([&] {
    page = Must(AskKeeper(daemon.dir(), 0));
    return page.sessions.size() == 1;
  }));
  for (const UniqueFd* const fd : {&page.index, &page.leases, &page.spill_table,
                                   &page.sessions[0].daemon_segment,
                                   &page.sessions[0].client_segment}) {
    ASSERT_TRUE(fd->valid());
    EXPECT_EQ(fcntl(fd->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0), MAP_FAILED);
    EXPECT_EQ(pwrite(fd->get(), "x", 1, 0), -1);
  }
}

TEST(Window, WhoConnectsAndSaysOrReadsNothingCostsNothing) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  ASSERT_TRUE(Eventually([&] { return Must(AskKeeper(daemon.dir(), 0)).facts.sessions == 1; }));
  const size_t before = OpenDescriptors(daemon.keeper_pid());
  std::vector<UniqueFd> idle;
  for (int i = 0; i < 200; ++i) {
    idle.push_back(Must(ConnectTo(WindowPath(daemon.dir()))));
    // Every other one asks, with descriptors of its own, and reads no answer.
    const WindowRequest request{kWindowMagic, kWindowVersion, 0, 0};
    const int mine[] = {idle.back().get()};
    if (i % 2 == 0) {
      SendPacket(idle.back().get(), {reinterpret_cast<const char*>(&request), sizeof(request)},
                 mine).IgnoreError();
    }
  }
  EXPECT_TRUE(AskKeeper(daemon.dir(), 0).ok());
  // For a moment one more, which is being turned away.
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors(daemon.keeper_pid()) <= before + 9; }));
  // What the keeper is there for goes on.
  const pid_t dead = daemon.daemon_pid();
  kill(dead, SIGKILL);
  const pid_t next = NextDaemon(daemon, dead);
  EXPECT_TRUE(client.Put("works").ok());
  idle.clear();
  EXPECT_TRUE(AskKeeper(daemon.dir(), 0).ok());
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors(daemon.keeper_pid()) <= before; }));
  // The daemon holds none of them.
  EXPECT_LE(OpenDescriptors(next), OpenDescriptors(daemon.keeper_pid()) + 32);
}

TEST(Window, NonsenseGetsNoAnswer) {
  const TestDaemon daemon;
  for (const std::string& words : {std::string("x"), std::string(24, '\0'),
                                   std::string(60'000, 'y')}) {
    const UniqueFd socket = Must(ConnectTo(WindowPath(daemon.dir())));
    Must(SendPacket(socket.get(), words));
    const auto answer = ReceivePacketWithin(socket.get(), 20'000);
    EXPECT_TRUE(!answer.ok() ? absl::IsUnavailable(answer.status()) : answer->bytes.empty());
  }
  EXPECT_TRUE(AskKeeper(daemon.dir(), 0).ok());
}

TEST(Window, IsClosedToOtherUsers) {
  if (geteuid() != 0) {
    fprintf(stderr, "\n*** NOT TESTED: only root can become another user ***\n\n");
    GTEST_SKIP() << "only root can become another user";
  }
  // Also for one who may read objects.
  const TestDaemon daemon({"--memory", "64MiB", "--allow", fmt::format("uid:{}", kNobody)});
  EXPECT_EQ(RunInChild([&] {
    PENSTOCK_CHILD_EXPECT(BecomeNobody());
    PENSTOCK_CHILD_EXPECT(
        Says(AskKeeper(daemon.dir(), 0), StatusCode::kPermissionDenied, "only its user and root"));
    return 0;
  }), 0);
}

}  // namespace
}  // namespace penstock::testing
