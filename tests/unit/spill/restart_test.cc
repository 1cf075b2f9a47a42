// A store that takes over the table and files of another one; and whose files and
// directories it does not touch.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/unit/spill/spill_world.h"

namespace penstock::testing {
namespace {

namespace fs = std::filesystem;

void Touch(const std::string& path) { std::ofstream(path) << "not ours"; }

TEST(SpillRestart, EveryLiveObjectIsThereAndReadsBackRight) {
  SpillWorld world({.file_bytes = 1 * kMiB});
  world.Open();
  std::vector<KeptObject> kept;
  for (uint64_t i = 0; i < 40; ++i) kept.push_back(world.Keep(i, i * 10'007));
  kept.push_back(world.Keep(40, 3 * kMiB));
  world.Drop(kept[7]);
  world.Drop(kept[40]);
  world.Restart();
  std::map<SpillHandle, SpilledObject> found;
  world.store->Visit([&](SpillHandle handle, const SpilledObject& object, uint64_t bytes) {
    found[handle] = object;
    EXPECT_EQ(bytes, object.size + object.metadata_size);
  });
  EXPECT_EQ(found.size(), 39u);
  for (const KeptObject& object : kept) {
    if (object.number == 7 || object.number == 40) continue;
    EXPECT_EQ(found.at(object.handle), object.object);
    world.ExpectWhole(object);
  }
  EXPECT_EQ(world.store->Stats().live_objects, 39u);
  // What is written now goes to new files, and what was there can be dropped.
  const KeptObject fresh = world.Keep(100, 5000);
  EXPECT_GT(world.table.Place(fresh.handle).file, world.table.Place(kept[39].handle).file);
  for (const KeptObject& object : kept) {
    if (object.number != 7 && object.number != 40) world.Drop(object);
  }
  world.Settle([](const SpillStats& stats) { return stats.live_objects == 1; });
  world.ExpectWhole(fresh);
}

// A table for all that a disk may hold is larger than the memory of its host.
TEST(SpillRestart, OpeningALargeTableTouchesOnlyWhatWasUsedOfIt) {
  SpillWorld world({}, /*capacity=*/1 << 20);
  world.Open();
  const KeptObject kept = world.Keep(1, 5000);
  world.Restart();
  world.ExpectWhole(kept);
  std::vector<unsigned char> pages(world.memory.bytes() / 4096);
  ASSERT_EQ(mincore(world.memory.data(), pages.size() * 4096, pages.data()), 0);
  EXPECT_EQ(std::count_if(pages.begin(), pages.end(),
                          [](unsigned char page) { return (page & 1) != 0; }), 1) << "pages";
}

TEST(SpillRestart, FilesOfOtherStoresGoAndNothingElseDoes) {
  SpillWorld world;
  const std::string dir = world.options.dir + "/";
  world.Open();
  const KeptObject kept = world.Keep(1, 5000);
  world.Stop();
  const std::string other = SpillFileName(0xabc, 5);
  const std::string unused = SpillFileName(kIncarnation, 99);
  for (const std::string& name :
       {other, unused, std::string("spill-0-1"), other + ".old", std::string("notes"),
        std::string("spill-000000000000ABCD-00000001"),
        std::string("spill-zzzzzzzzzzzzzzzz-00000001")}) {
    Touch(dir + name);
  }
  fs::create_directory(dir + SpillFileName(0xabc, 6));
  fs::create_symlink("notes", dir + SpillFileName(0xabc, 7));
  if (geteuid() == 0) {
    Touch(dir + SpillFileName(0xabc, 8));
    ASSERT_EQ(chown((dir + SpillFileName(0xabc, 8)).c_str(), 65534, 65534), 0);
  }
  world.Open();
  EXPECT_FALSE(fs::exists(dir + other));
  EXPECT_FALSE(fs::exists(dir + unused));
  EXPECT_TRUE(fs::exists(dir + "spill-0-1"));
  EXPECT_TRUE(fs::exists(dir + other + ".old"));
  EXPECT_TRUE(fs::exists(dir + "notes"));
  EXPECT_TRUE(fs::exists(dir + "spill-000000000000ABCD-00000001"));
  EXPECT_TRUE(fs::exists(dir + "spill-zzzzzzzzzzzzzzzz-00000001"));
  EXPECT_TRUE(fs::is_directory(dir + SpillFileName(0xabc, 6)));
  EXPECT_TRUE(fs::is_symlink(dir + SpillFileName(0xabc, 7)));
  if (geteuid() == 0) {
    EXPECT_TRUE(fs::exists(dir + SpillFileName(0xabc, 8)));
  }
  world.ExpectWhole(kept);
  // A number that was ever in use is not used again.
  EXPECT_GT(world.table.Place(world.Keep(2, 5).handle).file, 99u);
}

TEST(SpillRestart, AStrangersFileDoesNotUseUpTheNumbers) {
  SpillWorld world;
  world.Open();
  const KeptObject kept = world.Keep(1, 1000);
  world.Stop();
  for (const uint32_t number : {~uint32_t{0}, ~uint32_t{0} - 1, uint32_t{1} << 31}) {
    std::ofstream(world.options.dir + "/" + SpillFileName(kIncarnation, number)) << "x";
  }
  world.Restart();
  const KeptObject next = world.Keep(2, 1000);
  EXPECT_LT(world.table.Place(next.handle).file, 10u);
  world.ExpectWhole(kept);
  world.ExpectWhole(next);
}

TEST(SpillRestart, ASecondStoreOnTheDirectoryIsRefusedByName) {
  SpillWorld world;
  world.Open();
  SpillWorld second({.dir = world.options.dir});
  EXPECT_FALSE(second.TryOpen());
  EXPECT_NE(second.refusal.find(world.options.dir), std::string::npos) << second.refusal;
  EXPECT_NE(second.refusal.find("another store"), std::string::npos) << second.refusal;
  world.Stop();
  EXPECT_TRUE(second.TryOpen()) << second.refusal;
}

TEST(SpillRestart, ADirectoryThatOthersMayWriteIsRefused) {
  SpillWorld world;
  ASSERT_EQ(chmod(world.options.dir.c_str(), 0770), 0);
  EXPECT_FALSE(world.TryOpen());
  EXPECT_NE(world.refusal.find("mode 770"), std::string::npos) << world.refusal;
  ASSERT_EQ(chmod(world.options.dir.c_str(), 0755), 0);
  EXPECT_TRUE(world.TryOpen()) << world.refusal;
}

TEST(SpillRestart, AnotherUsersDirectoryIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a directory to another user";
  SpillWorld world;
  ASSERT_EQ(chown(world.options.dir.c_str(), 65534, 65534), 0);
  EXPECT_FALSE(world.TryOpen());
  EXPECT_NE(world.refusal.find("belongs to user 65534"), std::string::npos) << world.refusal;
}

TEST(SpillRestart, AMissingDirectoryIsMadeForItsUserAlone) {
  SpillWorld world;
  world.options.dir += "/new";
  world.Open();
  struct stat facts;
  ASSERT_EQ(stat(world.options.dir.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0700u);
  SpillWorld lost({.dir = world.options.dir + "/not/there"});
  EXPECT_FALSE(lost.TryOpen());
  EXPECT_NE(lost.refusal.find("Make its parent"), std::string::npos) << lost.refusal;
}

TEST(SpillRestart, BadOptionsAreRefusedByName) {
  SpillWorld world;
  const auto refused = [&](auto change) {
    const SpillOptions good = world.options;
    change(world.options);
    EXPECT_FALSE(world.TryOpen());
    world.options = good;
    return world.refusal;
  };
  EXPECT_NE(refused([](auto& o) { o.file_bytes = 1000; }).find("file_bytes"), std::string::npos);
  EXPECT_NE(refused([](auto& o) { o.file_bytes = kMiB + 1; }).find("file_bytes"),
            std::string::npos);
  EXPECT_NE(refused([](auto& o) { o.limit_bytes = 5; }).find("limit_bytes"), std::string::npos);
  EXPECT_NE(refused([](auto& o) { o.incarnation = 5; }).find("0000000000000005"),
            std::string::npos);
  EXPECT_NE(refused([](auto& o) { o.dir = ""; }).find("dir"), std::string::npos);
}

TEST(SpillRestart, FileNamesAreReadBackOnlyWhenExact) {
  const auto id = ParseSpillFileName(SpillFileName(0xfedcba9876543210, 0x1234));
  ASSERT_TRUE(id.has_value());
  EXPECT_EQ(id->incarnation, 0xfedcba9876543210);
  EXPECT_EQ(id->number, 0x1234u);
  for (const char* name : {"", "spill-", "spill-fedcba9876543210-00001234x",
                           "spill-fedcba9876543210-0000123", "spill-fedcba9876543210_00001234",
                           "spill-FEDCBA9876543210-00001234", "Spill-fedcba9876543210-00001234",
                           "spill-0xdcba9876543210-00001234", "spill--edcba9876543210-00001234"}) {
    EXPECT_FALSE(ParseSpillFileName(name).has_value()) << name;
  }
}

}  // namespace
}  // namespace penstock::testing
