// Full, limited, read-only, slow and failing disks: each write or read that cannot be done
// says why, nothing hangs, and later ones work when the cause is gone.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "tests/support/small_disk.h"
#include "tests/unit/spill/faulty_disk.h"
#include "tests/unit/spill/spill_world.h"

namespace penstock::testing {
namespace {

TEST(SpillFaults, AFullDiskFailsTheWritesThatDoNotFitAndNoOthers) {
  const SmallDisk disk("8m");
  if (!disk.ok()) GTEST_SKIP() << "a tmpfs takes root: a full disk is not shown";
  SpillWorld world({.dir = disk.path(), .file_bytes = kMiB});
  world.Open();
  std::vector<KeptObject> kept;
  uint64_t number = 0;
  SpillDone done;
  // Large ones until none fits, then small ones until none fits.
  for (const uint64_t bytes : {uint64_t{700'000}, uint64_t{9'000}}) {
    for (;;) {
      done = world.Write(number, bytes);
      if (done.fault != SpillFault::kNone) break;
      kept.push_back({done.handle, SpillWorld::ObjectOf(number, bytes), number, bytes});
      ASSERT_LE(++number, 5000u);
    }
    ASSERT_EQ(done.fault, SpillFault::kDiskFull);
    ASSERT_EQ(done.error_number, ENOSPC);
  }
  ASSERT_GE(kept.size(), 9u);
  for (const KeptObject& object : kept) world.ExpectWhole(object);
  // Whoever comes when there is room again is served.
  for (size_t i = 0; i < 4; ++i) world.Drop(kept[i]);
  world.Settle([&](const SpillStats& stats) { return stats.live_objects == kept.size() - 4; });
  for (uint64_t i = 0; i < 2; ++i) world.ExpectWhole(world.Keep(6000 + i, 600'000));
  for (size_t i = 4; i < kept.size(); ++i) world.ExpectWhole(kept[i]);
  world.Restart();
  for (size_t i = 4; i < kept.size(); ++i) world.ExpectWhole(kept[i]);
}

TEST(SpillFaults, ADiskThatSaysFullInTheMiddleOfAWriteIsSurvived) {
  SpillWorld world({.file_bytes = 4 * kMiB});
  auto trouble = std::make_shared<DiskTrouble>();
  world.Open(FaultyDisk::Make(trouble));
  const KeptObject before = world.Keep(1, 2 * kMiB);
  trouble->FailWrites(40, ENOSPC);
  int failed = 0;
  std::vector<KeptObject> kept{before};
  for (uint64_t i = 2; i < 40; ++i) {
    const uint64_t bytes = i % 2 == 0 ? 3 * kMiB : 1000;
    const SpillDone done = world.Write(i, bytes);
    if (done.fault == SpillFault::kNone) {
      kept.push_back({done.handle, SpillWorld::ObjectOf(i, bytes), i, bytes});
    } else {
      EXPECT_EQ(done.fault, SpillFault::kDiskFull);
      EXPECT_EQ(done.handle, kNoSpillHandle);
      ++failed;
    }
  }
  EXPECT_GT(failed, 5);
  trouble->FailWrites(0, 0);
  kept.push_back(world.Keep(100, 3 * kMiB));
  world.Settle();
  for (const KeptObject& object : kept) world.ExpectWhole(object);
  EXPECT_EQ(world.store->Stats().faults[static_cast<size_t>(SpillFault::kDiskFull)],
            static_cast<uint64_t>(failed));
}

TEST(SpillFaults, AReadThatTheDiskRefusesSaysSoAndTheNextOneWorks) {
  SpillWorld world;
  auto trouble = std::make_shared<DiskTrouble>();
  world.Open(FaultyDisk::Make(trouble));
  const KeptObject small = world.Keep(1, 1000);
  const KeptObject large = world.Keep(2, 5 * kMiB);
  trouble->FailReads(100, EIO);
  world.ExpectFault(small, SpillFault::kIo);
  world.ExpectFault(large, SpillFault::kIo);
  trouble->FailReads(0, 0);
  trouble->AlterReads(100);
  world.ExpectFault(small, SpillFault::kAltered);
  world.ExpectFault(large, SpillFault::kAltered);
  trouble->AlterReads(0);
  world.ExpectWhole(small);
  world.ExpectWhole(large);
}

TEST(SpillFaults, ASlowDiskHoldsUpNoCall) {
  SpillWorld world;
  auto trouble = std::make_shared<DiskTrouble>();
  world.Open(FaultyDisk::Make(trouble));
  const KeptObject kept = world.Keep(1, 3 * kMiB);
  trouble->Hold();
  const std::vector<std::byte> data = BytesOf(2, 3 * kMiB);
  std::vector<std::byte> into(kept.bytes);
  for (uint64_t i = 0; i < 20; ++i) {
    world.store->Write(100 + i, SpillWorld::ObjectOf(2, data.size()), data);
  }
  world.store->Read(200, kept.handle, into);
  EXPECT_TRUE(world.store->TakeDone().empty());
  world.Settle([](const SpillStats& stats) {
    return stats.waiting_writes == 20 && stats.waiting_reads == 1;
  });
  EXPECT_TRUE(world.store->TakeDone().empty());
  trouble->Release();
  EXPECT_EQ(world.Await(200).fault, SpillFault::kNone);
  for (uint64_t i = 0; i < 20; ++i) EXPECT_EQ(world.Await(100 + i).fault, SpillFault::kNone);
}

TEST(SpillFaults, TheLimitIsKeptAndRoomThatIsFreedIsUsedAgain) {
  constexpr uint64_t kLimit = 16 * kMiB;
  SpillWorld world({.limit_bytes = kLimit, .file_bytes = kMiB});
  world.Open();
  std::vector<KeptObject> kept;
  for (uint64_t i = 0;; ++i) {
    const SpillDone done = world.Write(i, 100'000);
    if (done.fault != SpillFault::kNone) {
      EXPECT_EQ(done.fault, SpillFault::kLimit);
      break;
    }
    kept.push_back({done.handle, SpillWorld::ObjectOf(i, 100'000), i, 100'000});
    ASSERT_LT(i, 1000u);
  }
  EXPECT_GT(kept.size(), 150u);
  EXPECT_LE(world.directory.DiskBytes(), kLimit);
  // Every third one goes: all files are two thirds live, so only a write that waits for
  // room has them emptied.
  std::vector<KeptObject> left;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (i % 3 == 0) {
      world.Drop(kept[i]);
    } else {
      left.push_back(kept[i]);
    }
  }
  for (uint64_t i = 0; i < 30; ++i) left.push_back(world.Keep(2000 + i, 100'000));
  world.Settle([](const SpillStats& stats) { return !stats.moving; });
  EXPECT_LE(world.store->Stats().file_bytes, kLimit + kMiB);
  for (const KeptObject& object : left) world.ExpectWhole(object);
  // One that could never fit is refused at once.
  EXPECT_EQ(world.Write(5000, 20 * kMiB).fault, SpillFault::kLimit);
}

TEST(SpillFaults, AFullTableSaysSo) {
  SpillWorld world({}, 4);
  world.Open();
  std::vector<KeptObject> kept;
  for (uint64_t i = 0; i < 4; ++i) kept.push_back(world.Keep(i, 100));
  EXPECT_EQ(world.Write(9, 100).fault, SpillFault::kTableFull);
  world.Drop(kept[2]);
  const KeptObject next = world.Keep(10, 200);
  EXPECT_EQ(next.handle, kept[2].handle);
  world.ExpectWhole(next);
  world.ExpectWhole(kept[3]);
}

TEST(SpillFaults, ADirectoryThatCannotBeWrittenFailsWritesAndServesReads) {
  SmallDisk disk("64m");
  if (!disk.ok()) GTEST_SKIP() << "a tmpfs takes root: a read-only directory is not shown";
  SpillWorld world({.dir = disk.path(), .file_bytes = kMiB});
  world.Open();
  const KeptObject kept = world.Keep(1, 900'000);
  // A file that is written stays open for it; only a new one shows it.
  world.store.reset();
  ASSERT_TRUE(disk.SetReadOnly(true));
  EXPECT_FALSE(world.TryOpen());
  EXPECT_NE(world.refusal.find("Read-only file system"), std::string::npos) << world.refusal;
  ASSERT_TRUE(disk.SetReadOnly(false));
  world.Open();
  world.ExpectWhole(kept);
}

TEST(SpillFaults, ADirectoryThatBecomesForbiddenFailsWritesUntilItIsAllowedAgain) {
  SpillWorld world({.file_bytes = kMiB});
  if (geteuid() == 0) {
    ASSERT_EQ(chown(world.options.dir.c_str(), 65534, 65534), 0);
  }
  const int status = InChild([&] {
    // To somebody whom modes concern. The path above the directory may be root's alone.
    if (geteuid() == 0) {
      if (chdir(world.options.dir.c_str()) != 0) return 2;
      world.options.dir = std::string("./");
      if (setgid(65534) != 0 || setuid(65534) != 0) return 3;
    }
    world.Open();
    const KeptObject kept = world.Keep(1, 900'000);
    if (chmod(".", 0500) != 0 && chmod(world.options.dir.c_str(), 0500) != 0) return 4;
    for (uint64_t i = 0; i < 3; ++i) {
      const SpillDone done = world.Write(10 + i, 900'000);
      if (done.fault != SpillFault::kUnwritable || done.error_number != EACCES) return 5;
    }
    world.ExpectWhole(kept);
    if (chmod(world.options.dir.c_str(), 0700) != 0) return 6;
    world.ExpectWhole(world.Keep(20, 900'000));
    world.ExpectWhole(kept);
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_EQ(status, 0);
}

TEST(SpillFaults, ADirectoryThatIsGoneFailsWritesAndServesWhatIsOpen) {
  SpillWorld world({.file_bytes = kMiB});
  world.Open();
  const KeptObject kept = world.Keep(1, 900'000);
  unlink(world.FilePath(kept).c_str());
  unlink((world.options.dir + "/" + kSpillLockName).c_str());
  ASSERT_EQ(rmdir(world.options.dir.c_str()), 0);
  EXPECT_EQ(world.Write(2, 900'000).fault, SpillFault::kUnwritable);
  EXPECT_FALSE(std::filesystem::exists(world.options.dir)) << "it may be a disk's that is missing";
  world.ExpectWhole(kept);  // its file has no name any more, but is there
}

// The directory and all that is in it.
void Delete(const SpillWorld& world) {
  std::filesystem::remove_all(world.options.dir);
}

TEST(SpillFaults, ADirectoryThatIsMadeAgainIsTakenAgain) {
  SpillWorld world({.file_bytes = kMiB});
  world.Open();
  const KeptObject before = world.Keep(1, 900'000);
  Delete(world);
  EXPECT_EQ(world.Write(2, 900'000).fault, SpillFault::kUnwritable);
  ASSERT_EQ(mkdir(world.options.dir.c_str(), 0700), 0);
  const KeptObject after = world.Keep(3, 900'000);
  EXPECT_EQ(world.directory.SpillFiles().size(), 1u);
  world.ExpectWhole(before);
  world.ExpectWhole(after);
  // With its lock, so that no other store comes in.
  SpillWorld other({.dir = world.options.dir});
  EXPECT_FALSE(other.TryOpen());
  EXPECT_NE(other.refusal.find("another store spills to"), std::string::npos) << other.refusal;
  // What was in the deleted file ends with this daemon, and nothing else does.
  world.Restart();
  world.ExpectFault(before, SpillFault::kMissing);
  world.ExpectWhole(after);
}

TEST(SpillFaults, ADirectoryThatIsMadeAgainForSomebodyElseIsNotTaken) {
  SpillWorld world({.file_bytes = kMiB});
  world.Open();
  const KeptObject kept = world.Keep(1, 900'000);
  Delete(world);
  SpillWorld other({.dir = world.options.dir});
  other.Open();
  SpillDone done = world.Write(2, 900'000);
  EXPECT_EQ(done.fault, SpillFault::kUnwritable);
  EXPECT_EQ(done.error_number, EBUSY);
  other.Stop();
  ASSERT_EQ(chmod(world.options.dir.c_str(), 0777), 0);
  done = world.Write(3, 900'000);
  EXPECT_EQ(done.fault, SpillFault::kUnwritable);
  EXPECT_EQ(done.error_number, EACCES);
  ASSERT_EQ(chmod(world.options.dir.c_str(), 0700), 0);
  world.ExpectWhole(world.Keep(4, 900'000));
  world.ExpectWhole(kept);
}

TEST(SpillFaults, AFileThatSomebodyDeletesSoonTakesNoFurtherRecords) {
  SpillWorld world({.file_bytes = 64 * kMiB});
  world.Open();
  std::vector<KeptObject> kept{world.Keep(1, 100'000)};
  ASSERT_EQ(unlink(world.FilePath(kept[0]).c_str()), 0);
  for (uint64_t i = 2; i < 40; ++i) kept.push_back(world.Keep(i, 100'000));
  EXPECT_EQ(world.directory.SpillFiles().size(), 1u);
  for (const KeptObject& object : kept) world.ExpectWhole(object);
  world.Restart();
  world.ExpectFault(kept[0], SpillFault::kMissing);
  for (size_t i = 20; i < kept.size(); ++i) world.ExpectWhole(kept[i]);
}

TEST(SpillFaults, DeletedFilesStayOpenHoweverManyOthersThereAre) {
  SpillWorld world({.file_bytes = kMiB});
  world.Open();
  std::vector<KeptObject> kept;
  for (uint64_t i = 0; i < 3; ++i) kept.push_back(world.Keep(i, 900'000));
  Delete(world);
  ASSERT_EQ(mkdir(world.options.dir.c_str(), 0700), 0);
  for (uint64_t i = 3; i < 80; ++i) kept.push_back(world.Keep(i, 900'000));
  for (const KeptObject& object : kept) world.ExpectWhole(object);
}

}  // namespace
}  // namespace penstock::testing
