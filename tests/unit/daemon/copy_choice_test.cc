// The end of an arena that is kept back for the trial of copy kernels.
#include "tools/penstockd/copy_choice.h"

#include <poll.h>

#include <gtest/gtest.h>

#include "store/base/units.h"
#include "store/shm/parking.h"

namespace penstock {
namespace {

using Extents = CopyChoice::Extents;

constexpr uint64_t kArena = 64 * kMiB;

struct World {
  std::vector<std::byte> arena = std::vector<std::byte>(kArena);
  UniqueFd doorbell = MakeDoorbell().value();
  CopyChoice choice{arena.data(), kArena, doorbell.get()};

  CopyChoice::Outcome Await() {
    for (;;) {
      pollfd ring{doorbell.get(), POLLIN, 0};
      EXPECT_EQ(poll(&ring, 1, 60'000), 1);
      DrainDoorbell(doorbell.get());
      if (auto outcome = choice.TakeOutcome()) return *outcome;
    }
  }
};

TEST(CopyChoice, KeepsTheLastEighthAndNoMore) {
  World world;
  EXPECT_EQ(world.choice.Keep({{0, 16 * kMiB}}), (Extents{{0, 16 * kMiB}}));
  EXPECT_FALSE(world.choice.is_busy());
  EXPECT_EQ(world.choice.Keep({{16 * kMiB, 48 * kMiB}}), (Extents{{16 * kMiB, 40 * kMiB}}));
  EXPECT_TRUE(world.choice.is_busy());
  world.choice.Begin();
  const CopyChoice::Outcome outcome = world.Await();
  EXPECT_EQ(outcome.extents, (Extents{{56 * kMiB, 8 * kMiB}}));
  for (const uint8_t number : outcome.plan) EXPECT_NE(FindCopyKernel(number), nullptr);
  EXPECT_FALSE(world.choice.is_busy());
  EXPECT_EQ(world.choice.TakeOutcome(), std::nullopt);
}

TEST(CopyChoice, TouchesNothingBelowWhatItKeeps) {
  World world;
  std::fill(world.arena.begin(), world.arena.begin() + 56 * kMiB, std::byte{9});
  world.choice.Keep({{0, kArena}});
  world.choice.Begin();
  world.Await();
  for (uint64_t i = 0; i < 56 * kMiB; i += 64) ASSERT_EQ(world.arena[i], std::byte{9}) << i;
}

TEST(CopyChoice, GivesItsRoomUpBeforeTheTrialBegins) {
  World world;
  world.choice.Keep({{0, kArena}});
  world.choice.GiveUp();
  const CopyChoice::Outcome outcome = world.Await();
  EXPECT_EQ(outcome.extents, (Extents{{56 * kMiB, 8 * kMiB}}));
  EXPECT_EQ(PackCopyPlan(outcome.plan), 0u);
  world.choice.Begin();  // nothing: it is over
  EXPECT_EQ(world.choice.Keep({{0, kArena}}), (Extents{{0, kArena}}));
}

TEST(CopyChoice, GivesItsRoomUpInTheMiddleOfTheTrial) {
  World world;
  world.choice.Keep({{0, kArena}});
  world.choice.Begin();
  world.choice.GiveUp();
  EXPECT_EQ(world.Await().extents, (Extents{{56 * kMiB, 8 * kMiB}}));
}

TEST(CopyChoice, WithNothingKeptEndsWithoutAChoice) {
  World world;
  world.choice.Begin();
  const CopyChoice::Outcome outcome = world.Await();
  EXPECT_TRUE(outcome.extents.empty());
  EXPECT_EQ(PackCopyPlan(outcome.plan), 0u);
}

TEST(CopyChoice, OfAnArenaThatIsTooSmallKeepsNothing) {
  World world;
  CopyChoice small(world.arena.data(), 16 * kMiB, world.doorbell.get());
  EXPECT_EQ(small.Keep({{0, 16 * kMiB}}), (Extents{{0, 16 * kMiB}}));
}

TEST(CopyChoice, EndsWithItsTrialUnderWay) {
  World world;
  world.choice.Keep({{0, kArena}});
  world.choice.Begin();
}

}  // namespace
}  // namespace penstock
