// More objects than memory: they go to disk and come back, whatever happens to the disk.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "tests/integration/helpers.h"
#include "tests/support/small_disk.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

constexpr absl::Duration kNow = absl::ZeroDuration();
constexpr absl::Duration kPatience = absl::Seconds(30);

std::vector<std::string> Arguments(const std::string& spill_dir, const std::string& memory,
                                   std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"--memory", memory, "--spill-dir", spill_dir};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

struct Stored {
  ObjectId id;
  uint64_t seed;
  size_t size;
};

size_t SizeOf(uint64_t i) {
  constexpr size_t kSizes[] = {0, 100, 5000, 70'000, 1 << 20, (3 << 20) + 17};
  return kSizes[i % 6];
}

std::vector<Stored> PutMany(Client& client, uint64_t bytes) {
  std::vector<Stored> all;
  for (uint64_t total = 0; total < bytes;) {
    const uint64_t i = all.size();
    const ObjectId id =
        Must(client.Put(Pattern(i, SizeOf(i)), {.type_tag = 7, .deadline = kPatience}));
    all.push_back({id, i, SizeOf(i)});
    total += SizeOf(i);
  }
  return all;
}

void ExpectAll(Client& client, const std::vector<Stored>& all) {
  for (const Stored& each : all) {
    const auto view = client.Get(each.id, kPatience);
    ASSERT_TRUE(view.ok()) << each.seed << ": " << view.status();
    ASSERT_EQ(view->data().size(), each.size);
    ASSERT_TRUE(HasPattern(view->data(), each.seed)) << each.seed;
    EXPECT_EQ(view->type_tag(), 7u);
  }
}

std::vector<std::filesystem::path> SpillFiles(const std::string& dir) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().filename().string().starts_with("spill-")) files.push_back(entry.path());
  }
  return files;
}

// Lines of the log with this in them.
size_t LinesWith(const std::string& log, const std::string& part) {
  size_t lines = 0;
  for (size_t at = log.find(part); at != std::string::npos; at = log.find(part, at + 1)) ++lines;
  return lines;
}

TEST(Spill, AWorkingSetOfFourTimesTheMemoryComesBackByteForByte) {
  for (const char* io : {"auto", "threads"}) {
    const TempDir disk;
    const TestDaemon daemon(Arguments(disk.path(), "32MiB", {"--spill-io", io}));
    daemon.WaitPopulated();
    Client client = daemon.Connect();
    const std::vector<Stored> all = PutMany(client, 128 << 20);
    ExpectAll(client, all);
    ExpectAll(client, all);
    EXPECT_GT(daemon.Status().Counter("restored"), 0u);
    for (const Stored& each : all) EXPECT_TRUE(Must(client.Contains(each.id)));
    for (const Stored& each : all) Must(client.Delete(each.id));
    Must(client.Sync());
    EXPECT_TRUE(Eventually([&] {
      const DaemonStatus status = daemon.Status();
      return status.Counter("objects") == 0 && status.Counter("spilled_objects") == 0 &&
             status.Counter("spill_live_bytes") == 0;
    }));
    EXPECT_TRUE(Says(client.Get(all[0].id, kNow), StatusCode::kNotFound, "deleted"));
  }
}

TEST(Spill, ObjectsOfHighPriorityStayInMemoryWhileOthersGo) {
  const TempDir disk;
  const TestDaemon daemon(Arguments(disk.path(), "32MiB"));
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  std::vector<ObjectId> kept;  // a quarter of the memory
  for (uint64_t i = 0; i < 8; ++i) {
    kept.push_back(PutPattern(client, i, 1 << 20, {.priority = Priority::kHigh}));
  }
  const std::vector<Stored> others = PutMany(client, 96 << 20);
  EXPECT_GT(daemon.Status().Counter("spilled_objects"), 0u);
  const ProgramOutcome rows = RunProgram(
      {ProgramPath("penstock"), "objects", "--dir", daemon.dir(), "--json", "--limit", "0"});
  for (const ObjectId& id : kept) EXPECT_TRUE(Contains(rows.output, id.ToHex()));
  ExpectAll(client, others);
}

TEST(Spill, WhatIsOnDiskOutlivesTheDaemon) {
  const TempDir disk;
  const TestDaemon daemon(Arguments(disk.path(), "16MiB"));
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  const std::vector<Stored> all = PutMany(client, 48 << 20);
  const ObjectId gone = all[5].id;
  for (int round = 0; round < 5; ++round) {
    const pid_t before = daemon.daemon_pid();
    kill(before, SIGKILL);
    ExpectAll(client, all);
  }
  Must(client.Delete(gone));
  Must(client.Sync());
  kill(daemon.daemon_pid(), SIGKILL);
  EXPECT_TRUE(Says(client.Get(gone, kNow), StatusCode::kNotFound, "deleted"));
}

TEST(Spill, EndsWithTheStoreAndLeavesNoFile) {
  const TempDir disk;
  {
    TestDaemon daemon(Arguments(disk.path(), "16MiB"));
    Client client = daemon.Connect();
    PutMany(client, 48 << 20);
    EXPECT_FALSE(SpillFiles(disk.path()).empty());
    EXPECT_EQ(daemon.Stop(), 0);
    EXPECT_TRUE(SpillFiles(disk.path()).empty());
  }
  TestDaemon killed(Arguments(disk.path(), "16MiB"));
  Client client = killed.Connect();
  PutMany(client, 48 << 20);
  killed.KillBoth();
  EXPECT_FALSE(SpillFiles(disk.path()).empty());
  killed.Restart();
  EXPECT_TRUE(SpillFiles(disk.path()).empty()) << "of the store that is gone";
}

TEST(Spill, APinnedSetBeyondTheMemoryIsRefusedAndNamesTheHolder) {
  const TempDir disk;
  const TestDaemon daemon(Arguments(disk.path(), "16MiB"));
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  std::vector<ObjectView> pinned;
  absl::Status refusal;
  const absl::Time began = absl::Now();
  for (uint64_t i = 0; i < 20 && refusal.ok(); ++i) {
    auto builder = client.Create(1 << 20, {.deadline = absl::Seconds(1)});
    refusal = builder.status();
    if (builder.ok()) pinned.push_back(Must(builder->SealToView()));
  }
  EXPECT_TRUE(Says(refusal, StatusCode::kResourceExhausted,
                   fmt::format("process {} pins ", getpid())));
  EXPECT_LT(absl::Now() - began, absl::Seconds(20));
  pinned.clear();
  EXPECT_TRUE(client.Put(Pattern(1, 1 << 20), {.deadline = kPatience}).ok());
}

TEST(Spill, AGetWithoutRoomToComeBackSaysSoAtItsDeadlineAndNamesTheHolder) {
  const TempDir disk;
  const TestDaemon daemon(Arguments(disk.path(), "16MiB"));
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  std::vector<ObjectId> ids;
  for (uint64_t i = 0; i < 32; ++i) ids.push_back(PutPattern(client, i, 1 << 20));
  std::vector<ObjectView> pinned;
  std::vector<ObjectId> without_room;
  for (const ObjectId& id : ids) {
    auto view = client.Get(id, absl::Milliseconds(500));
    if (view.ok()) {
      pinned.push_back(*std::move(view));
      continue;
    }
    without_room.push_back(id);
    EXPECT_TRUE(Says(view, StatusCode::kDeadlineExceeded, "is on disk, and no room"));
    EXPECT_TRUE(Says(view, StatusCode::kDeadlineExceeded,
                     fmt::format("process {} pins ", getpid())));
    if (without_room.size() == 4) break;
  }
  ASSERT_EQ(without_room.size(), 4u);
  EXPECT_TRUE(Says(client.Get(without_room[0], kNow), StatusCode::kDeadlineExceeded,
                   "is on disk, and no room"));
  // Of those asked for together each has its own word.
  without_room.push_back(Must(client.NextId()));
  const auto late = client.GetMany(without_room, absl::Milliseconds(100));
  for (size_t i = 0; i < late.size(); ++i) {
    EXPECT_TRUE(Says(late[i], StatusCode::kDeadlineExceeded,
                     i < 4 ? "is on disk, and no room" : "was not sealed"));
  }
  pinned.clear();
  for (size_t i = 0; i < 4; ++i) Must(client.Get(without_room[i], kPatience));
  EXPECT_EQ(daemon.Status().Counter("get_waiters"), 0u);
}

TEST(Spill, AFileRemovedCutOffOrAlteredCostsItsObjectsAndNoOther) {
  for (const char* harm : {"remove", "truncate", "alter"}) {
    const TempDir disk;
    const TestDaemon daemon(Arguments(disk.path(), "16MiB"));
    daemon.WaitPopulated();
    Client client = daemon.Connect();
    const std::vector<Stored> all = PutMany(client, 48 << 20);
    ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("spill_writing_bytes") == 0; }));
    for (const auto& file : SpillFiles(disk.path())) {
      if (harm == std::string("remove")) {
        std::filesystem::remove(file);
      } else if (harm == std::string("truncate")) {
        std::filesystem::resize_file(file, 4096);
      } else {
        std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
        for (uint64_t at = 5000; at < std::filesystem::file_size(file); at += 4096) {
          bytes.seekp(static_cast<std::streamoff>(at));
          bytes.put('\x5a');
        }
      }
    }
    // Files that are open stay readable; the next daemon looks for them by name.
    if (harm == std::string("remove")) kill(daemon.daemon_pid(), SIGKILL);
    size_t lost = 0;
    for (const Stored& each : all) {
      const auto view = client.Get(each.id, kPatience);
      if (view.ok()) {
        EXPECT_TRUE(HasPattern(view->data(), each.seed)) << harm << " " << each.seed;
        continue;
      }
      ++lost;
      EXPECT_EQ(view.status().code(), StatusCode::kDataLoss) << view.status();
    }
    EXPECT_GT(lost, 0u) << harm;
    EXPECT_LT(lost, all.size()) << harm;
    // The store goes on, also with the disk.
    EXPECT_TRUE(client.Put(Pattern(1, 1 << 20), {.deadline = kPatience}).ok()) << harm;
  }
}

TEST(Spill, AFullDiskRefusesCreatorsAndLosesNothing) {
  const SmallDisk disk("8m");
  if (!disk.ok()) GTEST_SKIP() << "needs root, for a small file system of its own";
  const TestDaemon daemon(Arguments(disk.path(), "16MiB"));
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  std::vector<ObjectId> ids;
  absl::Status refusal;
  for (uint64_t i = 0; i < 64 && refusal.ok(); ++i) {
    auto id = client.Put(Pattern(i, 1 << 20), {.deadline = absl::Seconds(2)});
    refusal = id.status();
    if (id.ok()) ids.push_back(*id);
  }
  EXPECT_TRUE(Says(refusal, StatusCode::kResourceExhausted, "disk is full"));
  ASSERT_GE(ids.size(), 16u);
  for (uint64_t i = 0; i < ids.size(); ++i) {
    // What is on disk may have no place in memory, and then says so.
    const auto view = client.Get(ids[i]);
    EXPECT_TRUE(view.ok() ? HasPattern(view->data(), i)
                          : bool(Says(view, StatusCode::kResourceExhausted, "disk is full")));
  }
  // A disk that took nothing is left in peace for a while.
  const uint64_t troubles = daemon.Status().Counter("spill_failed_writes");
  EXPECT_EQ(daemon.Status().Counter("spill_failed_reads"), 0u);
  EXPECT_GT(troubles, 0u);
  EXPECT_LT(troubles, 1000u);
  // The operator hears of it, where, and not twice a second.
  EXPECT_TRUE(Says(refusal, StatusCode::kResourceExhausted, "penstock status names"));
  const ProgramOutcome doctor =
      RunProgram({ProgramPath("penstock"), "doctor", "--dir", daemon.dir()});
  EXPECT_TRUE(Contains(doctor.output, "nothing can be spilled to " + disk.path()))
      << doctor.output;
  const ProgramOutcome status =
      RunProgram({ProgramPath("penstock"), "status", "--dir", daemon.dir()});
  EXPECT_TRUE(Contains(status.output, "On disk")) << status.output;
  EXPECT_TRUE(Contains(status.output, disk.path())) << status.output;
  const std::string log = daemon.Output();
  const std::string line = "no object can be written to disk in " + disk.path();
  const size_t lines = LinesWith(log, line);
  EXPECT_GE(lines, 1u);
  EXPECT_LE(lines, troubles / 2 + 1);
  for (size_t i = 0; i < 12; ++i) Must(client.Delete(ids[i]));
  for (uint64_t i = 12; i < ids.size(); ++i) {
    EXPECT_TRUE(HasPattern(Must(client.Get(ids[i], kPatience)).data(), i));
  }
  for (uint64_t i = 0; i < 8; ++i) {
    EXPECT_TRUE(client.Put(Pattern(i, 1 << 20), {.deadline = kPatience}).ok());
  }
}

TEST(Spill, TheLimitIsToldApartFromAFullDisk) {
  const TempDir disk;
  TestDaemon daemon(Arguments(disk.path(), "16MiB", {"--spill-limit", "8MiB"}));
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  absl::Status refusal;
  for (uint64_t i = 0; i < 64 && refusal.ok(); ++i) {
    refusal = client.Put(Pattern(i, 1 << 20), {.deadline = absl::Seconds(2)}).status();
  }
  const std::string why = "the limit set by --spill-limit is reached";
  EXPECT_TRUE(Says(refusal, StatusCode::kResourceExhausted, why));
  EXPECT_TRUE(Says(refusal, StatusCode::kResourceExhausted, "--take-over --spill-limit"));
  for (const char* command : {"status", "doctor"}) {
    const ProgramOutcome outcome =
        RunProgram({ProgramPath("penstock"), command, "--dir", daemon.dir()});
    EXPECT_TRUE(Contains(outcome.output, why + " (8.00 MiB): ")) << outcome.output;
    EXPECT_FALSE(Contains(outcome.output, "disk is full")) << outcome.output;
    EXPECT_FALSE(Contains(outcome.output, "df -h")) << outcome.output;
  }
  EXPECT_TRUE(Contains(daemon.Output(), why + " (8.00 MiB): ")) << daemon.Output();
}

TEST(Spill, ObjectsThatAreLostAreNamedInTheLogOnceAndFewAtATime) {
  const TempDir disk;
  const TestDaemon daemon(Arguments(disk.path(), "16MiB"));
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  std::vector<ObjectId> ids;
  for (uint64_t i = 0; i < 96; ++i) {
    ids.push_back(Must(client.Put(Pattern(i, 1 << 20), {.deadline = kPatience})));
  }
  ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("spill_writing_bytes") == 0; }));
  for (const auto& file : SpillFiles(disk.path())) std::filesystem::resize_file(file, 4096);
  std::vector<ObjectId> lost;
  const absl::Time began = absl::Now();
  for (int pass = 0; pass < 5; ++pass) {
    lost.clear();
    for (const ObjectId& id : ids) {
      if (client.Get(id, kPatience).status().code() == StatusCode::kDataLoss) lost.push_back(id);
    }
  }
  ASSERT_GT(lost.size(), 40u);
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(client.Get(lost[0], kPatience).ok());
  const auto seconds = static_cast<size_t>(absl::ToInt64Seconds(absl::Now() - began)) + 2;
  const DaemonStatus status = daemon.Status();
  EXPECT_GE(status.Counter("spill_failed_reads"), 500u);
  EXPECT_EQ(status.Counter("spill_failed_writes"), 0u);
  const std::string log = daemon.Output();
  const size_t lines = LinesWith(log, "cannot be read back");
  EXPECT_GE(lines, 1u);
  EXPECT_LE(lines, std::min(lost.size(), 10 * seconds)) << log;
  EXPECT_EQ(LinesWith(log, "object " + lost[0].ToHex() + " on disk in " + disk.path()), 1u) << log;
  EXPECT_TRUE(Contains(log, "its file was cut off")) << log;
  EXPECT_TRUE(Contains(log, "DATA_LOSS")) << log;
}

TEST(Spill, ADirectoryThatIsDeletedAndMadeAgainIsUsedAgainAndNothingIsLost) {
  const TempDir disk;
  const TestDaemon daemon(Arguments(disk.path(), "16MiB"));
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  std::vector<Stored> all = PutMany(client, 32 << 20);
  std::filesystem::remove_all(disk.path());
  absl::Status refusal;
  for (uint64_t i = 1000; i < 1100 && refusal.ok(); ++i) {
    const auto id =
        client.Put(Pattern(i, 1 << 20), {.type_tag = 7, .deadline = absl::Seconds(2)});
    refusal = id.status();
    if (id.ok()) all.push_back({*id, i, 1 << 20});
  }
  EXPECT_TRUE(Says(refusal, StatusCode::kResourceExhausted, "the directory is gone"));
  ASSERT_TRUE(std::filesystem::create_directory(disk.path()));
  std::filesystem::permissions(disk.path(), std::filesystem::perms::owner_all);
  const std::vector<Stored> later = PutMany(client, 32 << 20);
  ExpectAll(client, all);
  ExpectAll(client, later);
  EXPECT_FALSE(SpillFiles(disk.path()).empty());
  EXPECT_EQ(daemon.Status().Counter("spill_trouble"), 0u);
}

TEST(Spill, ADirectoryThatCannotBeUsedIsRefusedAtTheStart) {
  const TempDir disk;
  std::ofstream(disk.path() + "/file") << "x";
  const ProgramOutcome outcome =
      RunProgram({ProgramPath("penstockd"), "--dir", disk.path() + "/store", "--memory", "8MiB",
                  "--spill-dir", disk.path() + "/file"});
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_TRUE(Contains(outcome.output, disk.path() + "/file")) << outcome.output;
}

}  // namespace
}  // namespace penstock::testing
