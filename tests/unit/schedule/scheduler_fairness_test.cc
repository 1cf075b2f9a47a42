// Between jobs: who goes first, and that nobody is passed over for ever.
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/schedule/fake_node.h"

namespace penstock::testing {
namespace {

using Ids = std::vector<RequestId>;

TEST(SchedulerFairness, JobWithFewestLeasesGoesFirst) {
  FakeNode node(Cpus(4));
  Ids flood;
  for (int i = 0; i < 8; ++i) flood.push_back(node.Ask(1, Cpus(1)));
  node.Settle();
  const RequestId late = node.Ask(2, Cpus(1));
  node.Release(flood[0]);
  node.Settle();
  EXPECT_TRUE(node.IsGranted(late));
  EXPECT_FALSE(node.IsGranted(flood[4]));
}

TEST(SchedulerFairness, TwoFloodsShareTheNodeInHalves) {
  FakeNode node(Cpus(8));
  Ids first, second;
  for (int i = 0; i < 20; ++i) first.push_back(node.Ask(1, Cpus(1)));
  for (int i = 0; i < 20; ++i) second.push_back(node.Ask(2, Cpus(1)));
  node.Settle();
  for (const Ids& ids : {first, second}) {
    for (size_t i = 0; i < 20; ++i) EXPECT_EQ(node.IsGranted(ids[i]), i < 4);
  }
}

TEST(SchedulerFairness, EqualsTakeTurns) {
  FakeNode node(Cpus(1), {}, 3);
  std::map<RequestId, JobId> jobs;
  for (int i = 0; i < 4; ++i) {
    for (JobId job = 1; job <= 3; ++job) jobs[node.Ask(job, Cpus(1))] = job;
  }
  std::vector<JobId> order;
  while (order.size() < 12) {
    node.Settle();
    for (const RequestId id : node.Granted()) {
      order.push_back(jobs[id]);
      node.Release(id);
    }
  }
  EXPECT_EQ(order, (std::vector<JobId>{1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3}));
}

TEST(SchedulerFairness, BlockedLeasesDoNotCount) {
  FakeNode node(Cpus(2));
  const RequestId parent = node.Ask(1, Cpus(1));
  const RequestId own = node.Ask(2, Cpus(1));
  node.Settle();
  node->Blocked(node.WorkerOf(parent));
  const RequestId later = node.Ask(2, Cpus(1));
  const RequestId child = node.Ask(1, Cpus(1));
  node.Settle();
  EXPECT_TRUE(node.IsGranted(child));
  EXPECT_FALSE(node.IsGranted(later));
  node.Release(own);
}

TEST(SchedulerFairness, ActorsThatKeepNothingDoNotCount) {
  FakeNode node(Cpus(1));
  for (int i = 0; i < 10; ++i) node.AskForActor(1, Cpus(1));
  node.Settle();
  const RequestId busy = node.Ask(2, Cpus(1));
  node.Settle();
  ASSERT_TRUE(node.IsGranted(busy));
  const RequestId theirs = node.Ask(1, Cpus(1));
  const RequestId ours = node.Ask(2, Cpus(1));
  node.Release(busy);
  node.Settle();
  EXPECT_TRUE(node.IsGranted(theirs));
  EXPECT_FALSE(node.IsGranted(ours));
}

// The same while their workers start.
TEST(SchedulerFairness, ActorsThatWillKeepNothingDoNotCount) {
  FakeNode node(Cpus(2));
  node.MakeIdle(2, 2);
  node.AskForActor(1, Cpus(1));
  const RequestId theirs = node.Ask(1, Cpus(1));
  const RequestId ours = node.Ask(2, Cpus(1));
  const RequestId second = node.Ask(2, Cpus(1));
  node.Settle();
  EXPECT_TRUE(node.IsGranted(theirs));
  EXPECT_TRUE(node.IsGranted(ours));
  EXPECT_FALSE(node.IsGranted(second));
}

TEST(SchedulerFairness, JobWhoseRequestDoesNotFitLetsOthersGo) {
  FakeNode node(Cpus(2));
  node.Ask(2, Cpus(1));
  node.Settle();
  const RequestId large = node.Ask(1, Cpus(2));
  const RequestId small = node.Ask(2, Cpus(1));
  node.Settle();
  EXPECT_FALSE(node.IsGranted(large));
  EXPECT_TRUE(node.IsGranted(small));
}

// The other job always has something running, so all CPUs are never free at once by chance.
TEST(SchedulerFairness, LargeRequestOfAnotherJobIsPassedALimitedNumberOfTimes) {
  FakeNode node(Cpus(4));
  Ids running;
  for (int i = 0; i < 4; ++i) running.push_back(node.Ask(1, Cpus(1)));
  node.Settle();
  const RequestId large = node.Ask(2, Cpus(4));
  uint32_t passes = 0;
  for (int step = 0; step < 200 && !node.IsGranted(large); ++step) {
    if (!running.empty()) {
      node.Release(running.front());
      running.erase(running.begin());
    }
    const RequestId small = node.Ask(1, Cpus(1));
    node.Settle();
    if (!node.IsGranted(small)) continue;
    running.push_back(small);
    ++passes;
  }
  EXPECT_TRUE(node.IsGranted(large));
  EXPECT_EQ(passes, 2 * Scheduler::kMostPasses);
}

TEST(SchedulerFairness, WhatAReservationDoesNotNeedIsStillGiven) {
  FakeNode node(Amounts({{"CPU", 2}, {"GPU", 1}}));
  const RequestId holder = node.Ask(1, Cpus(1));
  node.Settle();
  node.Ask(2, Cpus(2));
  for (uint32_t i = 0; i < 2 * Scheduler::kMostPasses; ++i) {
    const RequestId small = node.Ask(1, Cpus(1));
    node.Settle();
    ASSERT_TRUE(node.IsGranted(small)) << "pass " << i;
    node.Release(small);
  }
  const RequestId held_back = node.Ask(1, Cpus(1));
  const RequestId gpu = node.Ask(1, Amounts({{"GPU", 1}}));
  node.Settle();
  EXPECT_FALSE(node.IsGranted(held_back));
  EXPECT_TRUE(node.IsGranted(gpu));
  node.Release(holder);
}

// The other job holds the CPU and the GPU in turns, so that one of them is always free.
TEST(SchedulerFairness, RequestForTwoThingsIsNotStarvedByTheTurnsOfAnotherJob) {
  const Resources cpu = Cpus(1);
  const Resources gpu = Amounts({{"GPU", 1}});
  FakeNode node(cpu + gpu);
  RequestId running = node.Ask(1, cpu);
  node.Settle();
  const RequestId both = node.Ask(2, cpu + gpu);
  for (int step = 0; step < 200 && !node.IsGranted(both); ++step) {
    const RequestId next = node.Ask(1, step % 2 == 0 ? gpu : cpu);
    node.Settle();
    node.Release(running);
    node.Settle();
    if (node.IsGranted(next)) running = next;
  }
  EXPECT_TRUE(node.IsGranted(both));
}

// A job that stands in its own way must not stop the others.
TEST(SchedulerFairness, JobThatHoldsWhatItWaitsForReservesNothing) {
  FakeNode node(Cpus(3));
  node.Ask(2, Cpus(1));
  node.Settle();
  node.Ask(2, Cpus(3));
  for (uint32_t i = 0; i < 10 * Scheduler::kMostPasses; ++i) {
    const RequestId small = node.Ask(1, Cpus(1));
    node.Settle();
    ASSERT_TRUE(node.IsGranted(small)) << "pass " << i;
    node.Release(small);
  }
}

// Job 2's many leases put it behind job 1 each time; after a while it has its turn.
TEST(SchedulerFairness, JobWithManyLeasesIsNotPassedOverForEver) {
  FakeNode node(Cpus(6));
  for (int i = 0; i < 5; ++i) node.AskForActor(2, Cpus(1), Cpus(1));
  node.Settle();
  const RequestId waits = node.Ask(2, Cpus(1));
  RequestId running = node.Ask(1, Cpus(1));
  uint32_t passes = 0;
  node.Granted();
  for (; !node.IsGranted(waits) && passes < 200; ++passes) {
    const RequestId next = node.Ask(1, Cpus(1));
    node.Settle();
    if (!node.IsGranted(running)) continue;
    node.Release(running);
    running = next;
  }
  EXPECT_TRUE(node.IsGranted(waits));
  EXPECT_LE(passes, 2 * Scheduler::kMostPasses + 2);
}

}  // namespace
}  // namespace penstock::testing
