// Pages that come, go back to the host and come again, as the host counts them.
#include "tools/penstockd/populator.h"

#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <functional>

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "store/base/units.h"
#include "store/shm/parking.h"

namespace penstock {
namespace {

using Extents = Populator::Extents;

constexpr uint64_t kArena = 16 * kMiB;

// A daemon's share of it: the files, the doorbell, and what became ready.
struct World {
  explicit World(std::vector<ExtentEntry> ready_before = {})
      : populator({&arena_file, &arena}, {&index_file, &index}, /*collapse=*/false,
                  /*pages_are_huge=*/false, doorbell.get(), std::move(ready_before),
                  [this](int fd, uint64_t offset, uint64_t bytes) {
                    if (host_is_short) return absl::ResourceExhaustedError("none left");
                    return PopulatePages(fd, offset, bytes);
                  }) {
    populator.Start();
    WaitFor([this] { return populator.Progress().done; });
  }
  void WaitFor(const std::function<bool()>& what) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (!what() && absl::Now() < end) {
      pollfd rung{doorbell.get(), POLLIN, 0};
      poll(&rung, 1, 5);
      TakeReady();
    }
    ASSERT_TRUE(what());
  }
  void TakeReady() {
    for (const auto& [offset, bytes] : populator.TakeReady()) ready.emplace_back(offset, bytes);
    std::sort(ready.begin(), ready.end());
  }
  void ForgetReady() {
    TakeReady();
    ready.clear();
  }
  uint64_t ReadyBytes() {
    TakeReady();
    uint64_t sum = 0;
    for (const auto& [offset, bytes] : ready) sum += bytes;
    return sum;
  }
  uint64_t HostBytes() const {
    struct stat facts;
    fstat(arena_file.fd(), &facts);
    return static_cast<uint64_t>(facts.st_blocks) * 512;
  }

  MemoryFile arena_file = *MemoryFile::Create("arena", kArena);
  MemoryFile index_file = *MemoryFile::Create("index", 2 * kMiB);
  Mapping arena = *Mapping::Map(arena_file.fd(), kArena, Access::kReadWrite, OnFork::kDrop);
  Mapping index = *Mapping::Map(index_file.fd(), 2 * kMiB, Access::kReadWrite, OnFork::kDrop);
  UniqueFd doorbell = *MakeDoorbell();
  std::atomic<bool> host_is_short{false};
  Extents ready;
  Populator populator;  // last: its threads use the others
};

TEST(Populator, WhatIsGivenBackIsTheHostsUntilItIsFetched) {
  World world;
  EXPECT_EQ(world.ReadyBytes(), kArena);
  EXPECT_EQ(world.HostBytes(), kArena);
  world.ForgetReady();
  world.populator.GiveBack({{4 * kMiB, 8 * kMiB}});
  world.WaitFor([&] { return world.populator.Progress().returned_bytes == 8 * kMiB; });
  EXPECT_EQ(world.HostBytes(), kArena - 8 * kMiB);
  EXPECT_EQ(world.populator.Progress().populated_bytes, kArena - 8 * kMiB);
  EXPECT_EQ(world.ReadyBytes(), 0u);
  world.populator.FetchAgain(1);
  world.populator.FetchAgain(1);
  world.WaitFor([&] { return world.ReadyBytes() > 0; });
  EXPECT_EQ(world.ready, (Extents{{4 * kMiB, 8 * kMiB}}));
  EXPECT_EQ(world.HostBytes(), kArena);
  EXPECT_EQ(world.populator.Progress().returned_bytes, 0u);
  EXPECT_EQ(world.populator.Progress().note, "");
}

TEST(Populator, OnlyAsMuchAsIsNeededIsFetched) {
  World world;
  world.ForgetReady();
  world.populator.GiveBack({{12 * kMiB, 2 * kMiB}, {8 * kMiB, 2 * kMiB}, {0, 4 * kMiB}});
  world.WaitFor([&] { return world.populator.Progress().returned_bytes == 8 * kMiB; });
  world.populator.FetchAgain(5 * kMiB);
  world.WaitFor([&] { return world.ReadyBytes() >= 5 * kMiB; });
  EXPECT_EQ(world.ReadyBytes(), 6 * kMiB);
  EXPECT_EQ(world.populator.Progress().returned_bytes, 2 * kMiB);
  world.populator.FetchAgain(100 * kMiB);  // more than there is
  world.WaitFor([&] { return world.ReadyBytes() == 8 * kMiB; });
}

TEST(Populator, AHostThatHasNothingToGiveIsToldOfAndAskedAgain) {
  World world;
  world.ForgetReady();
  world.populator.GiveBack({{8 * kMiB, 2 * kMiB}, {0, 4 * kMiB}});
  world.WaitFor([&] { return world.populator.Progress().returned_bytes == 6 * kMiB; });
  world.host_is_short = true;
  world.populator.FetchAgain(6 * kMiB);
  bool is_told = false;
  world.WaitFor([&] { return is_told |= world.populator.TakeShortage(); });
  EXPECT_FALSE(world.populator.TakeShortage()) << "told once";
  EXPECT_EQ(world.ReadyBytes(), 0u);
  EXPECT_EQ(world.populator.Progress().returned_bytes, 6 * kMiB);
  EXPECT_NE(world.populator.Progress().note.find("none left"), std::string::npos);
  world.host_is_short = false;
  world.populator.FetchAgain(6 * kMiB);
  world.WaitFor([&] { return world.ReadyBytes() == 6 * kMiB; });
  EXPECT_EQ(world.populator.Progress().note, "");
}

TEST(Populator, TheNextDaemonIsGivenWhatTheLastOneHadNot) {
  // One of its steps was ready in part: the rest was given back.
  World world({{2 * kMiB, 3 * kMiB}, {4 * kMiB, 2 * kMiB}, {14 * kMiB, 2 * kMiB}});
  EXPECT_EQ(world.ReadyBytes(), kArena - 6 * kMiB);
  EXPECT_EQ(world.ready, (Extents{{0, 2 * kMiB}, {6 * kMiB, 2 * kMiB}, {8 * kMiB, 6 * kMiB}}));
}

}  // namespace
}  // namespace penstock
