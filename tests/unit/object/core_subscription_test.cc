// Subscriptions: every event in order, or an exact count of those that were lost; and the
// backlog behind a ring that nobody reads.
#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint8_t kSealedEvent = 1;
constexpr uint8_t kDeletedEvent = 2;
constexpr uint8_t kEvictedEvent = 3;

void Subscribe(FakeStore& store, FakeClient& client, uint32_t flags) {
  Submission record{};
  record.op = SubmissionOp::kSubscribe;
  record.flags_or_count = flags;
  const uint32_t request = client.Ask(record);
  store.Turn();
  ASSERT_EQ(client.Code(request), AnswerCode::kOk);
}

// Seals and deletes objects without reading anything; two events each for a subscriber.
void MakeEvents(FakeStore& store, FakeClient& client, uint64_t pairs) {
  for (uint64_t i = 0; i < pairs; ++i) store.Delete(client, store.Put(client, 8));
}

TEST(CoreSubscription, SealsDeletionsAndEvictionsComeInTheirOrder) {
  FakeStore store({.arena_bytes = 64 * kKiB});
  FakeClient& maker = store.Open();
  FakeClient& watcher = store.Open();
  Subscribe(store, watcher, kSubscribeSeals | kSubscribeDeletions);
  const FakeObject a = store.Put(maker, 100);
  const FakeObject b = store.Put(maker, 48 * kKiB, kSealEvictable);
  store.Delete(maker, a);
  const FakeObject c = store.Put(maker, 40 * kKiB);  // evicts b
  const std::vector<Completion> events = watcher.TakeEvents();
  const std::vector<std::pair<uint8_t, ObjectId>> expected = {
      {kSealedEvent, a.id}, {kSealedEvent, b.id}, {kDeletedEvent, a.id},
      {kEvictedEvent, b.id}, {kSealedEvent, c.id}};
  ASSERT_EQ(events.size(), expected.size());
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].op, CompletionOp::kEvent);
    EXPECT_EQ(events[i].count, expected[i].first) << i;
    EXPECT_EQ(events[i].object.id, expected[i].second) << i;
  }
  EXPECT_EQ(events[0].object.size, 100u);
  EXPECT_TRUE(maker.TakeEvents().empty());
}

TEST(CoreSubscription, OnlyWhatWasAskedForComes) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& seals = store.Open();
  FakeClient& deletions = store.Open();
  Subscribe(store, seals, kSubscribeSeals);
  Subscribe(store, deletions, kSubscribeDeletions);
  MakeEvents(store, maker, 1);
  EXPECT_EQ(seals.TakeEvents().size(), 1u);
  EXPECT_EQ(deletions.TakeEvents().size(), 1u);
  Subscribe(store, seals, kSubscribeDeletions);  // replaces what was there
  Subscribe(store, deletions, 0);
  MakeEvents(store, maker, 1);
  const std::vector<Completion> events = seals.TakeEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].count, kDeletedEvent);
  EXPECT_TRUE(deletions.TakeEvents().empty());
}

TEST(CoreSubscription, DeathOfAMakerAnnouncesItsBoundObjects) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& watcher = store.Open();
  Subscribe(store, watcher, kSubscribeDeletions);
  const FakeObject bound = store.Put(maker, 8, kSealSessionBound);
  store.Close(maker);
  store.Turn();
  const std::vector<Completion> events = watcher.TakeEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].object.id, bound.id);
}

TEST(CoreSubscription, EventsBeyondTheRingWaitInOrderAndNoneIsLost) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& watcher = store.Open();
  Subscribe(store, watcher, kSubscribeSeals);
  MakeEvents(store, maker, 2500);
  EXPECT_EQ(watcher.segments().daemon->backlogged.load(), 1u);
  uint64_t last = 0;
  uint64_t seen = 0;
  for (int i = 0; i < 4; ++i) {
    for (const Completion& event : watcher.TakeEvents()) {
      ASSERT_EQ(event.op, CompletionOp::kEvent);
      EXPECT_GT(event.object.id.sequence, last);
      last = event.object.id.sequence;
      ++seen;
    }
    store.Turn();
  }
  EXPECT_EQ(seen, 2500u);
  EXPECT_EQ(watcher.segments().daemon->backlogged.load(), 0u);
}

TEST(CoreSubscription, DaemonDoesNotParkWhileABacklogMayBeFlushed) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& watcher = store.Open();
  Subscribe(store, watcher, kSubscribeSeals);
  MakeEvents(store, maker, 1500);
  EXPECT_TRUE(store.core().PreparePark());  // nothing to do until the ring has room
  store.core().Unpark();
  watcher.Read();
  EXPECT_FALSE(store.core().PreparePark());
  store.Turn();
  EXPECT_EQ(watcher.TakeEvents().size(), 1500u);
}

TEST(CoreSubscription, LostEventsAreCountedExactlyAndToldAfterTheKeptOnes) {
  FakeStoreOptions options;
  options.limits.max_event_backlog = 10;
  FakeStore store(options);
  FakeClient& maker = store.Open();
  FakeClient& watcher = store.Open();
  Subscribe(store, watcher, kSubscribeSeals);
  MakeEvents(store, maker, kCompletionEntries + 10 + 7);
  EXPECT_EQ(watcher.TakeEvents().size(), kCompletionEntries);
  store.Turn();
  std::vector<Completion> rest = watcher.TakeEvents();
  ASSERT_EQ(rest.size(), 11u);
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(rest[i].op, CompletionOp::kEvent);
  EXPECT_EQ(rest[10].op, CompletionOp::kEventsLost);
  EXPECT_EQ(rest[10].detail[0], 7u);
  // From here on nothing is missing again.
  MakeEvents(store, maker, 3);
  EXPECT_EQ(watcher.TakeEvents().size(), 3u);
}

// The reader makes a little room after losses: what comes next must not stand before the
// word that something is missing.
TEST(CoreSubscription, NewEventsNeverOvertakeTheWordThatSomeWereLost) {
  FakeStoreOptions options;
  options.limits.max_event_backlog = 10;
  FakeStore store(options);
  FakeClient& maker = store.Open();
  FakeClient& watcher = store.Open();
  Subscribe(store, watcher, kSubscribeSeals);
  uint64_t made = kCompletionEntries + 10 + 7;
  MakeEvents(store, maker, made);
  watcher.Read(5);
  MakeEvents(store, maker, 3);
  made += 3;
  uint64_t last = 0;
  uint64_t accounted = 0;
  for (int i = 0; i < 4; ++i) {
    for (const Completion& event : watcher.TakeEvents()) {
      if (event.op == CompletionOp::kEventsLost) {
        last += event.detail[0];
        accounted += event.detail[0];
        continue;
      }
      ++last;
      ++accounted;
      EXPECT_EQ(event.object.id.sequence, last) << "a gap without a word";
    }
    store.Turn();
  }
  EXPECT_EQ(accounted, made);
}

TEST(CoreSubscription, AnswersBehindAFullRingAreNeverDropped) {
  FakeStoreOptions options;
  options.limits.max_event_backlog = 10;
  FakeStore store(options);
  FakeClient& maker = store.Open();
  FakeClient& watcher = store.Open();
  Subscribe(store, watcher, kSubscribeSeals);
  MakeEvents(store, maker, kCompletionEntries + 50);
  const uint32_t request = watcher.Ask(IdRecord(SubmissionOp::kSync, {}));
  store.Turn();
  watcher.Read();
  store.Turn();
  EXPECT_EQ(watcher.Code(request), AnswerCode::kOk);
}

TEST(CoreSubscription, SubscriberThatDiesWithABacklogLeavesNothing) {
  FakeStore store;
  FakeClient& maker = store.Open();
  FakeClient& watcher = store.Open();
  Subscribe(store, watcher, kSubscribeSeals | kSubscribeDeletions);
  MakeEvents(store, maker, 1500);
  store.Close(watcher);
  MakeEvents(store, maker, 10);
  EXPECT_EQ(store.core().Stats().objects, 0u);
}

}  // namespace
}  // namespace penstock::testing
