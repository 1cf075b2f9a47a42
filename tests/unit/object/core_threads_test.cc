// The core on a thread of its own against clients on theirs, in a store so small that every
// block is used again at once. Every byte that a pin promises is read: under TSan that
// proves the order of SYNC S2, S3 and the rings, without it the bytes prove themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kBlock = 512;
constexpr int kRounds = 1200;
constexpr int kClients = 2;

// Ids that anybody may look for: some are there, some were dropped.
class Noticeboard {
 public:
  void Add(const ObjectId& id) {
    const std::lock_guard lock(mutex_);
    ids_[next_++ % ids_.size()] = id;
  }
  ObjectId Pick(uint64_t random) {
    const std::lock_guard lock(mutex_);
    return ids_[random % ids_.size()];
  }

 private:
  std::mutex mutex_;
  std::vector<ObjectId> ids_ = std::vector<ObjectId>(16, ObjectId{9, 9, 9});
  size_t next_ = 0;
};

std::byte PatternOf(const ObjectId& id) {
  return static_cast<std::byte>(id.Hash() >> 32);
}

// One client's thread.
class Worker {
 public:
  Worker(FakeStore& store, FakeClient& client, Noticeboard& board, uint64_t seed)
      : store_(store), client_(client), board_(board), random_(seed) {}

  void Run() {
    for (int i = 0; i < kRounds; ++i) {
      switch (random_() % 4) {
        case 0: Make(); break;
        case 1: AskDaemon(); break;
        case 2: if (random_() % 4 == 0) DeleteOne(); break;
        default: ReadLocally();
      }
      WaitForRoom();
    }
  }
  uint64_t wrong_bytes() const { return wrong_bytes_; }
  uint64_t reads() const { return reads_; }

 private:
  void WaitForRoom() {
    while (!client_.HasRoom()) std::this_thread::yield();
  }
  Completion WaitFor(uint32_t request) {
    for (;;) {
      if (const auto answer = client_.Answer(request)) return *answer;
      std::this_thread::yield();
    }
  }
  void Make() {
    const Completion answer = WaitFor(client_.Ask(LeaseRecord(kBlock)));
    ASSERT_EQ(answer.op, CompletionOp::kGrant);
    const FakeLease lease = LeaseIn(answer);
    const ObjectId id = client_.NextId();
    std::ranges::fill(store_.Bytes(lease.offset, kBlock), PatternOf(id));
    WaitForRoom();
    client_.Push(SealRecord(lease, id, kBlock, kSealEvictable));
    board_.Add(id);
  }
  // What is pinned stands still: read twice, with others at work in between.
  void ReadPinned(uint32_t slot, const ObjectId& id) {
    const uint64_t offset = store_.index().slot(slot).offset;
    for (int look = 0; look < 2; ++look) {
      for (const std::byte byte : store_.Bytes(offset, kBlock)) {
        wrong_bytes_ += byte != PatternOf(id);
      }
      if (look == 0 && random_() % 4 == 0) std::this_thread::yield();
    }
    ++reads_;
  }
  void ReadLocally() {
    const ObjectId id = board_.Pick(random_());
    const auto slot = client_.TryPin(id);
    if (!slot) return;
    ReadPinned(*slot, id);
    WaitForRoom();
    client_.Unpin(*slot);
  }
  void AskDaemon() {
    const ObjectId id = board_.Pick(random_());
    const Completion answer =
        WaitFor(client_.Ask(IdRecord(SubmissionOp::kGet, id, kGetNoWait)));
    if (answer.op != CompletionOp::kObject) return;
    client_.Confirm(answer);
    ReadPinned(answer.object.slot, id);
    WaitForRoom();
    client_.Unpin(answer.object.slot);
  }
  void DeleteOne() {
    WaitFor(client_.Ask(IdRecord(SubmissionOp::kDeleteById, board_.Pick(random_()))));
  }

  FakeStore& store_;
  FakeClient& client_;
  Noticeboard& board_;
  std::mt19937_64 random_;
  uint64_t wrong_bytes_ = 0;
  uint64_t reads_ = 0;
};

TEST(CoreThreads, PinnedBytesStandWhileOthersMakeDeleteAndEvict) {
  FakeStore store({.slots = 12, .arena_bytes = 8 * kBlock});
  Noticeboard board;
  std::vector<Worker> workers;
  std::vector<FakeClient*> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(&store.Open());
    workers.emplace_back(store, *clients.back(), board, i + 1);
  }
  std::atomic<int> working{kClients};
  std::vector<std::thread> threads;
  for (Worker& worker : workers) {
    threads.emplace_back([&worker, &working] {
      worker.Run();
      working.fetch_sub(1);
    });
  }
  while (working.load() > 0) {
    if (!store.core().Turn()) std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t reads = 0;
  for (const Worker& worker : workers) {
    EXPECT_EQ(worker.wrong_bytes(), 0u);
    reads += worker.reads();
  }
  EXPECT_GT(reads, 20u);
  EXPECT_TRUE(store.host().broken.empty());
  for (FakeClient* client : clients) store.Close(*client);
  EXPECT_GT(store.core().Stats().evicted, 20u);
  EXPECT_EQ(store.core().Stats().doomed, 0u);
  EXPECT_EQ(store.core().Stats().leases, 0u);
}

}  // namespace
}  // namespace penstock::testing
