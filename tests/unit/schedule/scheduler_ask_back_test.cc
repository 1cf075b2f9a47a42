// Leases beyond a fair share are asked back when somebody else waits.
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/schedule/fake_node.h"

namespace penstock::testing {
namespace {

using Ids = std::vector<RequestId>;

Ids AskMany(FakeNode& node, JobId job, int count, const Resources& each) {
  Ids ids;
  for (int i = 0; i < count; ++i) ids.push_back(node.Ask(job, each));
  return ids;
}

// What was asked back, by request.
Ids AskedBack(const std::vector<Decision>& decisions) {
  Ids ids;
  for (const Decision& decision : Only(Decision::kAskBack, decisions)) {
    ids.push_back(decision.request);
  }
  return ids;
}

TEST(SchedulerAskBack, LatestLeasesBeyondTheShareAreAskedBackOnce) {
  FakeNode node(Cpus(4));
  const Ids held = AskMany(node, 1, 4, Cpus(1));
  node.Settle();
  const Ids wanted = AskMany(node, 2, 10, Cpus(1));
  const std::vector<Decision> decisions = node.Settle();
  EXPECT_EQ(AskedBack(decisions), (Ids{held[3], held[2]}));
  for (const Decision& decision : decisions) {
    EXPECT_EQ(decision.job, 1u);
    EXPECT_EQ(decision.worker, node.WorkerOf(decision.request));
  }
  EXPECT_TRUE(node.Settle().empty());
  AskMany(node, 1, 10, Cpus(1));  // who wants more, too, gets nothing of these
  node.Release(held[2]);
  node.Release(held[3]);
  EXPECT_TRUE(node.Settle().empty());
  EXPECT_TRUE(node.IsGranted(wanted[0]) && node.IsGranted(wanted[1]));
  EXPECT_FALSE(node.IsGranted(wanted[2]));
}

TEST(SchedulerAskBack, NothingIsAskedForWhatIsFreeOrStarting) {
  FakeNode node(Cpus(4));
  AskMany(node, 1, 3, Cpus(1));
  node.Settle();
  node.Ask(2, Cpus(1));
  EXPECT_TRUE(AskedBack(node.Decide()).empty());
  EXPECT_TRUE(AskedBack(node.Decide()).empty());  // its worker is on its way
}

TEST(SchedulerAskBack, NoMoreIsAskedThanIsWaitedFor) {
  FakeNode node(Cpus(8));
  const Ids held = AskMany(node, 1, 8, Cpus(1));
  node.Settle();
  node.Ask(2, Cpus(1));
  EXPECT_EQ(AskedBack(node.Settle()), Ids{held[7]});
}

TEST(SchedulerAskBack, OnlyLeaseOfAJobIsAskedBackForAJobWithNone) {
  FakeNode node(Cpus(1));
  const RequestId held = node.Ask(1, Cpus(1));
  node.Settle();
  node.Ask(2, Cpus(1));
  EXPECT_EQ(AskedBack(node.Settle()), Ids{held});
}

TEST(SchedulerAskBack, EqualSharesAreLeftAlone) {
  FakeNode node(Cpus(4));
  for (const JobId job : {1, 2}) AskMany(node, job, 10, Cpus(1));
  EXPECT_TRUE(node.Settle().empty());
}

TEST(SchedulerAskBack, OwnLeasesAreNeverAskedBack) {
  FakeNode node(Cpus(4));
  AskMany(node, 1, 100, Cpus(1));
  EXPECT_TRUE(node.Settle().empty());
}

TEST(SchedulerAskBack, ActorsAndBlockedWorkersAreLeftAlone) {
  FakeNode node(Cpus(4));
  const RequestId task = node.Ask(1, Cpus(1));
  for (int i = 0; i < 2; ++i) node.AskForActor(1, Cpus(1), Cpus(1));
  const RequestId blocked = node.Ask(1, Cpus(1));
  node.Settle();
  node->Blocked(node.WorkerOf(blocked));
  AskMany(node, 2, 10, Cpus(1));
  const Ids asked = AskedBack(node.Settle());
  EXPECT_LE(asked.size(), 1u);
  for (const RequestId id : asked) EXPECT_EQ(id, task);
}

TEST(SchedulerAskBack, OnlyLeasesThatHoldWhatIsLackingAreAskedBack) {
  FakeNode node(Amounts({{"CPU", 8}, {"GPU", 1}}));
  const RequestId gpu = node.Ask(1, Amounts({{"GPU", 1}}));
  AskMany(node, 1, 4, Cpus(1));
  node.Settle();
  node.Ask(2, Amounts({{"GPU", 1}}));
  EXPECT_EQ(AskedBack(node.Settle()), Ids{gpu});
}

TEST(SchedulerAskBack, NothingIsAskedWhenItWouldNotBeEnough) {
  FakeNode node(Cpus(8));
  AskMany(node, 1, 8, Cpus(1));
  node.Settle();
  node.Ask(2, Cpus(8));  // the share of job 1 leaves it 4
  EXPECT_TRUE(AskedBack(node.Settle()).empty());
}

// Leases that are kept busy never end by themselves; the request that was passed over too
// often gets what it needs all the same.
TEST(SchedulerAskBack, StarvedRequestAsksBeyondTheShare) {
  FakeNode node(Cpus(8));
  const Ids held = AskMany(node, 1, 7, Cpus(1));
  node.Settle();
  const RequestId large = node.Ask(2, Cpus(8));
  std::set<RequestId> asked;
  for (uint32_t i = 0; i < 2 * Scheduler::kMostPasses; ++i) {
    EXPECT_TRUE(AskedBack(node.Settle()).empty());
    const RequestId small = node.Ask(1, Cpus(1));
    for (const RequestId id : AskedBack(node.Settle())) asked.insert(id);
    ASSERT_TRUE(node.IsGranted(small));
    node.Release(small);
    asked.erase(small);
  }
  for (const RequestId id : AskedBack(node.Settle())) asked.insert(id);
  EXPECT_EQ(asked, std::set<RequestId>(held.begin(), held.end()));
  for (const RequestId id : held) node.Release(id);
  node.Settle();
  EXPECT_TRUE(node.IsGranted(large));
}

TEST(SchedulerAskBack, LeaseIsAskedBackForItsWorkerAlone) {
  FakeNode node(Cpus(8), {.max_workers = 2});
  const Ids held = AskMany(node, 1, 2, Cpus(1));
  node.Settle();
  const RequestId wants = node.Ask(2, Cpus(1));  // six CPUs are free, no worker may start
  EXPECT_EQ(AskedBack(node.Settle()), Ids{held[1]});
  node.Release(held[1]);
  node.Settle();
  EXPECT_TRUE(node.IsGranted(wants));
}

TEST(SchedulerAskBack, LeaseThatDiesOrIsReleasedIsNotExpectedAnyMore) {
  FakeNode node(Cpus(2));
  const Ids held = AskMany(node, 1, 2, Cpus(1));
  node.Settle();
  const RequestId wants = node.Ask(2, Cpus(1));
  EXPECT_EQ(AskedBack(node.Settle()), Ids{held[1]});
  node->WorkerGone(node.WorkerOf(held[1]));
  EXPECT_TRUE(node.Settle().empty());
  EXPECT_TRUE(node.IsGranted(wants));
  node.Ask(2, Cpus(1));
  EXPECT_TRUE(node.Settle().empty());  // one each
}

}  // namespace
}  // namespace penstock::testing
