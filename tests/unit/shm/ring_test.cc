// The ring: wrap-around, full and empty, torn states built by hand, two threads.
#include "store/shm/ring.h"

#include <atomic>
#include <limits>
#include <thread>

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint32_t kEntries = 8;
constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

struct Entry {
  uint64_t number = 0;
  uint64_t check = 0;
};
using Producer = RingProducer<Entry, kEntries>;
using Consumer = RingConsumer<Entry, kEntries>;

// The shared words and both sides' private halves.
struct Ring {
  Entry entries[kEntries];
  std::atomic<uint64_t> tail{0};
  std::atomic<uint64_t> head{0};
  Producer producer{entries, &tail, &head};
  Consumer consumer{entries, &tail, &head};

  void Push(uint64_t number) {
    ASSERT_TRUE(producer.HasRoom());
    producer.Write({number, ~number});
    producer.Publish();
  }
  void ExpectNext(uint64_t number) {
    const Entry entry = consumer.Take();
    EXPECT_EQ(entry.number, number);
    EXPECT_EQ(entry.check, ~number);
  }
};

TEST(Ring, FreshRingIsEmptyAndHasRoom) {
  Ring ring;
  EXPECT_EQ(ring.consumer.Available(), 0u);
  EXPECT_TRUE(ring.producer.HasRoom());
}

TEST(Ring, EntryIsNotSeenBeforeItsTailIsPublished) {
  Ring ring;
  ring.producer.Write({1, ~uint64_t{1}});
  ring.producer.Write({2, ~uint64_t{2}});
  EXPECT_EQ(ring.consumer.Available(), 0u);  // a producer killed here leaves nothing
  ring.producer.Publish();
  EXPECT_EQ(ring.consumer.Available(), 2u);
  ring.ExpectNext(1);
  ring.ExpectNext(2);
}

TEST(Ring, EntryTornInTheMiddleIsNotSeenAndItsSuccessorOverwritesIt) {
  Ring ring;
  ring.Push(1);
  ring.entries[1].number = 77;  // half of a record, killed before the rest and the tail
  EXPECT_EQ(ring.consumer.Available(), 1u);
  ring.ExpectNext(1);
  EXPECT_EQ(ring.consumer.Available(), 0u);
}

TEST(Ring, FullRingHasNoRoomUntilTheConsumerPublishesItsHead) {
  Ring ring;
  for (uint64_t i = 0; i < kEntries; ++i) ring.Push(i);
  EXPECT_FALSE(ring.producer.HasRoom());
  EXPECT_EQ(ring.consumer.Available(), kEntries);
  ring.ExpectNext(0);
  EXPECT_FALSE(ring.producer.HasRoom()) << "taken, but not given back";
  ring.consumer.PublishHead();
  EXPECT_TRUE(ring.producer.HasRoom());
  ring.Push(kEntries);
  EXPECT_FALSE(ring.producer.HasRoom());
}

TEST(Ring, EntriesKeepTheirOrderOverManyRounds) {
  Ring ring;
  uint64_t pushed = 0;
  uint64_t taken = 0;
  for (uint32_t round = 0; round < 1000; ++round) {
    for (uint32_t i = 0; i < round % (kEntries + 1) && ring.producer.HasRoom(); ++i) {
      ring.Push(pushed++);
    }
    const uint32_t available = *ring.consumer.Available();
    for (uint32_t i = 0; i < available; ++i) ring.ExpectNext(taken++);
    if (round % 2 == 0) ring.consumer.PublishHead();
    else ring.consumer.PublishHeadFenced();
  }
  EXPECT_EQ(pushed, taken);
  EXPECT_GT(taken, 100 * kEntries);
}

TEST(Ring, TailThatWentBackIsRefused) {
  Ring ring;
  for (uint64_t i = 0; i < 5; ++i) ring.Push(i);
  for (uint64_t i = 0; i < 5; ++i) ring.consumer.Take();
  ring.tail.store(4);
  EXPECT_FALSE(ring.consumer.Available().has_value());
  ring.tail.store(0);
  EXPECT_FALSE(ring.consumer.Available().has_value());
}

TEST(Ring, TailThatClaimsMoreThanTheRingHoldsIsRefused) {
  Ring ring;
  for (const uint64_t tail : {uint64_t{kEntries} + 1, kHuge, uint64_t{1} << 63}) {
    ring.tail.store(tail);
    EXPECT_FALSE(ring.consumer.Available().has_value()) << tail;
  }
  ring.tail.store(kEntries);
  EXPECT_EQ(ring.consumer.Available(), kEntries);
}

TEST(Ring, ImpossibleHeadIsNoRoom) {
  Ring ring;
  for (uint64_t i = 0; i < kEntries; ++i) ring.Push(i);
  for (const uint64_t head : {uint64_t{kEntries} + 1, kHuge, uint64_t{1} << 63}) {
    ring.head.store(head);
    EXPECT_FALSE(ring.producer.HasRoom()) << head;
  }
  ring.head.store(1);
  EXPECT_TRUE(ring.producer.HasRoom());
}

TEST(Ring, HeadThatGoesBackIsNotBelieved) {
  Ring ring;
  for (uint64_t i = 0; i < kEntries; ++i) ring.Push(i);
  ring.head.store(4);
  for (uint64_t i = 0; i < 4; ++i) ring.Push(i);
  ring.head.store(2);
  EXPECT_FALSE(ring.producer.HasRoom());
  ring.head.store(5);
  EXPECT_TRUE(ring.producer.HasRoom());
}

TEST(Ring, HeadOneBeforeTheStartIsAsWrongAsAnyOther) {
  Ring ring;
  for (uint64_t i = 0; i < kEntries; ++i) ring.Push(i);
  ring.head.store(kHuge);  // tail - head would look like one more than all
  EXPECT_FALSE(ring.producer.HasRoom());
}

TEST(Ring, PeekAheadAndAtSeeTheRightEntries) {
  Ring ring;
  for (uint64_t i = 0; i < 6; ++i) ring.Push(i);
  for (uint64_t i = 0; i < 6; ++i) ring.consumer.Take();
  ring.consumer.PublishHead();
  for (uint64_t i = 6; i < 12; ++i) ring.Push(i);
  for (uint32_t i = 0; i < 6; ++i) EXPECT_EQ(ring.consumer.PeekAhead(i)->number, 6 + i);
  EXPECT_EQ(ring.producer.At(7).number, 7u);
  EXPECT_EQ(ring.producer.At(11).number, 11u);
  EXPECT_EQ(ring.producer.tail(), 12u);
  EXPECT_EQ(ring.producer.LoadHead(), 6u);
}

TEST(Ring, TwoThreadsSeeEveryEntryOnceWholeAndInOrder) {
  constexpr uint64_t kCount = 200'000;
  Ring ring;
  std::thread producer([&ring] {
    for (uint64_t i = 0; i < kCount; ++i) {
      while (!ring.producer.HasRoom()) std::this_thread::yield();
      ring.producer.Write({i, ~i});
      // Sometimes several entries under one publication.
      if (i % 3 == 0 || i + 1 == kCount || !ring.producer.HasRoom()) ring.producer.Publish();
    }
  });
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < kCount;) {
    const auto available = ring.consumer.Available();
    ASSERT_TRUE(available.has_value());
    for (uint32_t k = 0; k < *available; ++k, ++i) {
      const Entry entry = ring.consumer.Take();
      wrong += entry.number != i || entry.check != ~i;
    }
    if (*available > 0) ring.consumer.PublishHead();
    else std::this_thread::yield();
  }
  producer.join();
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace penstock
