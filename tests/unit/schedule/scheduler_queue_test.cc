// One job's queue: what is refused, what goes first, what may pass and for how long.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/schedule/fake_node.h"

namespace penstock::testing {
namespace {

using Ids = std::vector<RequestId>;

TEST(SchedulerQueue, InfeasibleRequestIsRefusedWithBothSidesNamed) {
  FakeNode node(Amounts({{"CPU", 4}, {"GPU", 1}}));
  const absl::Status refused =
      node.TryAsk({.job = 1, .needed = Amounts({{"CPU", 1}, {"GPU", 2}})});
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("CPU 1, GPU 2"), absl::string_view::npos) << refused;
  EXPECT_NE(refused.message().find("CPU 4, GPU 1"), absl::string_view::npos) << refused;
}

TEST(SchedulerQueue, KeepingMoreThanIsNeededIsRefused) {
  FakeNode node(Cpus(4));
  EXPECT_EQ(node.TryAsk({.job = 1, .needed = Cpus(1), .kept = Cpus(2)}).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SchedulerQueue, RequestOfAJobThatEndedIsRefused) {
  FakeNode node(Cpus(4));
  node->RemoveJob(1);
  EXPECT_EQ(node.TryAsk({.job = 1}).code(), absl::StatusCode::kNotFound);
}

TEST(SchedulerQueue, FloodIsPushedBackAndDisturbsNobodyElse) {
  FakeNode node(Cpus(1), {.most_queued_per_job = 10});
  const RequestId first = node.Ask(1, Cpus(1));
  for (int i = 0; i < 9; ++i) node.Ask(1, Cpus(1));
  EXPECT_EQ(node.TryAsk({.job = 1}).code(), absl::StatusCode::kResourceExhausted);
  node.Ask(2, Cpus(1));
  EXPECT_TRUE(node->Cancel(first));
  EXPECT_TRUE(node.TryAsk({.job = 1}).ok());  // there is room again
}

TEST(SchedulerQueue, FloodOfShapesIsPushedBackToo) {
  FakeNode node(Cpus(100), {.most_shapes_per_job = 3});
  for (int i = 1; i <= 3; ++i) node.Ask(1, Cpus(i));
  node.Ask(1, Cpus(2));
  EXPECT_EQ(node.TryAsk({.job = 1, .needed = Cpus(4)}).code(),
            absl::StatusCode::kResourceExhausted);
  node.Ask(2, Cpus(4));
}

TEST(SchedulerQueue, OldestGoesFirstAcrossShapes) {
  FakeNode node(Cpus(1));
  const Ids asked = {node.Ask(1, Cpus(1)), node.Ask(1, Cpus(0.6)), node.Ask(1, Cpus(1)),
                     node.Ask(1, Cpus(0.8)), node.Ask(1, Cpus(0.6))};
  for (size_t i = 0; i < asked.size(); ++i) {
    node.Settle();
    EXPECT_EQ(node.Granted(), Ids{asked[i]});
    node.Release(asked[i]);
  }
}

TEST(SchedulerQueue, CancelledRequestIsNeverGranted) {
  FakeNode node(Cpus(1));
  const RequestId running = node.Ask(1, Cpus(1));
  node.Settle();
  const RequestId cancelled = node.Ask(1, Cpus(1));
  const RequestId kept = node.Ask(1, Cpus(1));
  EXPECT_TRUE(node->Cancel(cancelled));
  EXPECT_FALSE(node->Cancel(cancelled));
  EXPECT_FALSE(node->Cancel(running));  // it is a lease now
  node.Release(running);
  node.Settle();
  EXPECT_EQ(node.Granted(), (Ids{running, kept}));
}

TEST(SchedulerQueue, RequestThatDoesNotFitLetsLaterOnesPass) {
  FakeNode node(Amounts({{"CPU", 4}, {"GPU", 1}}));
  const Resources gpu = Amounts({{"GPU", 1}});
  const RequestId holder = node.Ask(1, gpu);
  node.Settle();
  const RequestId waits = node.Ask(1, gpu);
  const RequestId passes = node.Ask(1, Cpus(1));
  node.Settle();
  EXPECT_EQ(node.Granted(), (Ids{holder, passes}));
  node.Release(holder);
  node.Settle();
  EXPECT_EQ(node.Granted(), Ids{waits});
}

// Small requests come without end, each held until the next two were granted, so that the
// large one never fits by chance.
TEST(SchedulerQueue, LargeRequestIsPassedALimitedNumberOfTimes) {
  FakeNode node(Cpus(4));
  Ids running = {node.Ask(1, Cpus(1)), node.Ask(1, Cpus(1))};
  node.Settle();
  const RequestId large = node.Ask(1, Cpus(4));
  node.Granted();
  uint32_t passes = 0;
  for (int step = 0; step < 100 && !node.IsGranted(large); ++step) {
    const RequestId small = node.Ask(1, Cpus(1));
    node.Settle();
    if (node.IsGranted(small)) {
      ++passes;
      running.push_back(small);
    }
    if (running.empty()) continue;
    node.Release(running.front());
    running.erase(running.begin());
  }
  EXPECT_TRUE(node.IsGranted(large));
  EXPECT_EQ(passes, Scheduler::kMostPasses);
}

// While the large request waits for CPUs, what needs none of them still passes.
TEST(SchedulerQueue, StarvedRequestHoldsBackOnlyWhatItLacks) {
  FakeNode node(Amounts({{"CPU", 2}, {"GPU", 1}}));
  const RequestId holder = node.Ask(1, Cpus(1));
  node.Settle();
  node.Ask(1, Cpus(2));
  for (uint32_t i = 0; i < Scheduler::kMostPasses; ++i) {
    const RequestId small = node.Ask(1, Cpus(1));
    node.Settle();
    ASSERT_TRUE(node.IsGranted(small)) << "pass " << i;
    node.Release(small);
  }
  const RequestId held_back = node.Ask(1, Cpus(1));
  const RequestId other = node.Ask(1, Amounts({{"GPU", 1}}));
  node.Settle();
  EXPECT_FALSE(node.IsGranted(held_back));
  EXPECT_TRUE(node.IsGranted(other));
  node.Release(holder);
}

// CPUs and GPU are each free at times, never together unless both are held back.
TEST(SchedulerQueue, RequestForTwoThingsIsNotStarvedByTurns) {
  const Resources cpu = Cpus(1);
  const Resources gpu = Amounts({{"GPU", 1}});
  FakeNode node(cpu + gpu);
  RequestId running = node.Ask(1, cpu);
  node.Settle();
  const RequestId both = node.Ask(1, cpu + gpu);
  for (int step = 0; step < 100 && !node.IsGranted(both); ++step) {
    const RequestId next = node.Ask(1, step % 2 == 0 ? gpu : cpu);
    node.Settle();  // the other one is busy
    if (node.IsGranted(running)) node.Release(running);
    node.Settle();
    if (node.IsGranted(next)) running = next;
  }
  EXPECT_TRUE(node.IsGranted(both));
}

// An actor of the job itself keeps a CPU for ever: holding everything else back would not
// help the large request, and stop the job.
TEST(SchedulerQueue, RequestThatWaitsForAnActorHoldsNobodyBack) {
  FakeNode node(Cpus(2));
  const RequestId actor = node.AskForActor(1, Cpus(1), Cpus(1));
  node.Settle();
  const RequestId large = node.Ask(1, Cpus(2));
  for (uint32_t i = 0; i < 3 * Scheduler::kMostPasses; ++i) {
    const RequestId small = node.Ask(1, Cpus(1));
    node.Settle();
    ASSERT_TRUE(node.IsGranted(small)) << "pass " << i;
    node.Release(small);
  }
  node.Release(actor);
  node.Settle();
  EXPECT_TRUE(node.IsGranted(large));
}

// With work for each queued request in every Decide, this would take minutes.
TEST(SchedulerQueue, HundredThousandQueuedRequestsDoNotSlowDecisionsDown) {
  constexpr int kRequests = 100'000;
  FakeNode node(Amounts({{"CPU", 1}, {"GPU", 1}}));
  const RequestId gpu = node.Ask(1, Amounts({{"GPU", 1}}));
  node.Settle();
  node.Ask(1, Amounts({{"GPU", 1}}));  // does not fit all the while
  for (int i = 0; i < kRequests; ++i) node.Ask(1, Cpus(1));
  node.Settle();
  for (RequestId id = gpu + 2; node->Stats().queued > 1; ++id) {
    node.Release(id);
    ASSERT_EQ(node.Decide().size(), 1u);
  }
  EXPECT_EQ(node.Granted().size(), 1u + kRequests);
}

}  // namespace
}  // namespace penstock::testing
