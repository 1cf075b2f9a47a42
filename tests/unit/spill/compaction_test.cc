// Files that are mostly dead are emptied and go; whatever happens meanwhile, the objects in
// them read back right.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/spill/faulty_disk.h"
#include "tests/unit/spill/spill_world.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kFileBytes = 4 * kMiB;

SpillOptions Small() { return {.file_bytes = kFileBytes}; }

// Fills files with objects of several sizes and drops all but every `nth`.
std::vector<KeptObject> FillAndThin(SpillWorld& world, uint64_t objects, uint64_t nth) {
  std::vector<KeptObject> kept, dropped;
  for (uint64_t i = 0; i < objects; ++i) {
    const uint64_t bytes = i % 10 == 0 ? 700'000 + i : 5'000 * (i % 9) + i;
    (i % nth == 0 ? kept : dropped).push_back(world.Keep(i, bytes));
  }
  for (const KeptObject& object : dropped) world.Drop(object);
  return kept;
}

TEST(SpillCompaction, LiveObjectsSurviveAndTheDirectoryShrinks) {
  SpillWorld world(Small());
  world.Open();
  const std::vector<KeptObject> kept = FillAndThin(world, 400, 7);
  world.Settle();
  const SpillStats stats = world.store->Stats();
  EXPECT_EQ(stats.live_objects, kept.size());
  EXPECT_GT(stats.compacted_files, 0u);
  EXPECT_GT(stats.compacted_bytes, 0u);
  EXPECT_EQ(stats.damaged_objects, 0u);
  EXPECT_LE(world.directory.DiskBytes(), 2 * stats.live_bytes + kFileBytes + kMiB);
  for (const KeptObject& object : kept) world.ExpectWhole(object);
  world.Restart();
  for (const KeptObject& object : kept) world.ExpectWhole(object);
}

TEST(SpillCompaction, OneLiveObjectNeverHoldsAFileOfDeadOnes) {
  SpillWorld world({.file_bytes = 16 * kMiB});
  world.Open();
  std::vector<KeptObject> objects;
  for (uint64_t i = 0; i < 40; ++i) objects.push_back(world.Keep(i, 1'000'000));
  for (uint64_t i = 0; i < 40; ++i) {
    if (i != 20) world.Drop(objects[i]);
  }
  world.Settle();
  world.ExpectWhole(objects[20]);
  EXPECT_EQ(world.store->Stats().live_objects, 1u);
  EXPECT_LE(world.store->Stats().file_bytes, 16 * kMiB);
}

TEST(SpillCompaction, ObjectsMayBeReadAndDroppedWhileTheyMove) {
  SpillWorld world(Small());
  auto trouble = std::make_shared<DiskTrouble>();
  world.Open(FaultyDisk::Make(trouble));
  std::vector<KeptObject> objects;
  for (uint64_t i = 0; i < 60; ++i) {
    objects.push_back(world.Keep(i, i % 6 == 0 ? 600'000 : 20'000));
  }
  // The moves' reads and writes stand still, at whatever step they have reached.
  for (int round = 0; round < 8; ++round) {
    for (size_t i = 0; i < objects.size(); ++i) {
      if (i % 3 != 0) world.Drop(objects[i]);
    }
    std::vector<KeptObject> left;
    for (size_t i = 0; i < objects.size(); i += 3) left.push_back(objects[i]);
    trouble->Hold();
    std::vector<std::vector<std::byte>> into(left.size());
    std::vector<KeptObject> after;
    for (size_t i = 0; i < left.size(); ++i) {
      into[i].resize(left[i].bytes);
      world.store->Read(10'000 + i, left[i].handle, into[i]);
      if (i % 2 == 0) {
        world.Drop(left[i]);
      } else {
        after.push_back(left[i]);
      }
    }
    usleep(round * 500);
    trouble->Release();
    for (size_t i = 0; i < left.size(); ++i) {
      EXPECT_EQ(world.Await(10'000 + i).fault, SpillFault::kNone);
      EXPECT_TRUE(AreBytesOf(left[i].number, into[i]));
    }
    for (const KeptObject& object : after) world.ExpectWhole(object);
    objects = after;
    for (uint64_t i = 0; i < 50; ++i) {
      objects.push_back(world.Keep(1000 * (round + 1) + i, i % 6 == 0 ? 600'000 : 20'000));
    }
  }
  world.Settle();
  for (const KeptObject& object : objects) world.ExpectWhole(object);
  EXPECT_EQ(world.store->Stats().live_objects, objects.size());
}

TEST(SpillCompaction, ADamagedRecordStaysAndItsObjectAloneHasTheFault) {
  for (const uint64_t damaged_bytes : {uint64_t{3'000}, uint64_t{1'500'000}}) {
    SpillWorld world(Small());
    world.Open();
    std::vector<KeptObject> kept, dropped;
    kept.push_back(world.Keep(0, 5'000));
    kept.push_back(world.Keep(1, damaged_bytes));
    kept.push_back(world.Keep(2, 5'000));
    for (uint64_t i = 3; i < 60; ++i) dropped.push_back(world.Keep(i, 100'000));
    const KeptObject damaged = kept[1];
    FlipByte(world.FilePath(damaged), world.table.Place(damaged.handle).offset() +
                                          DataOffset(damaged.bytes) + damaged.bytes - 1);
    const SpillPlace place = world.table.Place(damaged.handle);
    for (const KeptObject& object : dropped) world.Drop(object);
    world.Settle();
    EXPECT_EQ(world.store->Stats().damaged_objects, 1u);
    EXPECT_EQ(world.table.Place(damaged.handle), place);
    EXPECT_NE(world.table.Place(kept[0].handle).file, place.file);
    EXPECT_NE(world.table.Place(kept[2].handle).file, place.file);
    world.ExpectWhole(kept[0]);
    world.ExpectFault(damaged, SpillFault::kAltered);
    world.ExpectWhole(kept[2]);
    // Its file goes with it.
    world.Drop(damaged);
    world.Settle();
    EXPECT_EQ(world.store->Stats().files, 1u);
  }
}

TEST(SpillCompaction, ADiskThatFailsLeavesEveryObjectWhereItIs) {
  for (const int error : {ENOSPC, EIO}) {
    SpillWorld world(Small());
    auto trouble = std::make_shared<DiskTrouble>();
    world.Open(FaultyDisk::Make(trouble));
    std::vector<KeptObject> kept, dropped;
    for (uint64_t i = 0; i < 300; ++i) {
      (i % 6 == 0 ? kept : dropped).push_back(world.Keep(i, i % 12 == 0 ? 200'000 : 30'000));
    }
    trouble->FailWrites(100, error);
    for (const KeptObject& object : dropped) world.Drop(object);
    world.Settle([&](const SpillStats& stats) {
      return stats.live_objects == kept.size() && !stats.moving;
    });
    for (const KeptObject& object : kept) world.ExpectWhole(object);
    // Once there is room again, the end of any file brings the others another try.
    trouble->FailWrites(0, error);
    for (uint64_t i = 0; i < 300; ++i) world.Drop(world.Keep(1000 + i, 30'000));
    world.Settle();
    EXPECT_LE(world.store->Stats().file_bytes,
              2 * world.store->Stats().live_bytes + kFileBytes + kMiB);
    for (const KeptObject& object : kept) world.ExpectWhole(object);
  }
}

}  // namespace
}  // namespace penstock::testing
