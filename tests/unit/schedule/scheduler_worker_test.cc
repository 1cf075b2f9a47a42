// Workers: when they are started, reused, stopped, and what they hold.
#include <gtest/gtest.h>

#include "tests/unit/schedule/fake_node.h"

namespace penstock::testing {
namespace {

using Decisions = std::vector<Decision>;

TEST(SchedulerWorker, NothingIsStartedForAJobThatAsksForNothing) {
  FakeNode node(Cpus(4));
  EXPECT_TRUE(node.Decide().empty());
  node->Cancel(node.Ask(1, Cpus(1)));
  EXPECT_TRUE(node.Decide().empty());
}

TEST(SchedulerWorker, StartIsAskedForOnceAndServesTheRequest) {
  FakeNode node(Cpus(4));
  const RequestId request = node.Ask(1, Cpus(1));
  EXPECT_EQ(node.Decide(), (Decisions{{.kind = Decision::kStartWorker, .job = 1}}));
  EXPECT_TRUE(node.Decide().empty());
  const WorkerId worker = node.Ready(1);
  EXPECT_EQ(node.Decide(), (Decisions{{Decision::kGrant, 1, request, worker}}));
  EXPECT_TRUE(node.Decide().empty());
}

TEST(SchedulerWorker, FailedStartIsAskedForAgain) {
  FakeNode node(Cpus(4));
  node.Ask(1, Cpus(1));
  node.Decide();
  node->StartFailed(1);
  EXPECT_EQ(node->Stats().starting, 0u);
  EXPECT_EQ(Count(Decision::kStartWorker, node.Decide()), 1u);
}

TEST(SchedulerWorker, IdleWorkerIsReusedBeforeOneIsStarted) {
  FakeNode node(Cpus(4));
  node.MakeIdle(1, 1);
  const RequestId first = node.Ask(1, Cpus(1));
  node.Ask(1, Cpus(1));
  const Decisions decisions = node.Decide();
  EXPECT_TRUE(node.IsGranted(first));
  EXPECT_EQ(Count(Decision::kStartWorker, decisions), 1u);
}

TEST(SchedulerWorker, TheOneUsedLastIsReusedFirst) {
  FakeNode node(Cpus(4));
  node.Ready(1);
  const WorkerId warm = node.Ready(1);
  const RequestId request = node.Ask(1, Cpus(1));
  node.Decide();
  EXPECT_EQ(node.WorkerOf(request), warm);
}

TEST(SchedulerWorker, WorkerOfAnotherJobIsNotUsed) {
  FakeNode node(Cpus(4));
  node.MakeIdle(2, 1);
  node.Ask(1, Cpus(1));
  EXPECT_EQ(node.Decide(), (Decisions{{.kind = Decision::kStartWorker, .job = 1}}));
}

TEST(SchedulerWorker, NoMoreAreStartedThanThePlacesThereAre) {
  FakeNode node(Cpus(8));
  node.Ask(2, Cpus(5));
  node.Settle();
  for (int i = 0; i < 100; ++i) node.Ask(1, Cpus(1));
  EXPECT_EQ(Count(Decision::kStartWorker, node.Decide()), 3u);
}

TEST(SchedulerWorker, NoMoreAreStartedThanRequestsAreQueued) {
  FakeNode node(Cpus(8));
  node.Ask(1, Cpus(1));
  node.Ask(1, Cpus(1));
  EXPECT_EQ(Count(Decision::kStartWorker, node.Decide()), 2u);
}

TEST(SchedulerWorker, NoMoreStartAtOnceThanCpusAndOne) {
  FakeNode node(Cpus(3.5));
  for (int i = 0; i < 100; ++i) node.AskForActor(1, Cpus(1));
  EXPECT_EQ(Count(Decision::kStartWorker, node.Decide()), 5u);
  EXPECT_EQ(Count(Decision::kStartWorker, node.Decide()), 0u);
  node.Ready(1);
  EXPECT_EQ(Count(Decision::kStartWorker, node.Decide()), 1u);
}

TEST(SchedulerWorker, PlaceOfAStartingWorkerIsKept) {
  FakeNode node(Cpus(1));
  node.MakeIdle(2, 1);
  const RequestId first = node.Ask(1, Cpus(1));
  node.Decide();  // job 1's worker starts
  const RequestId second = node.Ask(2, Cpus(1));
  EXPECT_TRUE(node.Decide().empty());
  node.Ready(1);
  node.Decide();
  EXPECT_TRUE(node.IsGranted(first));
  EXPECT_FALSE(node.IsGranted(second));
}

TEST(SchedulerWorker, LongestIdleWorkersOfOthersMakeRoomAtTheLimit) {
  FakeNode node(Cpus(8), {.max_workers = 4});
  const WorkerId oldest = node.Ready(2);
  const WorkerId older = node.Ready(2);
  node.MakeIdle(2, 2);
  node.Ask(1, Cpus(1));
  node.Ask(1, Cpus(1));
  EXPECT_EQ(node.Decide(),
            (Decisions{{.kind = Decision::kStopWorker, .job = 2, .worker = oldest},
                       {.kind = Decision::kStopWorker, .job = 2, .worker = older}}));
  EXPECT_TRUE(node.Decide().empty());  // they are on their way
  node->WorkerGone(oldest);
  EXPECT_EQ(node.Decide(), (Decisions{{.kind = Decision::kStartWorker, .job = 1}}));
  node->WorkerGone(older);
  EXPECT_EQ(node.Decide(), (Decisions{{.kind = Decision::kStartWorker, .job = 1}}));
}

TEST(SchedulerWorker, IdleWorkerThatItsJobCanUseIsNotStopped) {
  FakeNode node(Cpus(8), {.max_workers = 1});
  node.MakeIdle(2, 1);
  const RequestId own = node.Ask(2, Cpus(1));
  node.Ask(1, Cpus(1));
  EXPECT_EQ(Count(Decision::kStopWorker, node.Decide()), 0u);
  EXPECT_TRUE(node.IsGranted(own));
}

TEST(SchedulerWorker, IdleWorkersStayWhileNobodyNeedsRoom) {
  FakeNode node(Cpus(8), {.max_workers = 4});
  node.MakeIdle(2, 3);
  node.Ask(1, Cpus(1));
  EXPECT_EQ(Count(Decision::kStopWorker, node.Settle()), 0u);
  EXPECT_EQ(node->Stats().workers, 4u);
}

TEST(SchedulerWorker, DeadWorkerReturnsWhatItHeld) {
  FakeNode node(Cpus(2));
  const RequestId dies = node.Ask(1, Cpus(2));
  const RequestId waits = node.Ask(1, Cpus(2));
  node.Settle();
  node->WorkerGone(node.WorkerOf(dies));
  EXPECT_EQ(node->free(), Cpus(2));
  node->WorkerGone(node.WorkerOf(dies));  // once
  EXPECT_EQ(node->free(), Cpus(2));
  node.Settle();
  EXPECT_TRUE(node.IsGranted(waits));
}

TEST(SchedulerWorker, IdleWorkerThatDiesIsNotGranted) {
  FakeNode node(Cpus(2));
  node->WorkerGone(node.Ready(1));
  node.Ask(1, Cpus(1));
  EXPECT_EQ(node.Decide(), (Decisions{{.kind = Decision::kStartWorker, .job = 1}}));
}

TEST(SchedulerWorker, ActorKeepsLessThanItNeededAndItsWorkerIsStopped) {
  FakeNode node(Cpus(1));
  const RequestId actor = node.AskForActor(1, Cpus(1));
  node.Settle();
  EXPECT_EQ(node->free(), Cpus(1));
  const WorkerId worker = node.WorkerOf(actor);
  node.Release(actor);
  EXPECT_EQ(node.Decide(),
            (Decisions{{.kind = Decision::kStopWorker, .job = 1, .worker = worker}}));
  node.Ask(1, Cpus(1));
  EXPECT_EQ(node.Decide(), (Decisions{{.kind = Decision::kStartWorker, .job = 1}}));
  node->WorkerGone(worker);
  EXPECT_EQ(node->Stats().workers, 0u);
}

TEST(SchedulerWorker, ActorWaitsUntilWhatItNeedsIsFree) {
  FakeNode node(Cpus(1));
  const RequestId task = node.Ask(1, Cpus(1));
  node.Settle();
  const RequestId actor = node.AskForActor(1, Cpus(1));
  node.Settle();
  EXPECT_FALSE(node.IsGranted(actor));
  node.Release(task);
  node.Settle();
  EXPECT_TRUE(node.IsGranted(actor));
}

TEST(SchedulerWorker, BlockedWorkerLendsItsCpuAndNothingElse) {
  FakeNode node(Amounts({{"CPU", 1}, {"GPU", 1}}));
  const RequestId parent = node.Ask(1, Amounts({{"CPU", 1}, {"GPU", 1}}));
  node.Settle();
  const RequestId child = node.Ask(1, Cpus(1));
  const RequestId gpu = node.Ask(1, Amounts({{"GPU", 1}}));
  node->Blocked(node.WorkerOf(parent));
  node.Settle();
  EXPECT_TRUE(node.IsGranted(child));
  EXPECT_FALSE(node.IsGranted(gpu));
}

TEST(SchedulerWorker, ResumedWorkerOverdrawsAndNothingStartsUntilItFits) {
  FakeNode node(Cpus(1));
  const RequestId parent = node.Ask(1, Cpus(1));
  node.Settle();
  const RequestId child = node.Ask(1, Cpus(1));
  node->Blocked(node.WorkerOf(parent));
  node.Settle();
  const RequestId next = node.Ask(1, Cpus(1));
  node->Resumed(node.WorkerOf(parent));
  EXPECT_EQ(node->free(), Resources() - Cpus(1));
  node.Release(child);
  node.Settle();
  EXPECT_FALSE(node.IsGranted(next));
  node.Release(parent);
  node.Settle();
  EXPECT_TRUE(node.IsGranted(next));
}

TEST(SchedulerWorker, BlockedWorkerMayDieOrReleaseToo) {
  for (const bool dies : {false, true}) {
    FakeNode node(Amounts({{"CPU", 2}, {"GPU", 1}}));
    const Resources all = node->free();
    const RequestId request = node.Ask(1, all);
    node.Settle();
    node->Blocked(node.WorkerOf(request));
    node->Blocked(node.WorkerOf(request));  // said twice, counted once
    if (dies) node->WorkerGone(node.WorkerOf(request));
    else node.Release(request);
    EXPECT_EQ(node->free(), all);
    node->Resumed(node.WorkerOf(request));  // too late
    EXPECT_EQ(node->free(), all);
    EXPECT_EQ(node->Stats().blocked, 0u);
  }
}

TEST(SchedulerWorker, WordsAboutWorkersThatHoldNoLeaseAreIgnored) {
  FakeNode node(Cpus(1));
  const WorkerId idle = node.Ready(1);
  for (const WorkerId worker : {idle, WorkerId{9999}}) {
    node->Release(worker);
    node->Blocked(worker);
    node->Resumed(worker);
  }
  node->CheckInvariants();
  EXPECT_EQ(node->free(), Cpus(1));
  EXPECT_EQ(node->Stats().idle, 1u);
}

TEST(SchedulerWorker, JobThatEndsLeavesNothingBehind) {
  FakeNode node(Cpus(2), {.max_workers = 3});
  const RequestId leased = node.Ask(1, Cpus(1));
  node.Settle();
  const WorkerId idle = node.Ready(1);
  node.Ask(1, Cpus(2));
  const RequestId other = node.Ask(2, Cpus(2));
  EXPECT_EQ(node->RemoveJob(1), (std::vector<WorkerId>{node.WorkerOf(leased), idle}));
  EXPECT_EQ(node->Stats().queued, 1u);
  node.Settle();
  EXPECT_FALSE(node.IsGranted(other));  // the killed one still runs
  node->WorkerGone(node.WorkerOf(leased));
  node->WorkerGone(idle);
  node.Settle();
  EXPECT_TRUE(node.IsGranted(other));
}

TEST(SchedulerWorker, ProcessThatComesAfterItsJobEndedIsStopped) {
  FakeNode node(Cpus(2), {.max_workers = 2});
  node.Ask(1, Cpus(1));
  node.Ask(1, Cpus(1));
  node.Decide();
  node->RemoveJob(1);
  EXPECT_EQ(node->Stats().starting, 2u);  // they exist, and count
  const WorkerId late = node.Ready(1);
  EXPECT_EQ(node.Decide(),
            (Decisions{{.kind = Decision::kStopWorker, .job = 1, .worker = late}}));
  node->StartFailed(1);
  node->WorkerGone(late);
  EXPECT_EQ(node->Stats().workers + node->Stats().starting, 0u);
}

TEST(SchedulerWorker, NewestWaitFailsWhenAllWorkersThereMayBeWait) {
  FakeNode node(Cpus(1), {.max_workers = 3});
  std::vector<RequestId> chain;
  for (int i = 0; i < 3; ++i) {  // each waits for the next
    chain.push_back(node.Ask(1, Cpus(1)));
    EXPECT_TRUE(node.Settle().empty());
    node->Blocked(node.WorkerOf(chain.back()));
  }
  EXPECT_TRUE(node.Settle().empty());  // nothing is queued: they may wait for another node
  const RequestId deepest = node.Ask(1, Cpus(1));
  const WorkerId newest = node.WorkerOf(chain.back());
  EXPECT_EQ(node.Settle(),
            (Decisions{{Decision::kWorkerLimit, 1, chain.back(), newest}}));
  EXPECT_TRUE(node.Settle().empty());  // said once
  node->Resumed(newest);
  node->Blocked(newest);               // it caught the error and waits again
  EXPECT_EQ(Count(Decision::kWorkerLimit, node.Settle()), 1u);
  node->Resumed(newest);
  node.Release(chain.back());
  node.Settle();
  EXPECT_TRUE(node.IsGranted(deepest));
}

TEST(SchedulerWorker, NewestWaitIsTheOneThatBeganLast) {
  FakeNode node(Cpus(2), {.max_workers = 2});
  const RequestId first = node.Ask(1, Cpus(1));
  const RequestId second = node.Ask(1, Cpus(1));
  node.Settle();
  node->Blocked(node.WorkerOf(second));
  node->Blocked(node.WorkerOf(first));
  node.Ask(1, Cpus(1));
  const Decisions decisions = node.Settle();
  ASSERT_EQ(decisions.size(), 1u);
  EXPECT_EQ(decisions[0].worker, node.WorkerOf(first));
}

TEST(SchedulerWorker, NoWaitFailsWhileAWorkerRunsOrMayBeStarted) {
  FakeNode node(Cpus(2), {.max_workers = 3});
  for (int i = 0; i < 2; ++i) {
    const RequestId parent = node.Ask(1, Cpus(2));
    node.Settle();
    node->Blocked(node.WorkerOf(parent));
  }
  const RequestId third = node.Ask(1, Cpus(2));
  EXPECT_TRUE(node.Settle().empty());
  EXPECT_TRUE(node.IsGranted(third));
  node.Ask(1, Cpus(2));
  EXPECT_TRUE(node.Settle().empty());  // the third runs and will end
}

}  // namespace
}  // namespace penstock::testing
