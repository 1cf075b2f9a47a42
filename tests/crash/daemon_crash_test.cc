// The daemon, and its keeper, killed at every named point while clients are busy: every
// object is there with its bytes, no call fails, nothing leaks.
#include <signal.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/crash/crash_world.h"

namespace penstock::testing {
namespace {

std::vector<CrashPoint> PointsOf(char who) {
  std::vector<CrashPoint> points;
  for (uint32_t i = 0; i < kCrashPoints; ++i) {
    const auto point = static_cast<CrashPoint>(i);
    if (PasserOf(point) == who) points.push_back(point);
  }
  return points;
}

std::string NameOfParam(const ::testing::TestParamInfo<CrashPoint>& info) {
  return std::string(NameOf(info.param));
}

// Points that only a successor passes.
bool IsOfRecovery(CrashPoint point) { return NameOf(point).starts_with("kRecover"); }
// Points that are passed when another penstockd takes over.
bool IsOfTakeOver(CrashPoint point) {
  return NameOf(point).starts_with("kHandOver") || NameOf(point).starts_with("kHeir") ||
         point == CrashPoint::kKeeperYields;
}

std::vector<CrashPoint> PointsOfWork() {
  std::vector<CrashPoint> points = PointsOf('D');
  std::erase_if(points, IsOfTakeOver);
  return points;
}

std::vector<CrashPoint> PointsOfTakeOver() {
  std::vector<CrashPoint> points = PointsOf('D');
  const std::vector<CrashPoint> of_keepers = PointsOf('K');
  points.insert(points.end(), of_keepers.begin(), of_keepers.end());
  std::erase_if(points, [](CrashPoint point) { return !IsOfTakeOver(point); });
  return points;
}

class Crowd {
 public:
  explicit Crowd(CrashWorld& world) : world_(world) {
    for (uint64_t i = 0; i < 3; ++i) {
      busy_.push_back(std::make_unique<BusyClient>(world.daemon(), 100 + i, &world.arming(),
                                                   world.live_bytes_per_client()));
    }
    passengers_ = std::make_unique<Passengers>(world.daemon());
  }
  // They make progress.
  void ExpectGoesOn() {
    for (const auto& client : busy_) {
      const uint64_t before = client->operations();
      EXPECT_TRUE(Eventually([&] { return client->operations() > before + 3; }))
          << world_.daemon().Output();
    }
  }

 private:
  CrashWorld& world_;
  std::vector<std::unique_ptr<BusyClient>> busy_;
  std::unique_ptr<Passengers> passengers_;
};

class DaemonKilledAt : public ::testing::TestWithParam<CrashPoint> {};

TEST_P(DaemonKilledAt, LosesAndLeaksNothing) {
  // Where there is a disk nothing is dropped for good before its copy.
  CrashWorld world(NameOf(GetParam()).starts_with("kEvict") ? CrashWorld::Disk::kNone
                                                            : CrashWorld::Disk::kSpills);
  std::mt19937_64 random(static_cast<uint64_t>(GetParam()));
  {
    Crowd crowd(world);
    for (int round = 0; round < RoundsPerPoint(); ++round) {
      crowd.ExpectGoesOn();
      const uint32_t fired = world.arming().fired();
      const pid_t before = world.daemon().daemon_pid();
      world.arming().Arm(GetParam(), static_cast<int>(1 + random() % 20));
      if (IsOfRecovery(GetParam())) {
        world.arming().Arm(GetParam(), 1);
        kill(before, SIGKILL);
      }
      ASSERT_TRUE(world.arming().WaitFired(fired, absl::Seconds(60)))
          << "nobody passes " << NameOf(GetParam());
      NextDaemon(world.daemon(), before);
    }
    crowd.ExpectGoesOn();
  }
  EXPECT_TRUE(world.IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Crash, DaemonKilledAt, ::testing::ValuesIn(PointsOfWork()),
                         NameOfParam);

class KilledInATakeOverAt : public ::testing::TestWithParam<CrashPoint> {};

// Daemon, keeper or heir: afterwards there is one keeper and one store, and the next take-over
// works.
TEST_P(KilledInATakeOverAt, LosesAndLeaksNothing) {
  CrashWorld world;
  {
    Crowd crowd(world);
    for (int round = 0; round < RoundsPerPoint(); ++round) {
      crowd.ExpectGoesOn();
      const uint32_t fired = world.arming().fired();
      world.arming().Arm(GetParam(), 1);
      world.TakeOver([&] {
        ASSERT_TRUE(world.arming().WaitFired(fired, absl::Seconds(60)))
            << "nobody passes " << NameOf(GetParam());
      });
      crowd.ExpectGoesOn();
      const pid_t before = world.daemon().daemon_pid();
      world.TakeOver([&] { NextDaemon(world.daemon(), before); });
    }
    crowd.ExpectGoesOn();
  }
  EXPECT_TRUE(world.IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Crash, KilledInATakeOverAt, ::testing::ValuesIn(PointsOfTakeOver()),
                         NameOfParam);

class KeeperKilledAt : public ::testing::TestWithParam<CrashPoint> {};

// The daemon starts another keeper, which learns everything from it; then the daemon is
// killed too, and what the new keeper learned is put to the test.
TEST_P(KeeperKilledAt, LosesAndLeaksNothing) {
  CrashWorld world;
  {
    Crowd crowd(world);
    for (int round = 0; round < RoundsPerPoint(); ++round) {
      crowd.ExpectGoesOn();
      const uint32_t fired = world.arming().fired();
      const pid_t keeper = world.daemon().LockHolder();
      world.arming().Arm(GetParam(), 1);
      if (GetParam() == CrashPoint::kKeeperForked) {
        kill(world.daemon().daemon_pid(), SIGKILL);
      }
      ASSERT_TRUE(world.arming().WaitFired(fired, absl::Seconds(60)))
          << "nobody passes " << NameOf(GetParam());
      ASSERT_TRUE(Eventually([&] {
        return world.daemon().LockHolder() != keeper && world.daemon().LockHolder() > 0;
      })) << world.daemon().Output();
      crowd.ExpectGoesOn();
      const pid_t before = world.daemon().daemon_pid();
      kill(before, SIGKILL);
      NextDaemon(world.daemon(), before);
    }
    crowd.ExpectGoesOn();
  }
  EXPECT_TRUE(world.IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Crash, KeeperKilledAt,
                         ::testing::Values(CrashPoint::kKeeperTookMessage,
                                           CrashPoint::kKeeperForked),
                         NameOfParam);

// Together with the daemon: the store is gone, leaves nothing behind, and clients are told.
TEST(KeeperKilledAtADaemonsDeath, EndsTheStoreAndTellsItsClients) {
  for (int round = 0; round < RoundsPerPoint(); ++round) {
    CrashWorld world;
    Client client = world.daemon().Connect();
    const ObjectId id = PutPattern(client, 1, 5000);
    const ObjectView view = Must(client.Get(id));
    world.arming().Arm(CrashPoint::kKeeperSawDeath, 1);
    kill(world.daemon().daemon_pid(), SIGKILL);
    ASSERT_TRUE(world.arming().WaitFired(0, absl::Seconds(20)));
    ASSERT_TRUE(Eventually([&] { return !client.Put("x").ok(); }));
    EXPECT_FALSE(QueryStatus(world.daemon().dir()).ok());
    EXPECT_TRUE(HasPattern(view.data(), 1));
  }
}

TEST(CrashPoints, AreListed) {
  fmt::print("rows of the table, and the points at which each is killed, {} times:\n",
             RoundsPerPoint());
  for (const auto& [who, row] :
       {std::pair{'D', "daemon"}, std::pair{'C', "client"}, std::pair{'K', "keeper"}}) {
    for (const CrashPoint point : PointsOf(who)) fmt::print("  {:<8}{}\n", row, NameOf(point));
  }
  EXPECT_EQ(PointsOf('D').size() + PointsOf('C').size() + PointsOf('K').size(), kCrashPoints);
}

}  // namespace
}  // namespace penstock::testing
