// What is written comes back, through both ways of disk I/O: the conformance suite of the
// queue to the disk, driven through the store.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "tests/unit/spill/spill_world.h"

namespace penstock::testing {
namespace {

class SpillRoundTrip : public ::testing::TestWithParam<SpillIo> {
 protected:
  void SetUp() override {
    if (GetParam() == SpillIo::kUring && !CreateUringQueue().ok()) {
      GTEST_SKIP() << "io_uring is refused here, so its half of the suite is not shown";
    }
    world_ = std::make_unique<SpillWorld>(SpillOptions{.io = GetParam()});
    world_->Open();
  }
  std::unique_ptr<SpillWorld> world_;
};

INSTANTIATE_TEST_SUITE_P(Io, SpillRoundTrip,
                         ::testing::Values(SpillIo::kUring, SpillIo::kThreads),
                         [](const auto& param) {
                           return param.param == SpillIo::kUring ? "Uring" : "Threads";
                         });

TEST_P(SpillRoundTrip, EverySizeComesBackAsItWas) {
  const uint64_t packed = kPackedRecordBytes - sizeof(RecordHeader);
  const uint64_t chunk = ChunkPool::kBytes;
  std::vector<KeptObject> kept;
  uint64_t number = 0;
  for (const uint64_t bytes :
       {uint64_t{0}, uint64_t{1}, uint64_t{63}, uint64_t{4095}, uint64_t{4096}, uint64_t{4097},
        packed - 1, packed, packed + 1, chunk - 4096, chunk - 4095, chunk, chunk + 1,
        2 * chunk - 4097, 64 * kMiB, 64 * kMiB + 777}) {
    kept.push_back(world_->Keep(number++, bytes));
  }
  for (const KeptObject& object : kept) world_->ExpectWhole(object);
}

TEST_P(SpillRoundTrip, ManyAtOnceFromAndToAnyAddress) {
  constexpr uint64_t kObjects = 200;
  SharedPages from(64 * kMiB);
  SharedPages to(64 * kMiB);
  std::vector<uint64_t> places, sizes;
  uint64_t end = 0;
  for (uint64_t i = 0; i < kObjects; ++i) {
    // Multiples of 64 bytes, as in the arena; every fourth one of a page.
    end = RoundUp(end, i % 4 == 0 ? 4096 : 64);
    places.push_back(end);
    sizes.push_back(i % 7 == 0 ? 1'000'000 + i * 1111 : i * 257 % 200'000);
    const std::vector<std::byte> data = BytesOf(i, sizes[i]);
    std::memcpy(from.data() + end, data.data(), data.size());
    end += sizes[i];
  }
  ASSERT_LT(end, from.bytes());
  std::vector<SpillHandle> handles;
  for (uint64_t i = 0; i < kObjects; ++i) {
    world_->store->Write(1000 + i, SpillWorld::ObjectOf(i, sizes[i]),
                         {from.data() + places[i], sizes[i]});
  }
  for (uint64_t i = 0; i < kObjects; ++i) {
    const SpillDone done = world_->Await(1000 + i);
    ASSERT_EQ(done.fault, SpillFault::kNone);
    handles.push_back(done.handle);
  }
  for (uint64_t i = 0; i < kObjects; ++i) {
    world_->store->Read(5000 + i, handles[i], {to.data() + places[i], sizes[i]});
  }
  for (uint64_t i = 0; i < kObjects; ++i) {
    ASSERT_EQ(world_->Await(5000 + i).fault, SpillFault::kNone);
    EXPECT_TRUE(AreBytesOf(i, {to.data() + places[i], sizes[i]}));
  }
  // Nothing beside them was touched.
  EXPECT_EQ(to.data()[end], std::byte{0});
  const SpillStats stats = world_->store->Stats();
  EXPECT_EQ(stats.written_objects, kObjects);
  EXPECT_EQ(stats.read_objects, kObjects);
  EXPECT_EQ(stats.written_bytes, std::accumulate(sizes.begin(), sizes.end(), uint64_t{0}));
}

TEST_P(SpillRoundTrip, SmallObjectsSharePlacesOf4KiB) {
  std::vector<std::vector<std::byte>> data;
  for (uint64_t i = 0; i < 500; ++i) data.push_back(BytesOf(i, 1024));
  for (uint64_t i = 0; i < 500; ++i) {
    world_->store->Write(100 + i, SpillWorld::ObjectOf(i, 1024), data[i]);
  }
  for (uint64_t i = 0; i < 500; ++i) {
    ASSERT_EQ(world_->Await(100 + i).fault, SpillFault::kNone);
  }
  EXPECT_EQ(world_->store->Stats().live_bytes, 500 * kSpillBlockBytes);
}

TEST_P(SpillRoundTrip, ADroppedObjectTakesItsFileAlongWhenItWasTheLast) {
  const KeptObject first = world_->Keep(1, 100'000);
  const KeptObject second = world_->Keep(2, 3'000'000);
  world_->Drop(first);
  world_->Settle([](const SpillStats& stats) { return stats.live_objects == 1; });
  world_->ExpectWhole(second);
  world_->Drop(second);
  world_->Settle([](const SpillStats& stats) { return stats.files == 0; });
  EXPECT_EQ(world_->store->Stats().file_bytes, 0u);
  TestDirectory& directory = world_->directory;
  EXPECT_TRUE(directory.SpillFiles().empty());
}

TEST_P(SpillRoundTrip, AReadAskedForBeforeTheDropEndsRight) {
  const KeptObject kept = world_->Keep(3, 8 * kMiB);
  std::vector<std::byte> into(kept.bytes);
  world_->store->Read(77, kept.handle, into);
  world_->Drop(kept);
  EXPECT_EQ(world_->Await(77).fault, SpillFault::kNone);
  EXPECT_TRUE(AreBytesOf(3, into));
  world_->Settle([](const SpillStats& stats) { return stats.files == 0; });
}

TEST_P(SpillRoundTrip, CloseAnswersEverythingThatWasAskedFor) {
  const KeptObject kept = world_->Keep(4, 4 * kMiB);
  const std::vector<std::byte> data = BytesOf(5, 4 * kMiB);
  std::vector<std::byte> into(kept.bytes);
  for (uint64_t i = 0; i < 50; ++i) {
    world_->store->Write(100 + i, SpillWorld::ObjectOf(5, data.size()), data);
  }
  for (uint64_t i = 0; i < 10; ++i) world_->store->Read(200 + i, kept.handle, into);
  world_->store->Close(SpillStore::FilesAtEnd::kKeep);
  uint64_t answers = 0;
  for (const SpillDone& done : world_->store->TakeDone()) {
    EXPECT_TRUE(done.fault == SpillFault::kNone || done.fault == SpillFault::kCancelled);
    ++answers;
  }
  EXPECT_EQ(answers, 60u);
}

TEST_P(SpillRoundTrip, AStoreThatHasEndedForGoodLeavesNoFile) {
  world_->Keep(1, 100);
  world_->Keep(2, 1'000'000);
  world_->store->Close(SpillStore::FilesAtEnd::kRemove);
  TestDirectory& directory = world_->directory;
  EXPECT_TRUE(directory.SpillFiles().empty());
}

}  // namespace
}  // namespace penstock::testing
