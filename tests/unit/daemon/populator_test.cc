// Pages that come, go back to the host and come again, as the host counts them.
#include "tools/penstockd/populator.h"

#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "store/base/units.h"
#include "store/shm/parking.h"

namespace penstock {
namespace {

using Extents = Populator::Extents;

constexpr uint64_t kArena = 16 * kMiB;

struct Past {
  std::vector<ExtentEntry> ready = {};  // of the last daemon
  bool goes_on = false;
  bool rest_waits = false;
  bool collapse = false;
  uint64_t host_gives = ~uint64_t{0};  // bytes, then it is short
};

// A daemon's share of it: the files, the doorbell, and what became ready.
struct World {
  explicit World(const Past& past = {})
      : host_gives(past.host_gives),
        populator({&arena_file, &arena}, {&index_file, &index}, doorbell.get(),
                  {.collapse = past.collapse, .ready = past.ready, .goes_on = past.goes_on,
                   .rest_waits = past.rest_waits,
                   .allocate = [this](int fd, uint64_t offset, uint64_t bytes) {
                     return Allocate(fd, offset, bytes);
                   },
                   .host = [this] {
                     return HostMemory{.limit_bytes = kGiB, .limited_by = "the host",
                                       .available_bytes = host_has, .available_in = "the host"};
                   }}) {
    for (const ExtentEntry& entry : past.ready) {
      EXPECT_TRUE(PopulatePages(arena_file.fd(), entry.offset, entry.bytes).ok());
    }
    EXPECT_TRUE(populator.Start().ok());
    WaitFor([this] { return populator.Progress().done; });
  }
  absl::Status Allocate(int fd, uint64_t offset, uint64_t bytes) {
    // Several threads ask at a time.
    if (fd == index_file.fd()) return PopulatePages(fd, offset, bytes);
    const std::lock_guard lock(host_mutex);
    if (host_gives < bytes) return absl::ResourceExhaustedError("none left");
    if (host_gives != ~uint64_t{0}) host_gives -= bytes;
    return PopulatePages(fd, offset, bytes);
  }
  void SetHostGives(uint64_t bytes) {
    const std::lock_guard lock(host_mutex);
    host_gives = bytes;
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
  std::mutex host_mutex;
  uint64_t host_gives;
  std::atomic<uint64_t> host_has{kGiB};
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
  world.SetHostGives(0);
  world.populator.FetchAgain(6 * kMiB);
  bool is_told = false;
  world.WaitFor([&] { return is_told |= world.populator.TakeShortage(); });
  EXPECT_FALSE(world.populator.TakeShortage()) << "told once";
  EXPECT_EQ(world.ReadyBytes(), 0u);
  EXPECT_EQ(world.populator.Progress().returned_bytes, 6 * kMiB);
  EXPECT_NE(world.populator.Progress().note.find("none left"), std::string::npos);
  world.SetHostGives(~uint64_t{0});
  world.populator.FetchAgain(6 * kMiB);
  world.WaitFor([&] { return world.ReadyBytes() == 6 * kMiB; });
  EXPECT_EQ(world.populator.Progress().note, "");
}

TEST(Populator, WhatIsReadyAndNotTakenYetIsNotFetchedTwice) {
  World world;
  world.ForgetReady();
  world.populator.GiveBack({{8 * kMiB, 2 * kMiB}, {4 * kMiB, 2 * kMiB}, {0, 2 * kMiB}});
  world.WaitFor([&] { return world.populator.Progress().returned_bytes == 6 * kMiB; });
  world.populator.FetchAgain(2 * kMiB);
  // Nobody takes it.
  const absl::Time end = absl::Now() + absl::Seconds(30);
  while (world.populator.Progress().returned_bytes != 4 * kMiB && absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  world.populator.FetchAgain(2 * kMiB);
  EXPECT_EQ(world.ReadyBytes(), 2 * kMiB);
  world.populator.GiveBack(world.ready);  // after whatever was to be fetched
  world.WaitFor([&] { return world.populator.Progress().returned_bytes == 6 * kMiB; });
}

TEST(Populator, AFetchThatFailsInTheMiddleKeepsNothing) {
  for (const bool collapse : {false, true}) {
    World world({.collapse = collapse});
    world.ForgetReady();
    world.populator.GiveBack({{4 * kMiB, 8 * kMiB}});
    world.WaitFor([&] { return world.populator.Progress().returned_bytes == 8 * kMiB; });
    // Without huge pages a range of 2 MiB asks once or twice, and the third is not given.
    world.SetHostGives(5 * kMiB);
    if (collapse) world.SetHostGives(2 * 4096);
    world.populator.FetchAgain(8 * kMiB);
    bool is_told = false;
    world.WaitFor([&] { return is_told |= world.populator.TakeShortage(); });
    EXPECT_EQ(world.ReadyBytes(), 0u);
    EXPECT_EQ(world.HostBytes(), kArena - 8 * kMiB);
    EXPECT_EQ(world.populator.Progress().populated_bytes, kArena - 8 * kMiB);
    EXPECT_LE(world.populator.Progress().huge_bytes, kArena - 8 * kMiB);
    world.SetHostGives(~uint64_t{0});
    world.populator.FetchAgain(8 * kMiB);
    world.WaitFor([&] { return world.ReadyBytes() == 8 * kMiB; });
    EXPECT_EQ(world.HostBytes(), kArena);
  }
}

TEST(Populator, WhoeverElseNeedsTheLastOfTheHostsMemoryGetsIt) {
  World world;
  world.ForgetReady();
  world.populator.GiveBack({{0, 4 * kMiB}});
  world.WaitFor([&] { return world.populator.Progress().returned_bytes == 4 * kMiB; });
  world.host_has = 16 * kMiB;
  world.populator.FetchAgain(4 * kMiB);
  bool is_told = false;
  world.WaitFor([&] { return is_told |= world.populator.TakeShortage(); });
  EXPECT_EQ(world.HostBytes(), kArena - 4 * kMiB) << "it was not even tried";
  EXPECT_NE(world.populator.Progress().note.find("the host has 16.00 MiB free"), std::string::npos)
      << world.populator.Progress().note;
}

TEST(Populator, TheNextDaemonIsGivenWhatTheLastOneHadNot) {
  // One of its steps was ready in part: the rest was given back.
  World world({.ready = {{2 * kMiB, 3 * kMiB}, {4 * kMiB, 2 * kMiB}, {14 * kMiB, 2 * kMiB}}});
  EXPECT_EQ(world.ReadyBytes(), kArena - 6 * kMiB);
  EXPECT_EQ(world.ready, (Extents{{0, 2 * kMiB}, {6 * kMiB, 2 * kMiB}, {8 * kMiB, 6 * kMiB}}));
  EXPECT_EQ(world.populator.Progress().populated_bytes, kArena);
}

TEST(Populator, TheNextDaemonLeavesToTheHostWhatItDoesNotNeedYet) {
  World world({.ready = {{2 * kMiB, 3 * kMiB}, {4 * kMiB, 2 * kMiB}, {14 * kMiB, 2 * kMiB}},
               .goes_on = true, .rest_waits = true, .collapse = true});
  EXPECT_EQ(world.ReadyBytes(), 0u);
  EXPECT_EQ(world.HostBytes(), 6 * kMiB);
  EXPECT_EQ(world.populator.Progress().populated_bytes, 6 * kMiB);
  EXPECT_EQ(world.populator.Progress().returned_bytes, 10 * kMiB);
  world.populator.FetchAgain(1);
  world.WaitFor([&] { return world.ReadyBytes() > 0; });
  EXPECT_EQ(world.ready, (Extents{{0, 2 * kMiB}})) << "the lowest first";
  world.populator.FetchAgain(kArena);
  world.WaitFor([&] { return world.ReadyBytes() == 10 * kMiB; });
  EXPECT_EQ(world.HostBytes(), kArena);
  EXPECT_EQ(world.populator.Progress().returned_bytes, 0u);
}

TEST(Populator, TheNextDaemonGivesBackWhatTheLastOneDiedOver) {
  // It was out of the table, and its pages were still there.
  MemoryFile file = *MemoryFile::Create("arena", kArena);
  Mapping arena = *Mapping::Map(file.fd(), kArena, Access::kReadWrite, OnFork::kDrop);
  MemoryFile index_file = *MemoryFile::Create("index", 2 * kMiB);
  Mapping index = *Mapping::Map(index_file.fd(), 2 * kMiB, Access::kReadWrite, OnFork::kDrop);
  UniqueFd doorbell = *MakeDoorbell();
  ASSERT_TRUE(PopulatePages(file.fd(), 0, kArena).ok());
  Populator populator({&file, &arena}, {&index_file, &index}, doorbell.get(),
                      {.collapse = false, .ready = {{0, 4 * kMiB}}, .goes_on = true,
                       .rest_waits = true});
  ASSERT_TRUE(populator.Start().ok());
  const absl::Time end = absl::Now() + absl::Seconds(30);
  while (!populator.Progress().done && absl::Now() < end) absl::SleepFor(absl::Milliseconds(1));
  struct stat facts;
  fstat(file.fd(), &facts);
  EXPECT_EQ(static_cast<uint64_t>(facts.st_blocks) * 512, 4 * kMiB);
}

TEST(Populator, WhatTheHostDoesNotGiveAtFirstWaitsAsWell) {
  World world({.rest_waits = true, .host_gives = 11 * kMiB});
  bool is_told = world.populator.TakeShortage();
  EXPECT_TRUE(is_told);
  EXPECT_EQ(world.ReadyBytes(), 8 * kMiB);
  EXPECT_LE(world.HostBytes(), 8 * kMiB);
  EXPECT_EQ(world.populator.Progress().populated_bytes, 8 * kMiB);
  EXPECT_EQ(world.populator.Progress().returned_bytes, 8 * kMiB);
  world.SetHostGives(~uint64_t{0});
  world.populator.FetchAgain(kArena);
  world.WaitFor([&] { return world.ReadyBytes() == kArena; });
  EXPECT_EQ(world.populator.Progress().note, "");
}

TEST(Populator, OfAStepThatFailedNothingIsCountedOrTriedAgain) {
  // A huge page asks for a small one: four of the first step, and one of the next.
  World world({.rest_waits = true, .collapse = true, .host_gives = 5 * 4096});
  EXPECT_TRUE(world.populator.TakeShortage());
  EXPECT_EQ(world.HostBytes(), world.ReadyBytes());
  EXPECT_LE(world.populator.Progress().huge_bytes, world.ReadyBytes());
  EXPECT_EQ(world.populator.Progress().returned_bytes, kArena - world.ReadyBytes());
  world.SetHostGives(~uint64_t{0});
  absl::SleepFor(absl::Milliseconds(300));  // a sweep of collapses
  world.populator.FetchAgain(kArena);
  world.WaitFor([&] { return world.ReadyBytes() == kArena; });
  EXPECT_LE(world.populator.Progress().huge_bytes, kArena);
  EXPECT_EQ(world.populator.Progress().note.find("MADV_COLLAPSE"), std::string::npos);
}

}  // namespace
}  // namespace penstock
