// A daemon killed at any moment: its table and files are such that a later one finds every
// live object whole.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

#include "tests/unit/spill/spill_world.h"

namespace penstock::testing {
namespace {

int Rounds() { return getenv("PENSTOCK_TEST_LONG") != nullptr ? 400 : 25; }

// Writes, drops and reads without end; files are small, so that compaction never rests.
[[noreturn]] void RunUntilKilled(SpillWorld& world, uint64_t first_number, unsigned seed) {
  std::minstd_rand random(seed);
  world.Open();
  std::vector<KeptObject> kept;
  world.store->Visit([&](SpillHandle handle, const SpilledObject& object, uint64_t bytes) {
    kept.push_back({handle, object, object.id.sequence, bytes});
  });
  for (uint64_t number = first_number;; ++number) {
    std::vector<std::pair<uint64_t, KeptObject>> asked;
    std::vector<std::vector<std::byte>> data;
    data.reserve(8);
    for (uint64_t i = 0; i < 1 + random() % 8; ++i, ++number) {
      const uint64_t bytes = random() % 4 == 0 ? random() % 600'000 : random() % 20'000;
      data.push_back(BytesOf(number, bytes));
      const uint64_t ticket = world.NextTicket();
      world.store->Write(ticket, SpillWorld::ObjectOf(number, bytes), data.back());
      asked.push_back({ticket, {kNoSpillHandle, {}, number, bytes}});
    }
    for (auto& [ticket, object] : asked) {
      const SpillDone done = world.Await(ticket);
      if (done.fault != SpillFault::kNone) _exit(3);
      object.handle = done.handle;
      kept.push_back(object);
    }
    while (kept.size() > 40) {
      const size_t victim = random() % kept.size();
      world.Drop(kept[victim]);
      kept[victim] = kept.back();
      kept.pop_back();
    }
  }
}

TEST(SpillKill, EveryLiveObjectReadsBackRightAfterKill) {
  SpillWorld world({.file_bytes = kMiB}, 256);
  std::minstd_rand random(7);
  uint64_t seen = 0;
  for (int round = 0; round < Rounds(); ++round) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      RunUntilKilled(world, uint64_t{1'000'000} * (round + 1), static_cast<unsigned>(round));
    }
    usleep(static_cast<useconds_t>(random() % 60'000));
    kill(pid, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit status " << WEXITSTATUS(status);

    world.table = *SpillTable::Attach(world.memory.data(), world.memory.bytes());
    world.Open();
    std::vector<KeptObject> found;
    world.store->Visit([&](SpillHandle handle, const SpilledObject& object, uint64_t bytes) {
      EXPECT_EQ(object, SpillWorld::ObjectOf(object.id.sequence, bytes));
      found.push_back({handle, object, object.id.sequence, bytes});
    });
    for (const KeptObject& object : found) world.ExpectWhole(object);
    seen += found.size();
    // Files that no live object names are gone.
    EXPECT_LE(world.directory.SpillFiles().size(), found.size() + 1);
    world.Stop();
    if (::testing::Test::HasFailure()) FAIL() << "in round " << round;
  }
  EXPECT_GT(seen, 0u);
}

}  // namespace
}  // namespace penstock::testing
