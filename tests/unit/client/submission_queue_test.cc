// The client's ring: own seals found before the daemon took them, a full ring, the bell.
#include "client/src/submission_queue.h"

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "store/base/check.h"
#include "store/base/unique_fd.h"
#include "tests/support/fake_client.h"
#include "tests/unit/shm/test_index.h"

namespace penstock::internal {
namespace {

using penstock::testing::SealRecord;
using penstock::testing::TestIndex;
using penstock::testing::ZeroedMemory;

std::pair<UniqueFd, UniqueFd> SocketPair() {
  int fds[2] = {-1, -1};
  PENSTOCK_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

struct Fixture {
  TestIndex index{64};
  ZeroedMemory client{SessionGeometry::For(64).client_bytes};
  ZeroedMemory daemon{SessionGeometry::For(64).daemon_bytes};
  SessionSegments segments = SessionSegments::At(client.data(), daemon.data(), 64, 1);
  UniqueFd bell = *MakeDoorbell();
  std::atomic<bool> dead{false};
  std::pair<UniqueFd, UniqueFd> sockets = SocketPair();
  SubmissionQueue queue{segments, &index.index.header(), bell.get(), sockets.first.get(), &dead};
  SubmissionConsumer consumer = segments.MakeSubmissionConsumer();

  void PushSeal(const ObjectId& id, uint32_t slot, uint64_t offset) {
    ASSERT_TRUE(queue.PushSeal(SealRecord({slot, slot + 100, offset, 64}, id, 10), offset));
  }
  bool Rang() { return SleepOnDoorbell(bell.get(), 0); }
};

Submission SyncRecord() {
  Submission record{};
  record.op = SubmissionOp::kSync;
  return record;
}

TEST(SubmissionQueue, OwnSealIsFoundUntilTheDaemonPublishesItsHead) {
  Fixture fixture;
  const ObjectId id{1, 2, 3};
  EXPECT_FALSE(fixture.queue.FindUnpublished(id).has_value());
  fixture.PushSeal(id, 7, 4096);
  const auto found = fixture.queue.FindUnpublished(id);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->slot, 7u);
  EXPECT_EQ(found->generation, 107u);
  EXPECT_EQ(found->offset, 4096u);
  EXPECT_EQ(found->size, 10u);
  EXPECT_FALSE(fixture.queue.FindUnpublished({1, 2, 4}).has_value());
  fixture.consumer.Take();
  EXPECT_TRUE(fixture.queue.FindUnpublished(id).has_value());  // taken, not yet published
  fixture.consumer.PublishHead();
  EXPECT_FALSE(fixture.queue.FindUnpublished(id).has_value());
}

TEST(SubmissionQueue, OnlySealsAreFoundAndTheNewestOfAnId) {
  Fixture fixture;
  const ObjectId id{1, 2, 3};
  Submission other = SyncRecord();
  other.id = id;
  fixture.queue.Push(other);
  EXPECT_FALSE(fixture.queue.FindUnpublished(id).has_value());
  fixture.PushSeal(id, 7, 4096);
  fixture.PushSeal(id, 8, 8192);
  EXPECT_EQ(fixture.queue.FindUnpublished(id)->slot, 8u);
}

TEST(SubmissionQueue, DeleteOfWhatWasJustSealedFollowsTheSealAndLooksNoFurtherBack) {
  Fixture fixture;
  using OwnDelete = SubmissionQueue::OwnDelete;
  const ObjectId id{1, 2, 3};
  EXPECT_EQ(fixture.queue.PushDeleteOfNewest(id), OwnDelete::kNotFound);
  fixture.PushSeal(id, 7, 4096);
  const uint64_t changes = fixture.queue.changes();
  EXPECT_EQ(fixture.queue.PushDeleteOfNewest(id), OwnDelete::kPushed);
  EXPECT_EQ(fixture.queue.changes(), changes + 1);
  EXPECT_EQ(fixture.consumer.Take().op, SubmissionOp::kSeal);
  const Submission record = fixture.consumer.Take();
  EXPECT_EQ(record.op, SubmissionOp::kDelete);
  EXPECT_EQ(record.slot, 7u);
  EXPECT_EQ(record.generation, 107u);
  fixture.consumer.PublishHead();
  EXPECT_EQ(fixture.queue.PushDeleteOfNewest(id), OwnDelete::kNotFound);  // published
  fixture.PushSeal(id, 8, 8192);
  for (int i = 0; i < 4; ++i) fixture.queue.Push(SyncRecord());
  EXPECT_EQ(fixture.queue.PushDeleteOfNewest(id), OwnDelete::kNotFound);  // the index knows
}

TEST(SubmissionQueue, EveryUnpublishedSealIsFoundAfterTheRingHasWrappedAround) {
  Fixture fixture;
  for (uint32_t i = 0; i < kSubmissionEntries - 3; ++i) fixture.queue.Push(SyncRecord());
  for (uint32_t i = 0; i < kSubmissionEntries - 3; ++i) fixture.consumer.Take();
  fixture.consumer.PublishHead();
  for (uint32_t i = 0; i < 10; ++i) fixture.PushSeal({1, 1, i + 1}, i, 64 * i);
  for (uint32_t i = 0; i < 10; ++i) {
    const auto found = fixture.queue.FindUnpublished({1, 1, i + 1});
    ASSERT_TRUE(found.has_value()) << i;
    EXPECT_EQ(found->slot, i);
    EXPECT_EQ(found->offset, 64 * i);
  }
}

TEST(SubmissionQueue, ImpossibleHeadFindsNothing) {
  Fixture fixture;
  fixture.PushSeal({1, 2, 3}, 7, 4096);
  for (const uint64_t head : {uint64_t{2}, ~uint64_t{0}, uint64_t{1} << 63}) {
    fixture.segments.daemon->submission_head.store(head);
    EXPECT_FALSE(fixture.queue.FindUnpublished({1, 2, 3}).has_value()) << head;
  }
}

// The thread that would notice the daemon's end may be the one that waits for room.
TEST(SubmissionQueue, AFullRingIsNotWaitedForWhenNobodyWillTakeFromIt) {
  for (const bool is_revoked : {false, true}) {
    Fixture fixture;
    for (uint32_t i = 0; i < kSubmissionEntries; ++i) {
      ASSERT_TRUE(fixture.queue.Push(SyncRecord()));
    }
    std::atomic<bool> returned{false};
    std::thread waiting([&] {
      EXPECT_FALSE(fixture.queue.Push(SyncRecord()));
      returned.store(true);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_FALSE(returned.load()) << "the daemon may be slow";
    if (is_revoked) {
      fixture.segments.daemon->revoked.store(1);
    } else {
      fixture.sockets.second.reset();
    }
    waiting.join();
  }
}

TEST(SubmissionQueue, FullRingWaitsForRoomAndLosesNothing) {
  constexpr uint32_t kCount = 4 * kSubmissionEntries;
  Fixture fixture;
  std::thread client([&] {
    for (uint32_t i = 0; i < kCount; ++i) {
      Submission record = SyncRecord();
      record.request = i + 1;
      ASSERT_TRUE(fixture.queue.Push(record));
    }
  });
  uint32_t taken = 0;
  while (taken < kCount) {
    const uint32_t available = *fixture.consumer.Available();
    for (uint32_t i = 0; i < available; ++i) {
      ASSERT_EQ(fixture.consumer.Take().request, ++taken);
    }
    if (available > 0) fixture.consumer.PublishHead();
    else std::this_thread::yield();
  }
  client.join();
}

TEST(SubmissionQueue, FullRingOfADeadSessionGivesUp) {
  Fixture fixture;
  for (uint32_t i = 0; i < kSubmissionEntries; ++i) {
    ASSERT_TRUE(fixture.queue.Push(SyncRecord()));
  }
  fixture.dead.store(true);
  EXPECT_FALSE(fixture.queue.Push(SyncRecord()));
  EXPECT_EQ(fixture.consumer.Available(), kSubmissionEntries);
}

TEST(SubmissionQueue, ManyRecordsAppearWithOnePublicationAlsoBeyondTheRing) {
  Fixture fixture;
  const std::vector<Submission> records(100, SyncRecord());
  ASSERT_TRUE(fixture.queue.PushMany(records, {}, Bell::kRing));
  EXPECT_EQ(fixture.consumer.Available(), 100u);
  for (uint32_t i = 0; i < 100; ++i) fixture.consumer.Take();
  fixture.consumer.PublishHead();
  const std::vector<Submission> more(3 * kSubmissionEntries, SyncRecord());
  std::thread daemon([&] {
    for (uint32_t left = 3 * kSubmissionEntries; left > 0;) {
      const uint32_t available = *fixture.consumer.Available();
      for (uint32_t i = 0; i < available; ++i) fixture.consumer.Take();
      if (available > 0) fixture.consumer.PublishHead();
      else std::this_thread::yield();
      left -= available;
    }
  });
  EXPECT_TRUE(fixture.queue.PushMany(more, {}, Bell::kRing));
  daemon.join();
}

TEST(SubmissionQueue, BellRingsForAParkedDaemonOnlyAndNotQuietly) {
  Fixture fixture;
  fixture.queue.Push(SyncRecord());
  EXPECT_FALSE(fixture.Rang());
  Parker parker;
  parker.Park(fixture.index.index.header().parked);
  fixture.queue.Push(SyncRecord(), Bell::kQuiet);
  EXPECT_FALSE(fixture.Rang());
  fixture.queue.Push(SyncRecord());
  EXPECT_TRUE(fixture.Rang());
  fixture.queue.Ring();
  EXPECT_TRUE(fixture.Rang());
}

TEST(SubmissionQueue, LeasesThatEndedAreCounted) {
  Fixture fixture;
  fixture.PushSeal({1, 2, 3}, 7, 4096);
  Submission give_back = SyncRecord();
  give_back.op = SubmissionOp::kReturnLease;
  fixture.queue.Push(give_back);
  fixture.queue.Push(SyncRecord());
  EXPECT_EQ(fixture.queue.ended_leases(), 2u);
}

TEST(SubmissionQueue, RecordsOfManyThreadsStayWhole) {
  constexpr uint32_t kEach = 5000;
  Fixture fixture;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 3; ++t) {
    threads.emplace_back([&fixture, t] {
      for (uint32_t i = 0; i < kEach; ++i) {
        Submission record = SyncRecord();
        record.slot = t;
        record.request = i;
        record.size = ~uint64_t{i};
        fixture.queue.Push(record);
      }
    });
  }
  uint32_t next[3] = {0, 0, 0};
  for (uint32_t taken = 0; taken < 3 * kEach;) {
    const uint32_t available = *fixture.consumer.Available();
    for (uint32_t i = 0; i < available; ++i, ++taken) {
      const Submission record = fixture.consumer.Take();
      ASSERT_LT(record.slot, 3u);
      ASSERT_EQ(record.request, next[record.slot]++);
      ASSERT_EQ(record.size, ~uint64_t{record.request});
    }
    if (available > 0) fixture.consumer.PublishHead();
    else std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace penstock::internal
