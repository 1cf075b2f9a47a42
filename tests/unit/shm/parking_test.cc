// Parking: doorbells, numbered sleeps, and no wake-up lost between two threads.
#include "store/shm/parking.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "store/shm/ring.h"

namespace penstock {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kLong = 20'000 * kMillisecond;  // a test that waits so long has failed

TEST(Parking, DoorbellRungBeforeTheSleepEndsItAtOnce) {
  const auto bell = MakeDoorbell();
  ASSERT_TRUE(bell.ok()) << bell.status();
  RingDoorbell(bell->get());
  RingDoorbell(bell->get());
  EXPECT_TRUE(SleepOnDoorbell(bell->get(), kLong));
  EXPECT_FALSE(SleepOnDoorbell(bell->get(), 0)) << "both rings were silenced by one sleep";
}

TEST(Parking, SilentDoorbellSleepsUntilTheTimeout) {
  const auto bell = MakeDoorbell();
  ASSERT_TRUE(bell.ok());
  EXPECT_FALSE(SleepOnDoorbell(bell->get(), 2 * kMillisecond));
  DrainDoorbell(bell->get());  // nothing there: does not block
}

TEST(Parking, RingWakesASleeperThatWaitsForEver) {
  const auto bell = MakeDoorbell();
  ASSERT_TRUE(bell.ok());
  bool woken = false;
  std::thread sleeper([&] { woken = SleepOnDoorbell(bell->get(), -1); });
  RingDoorbell(bell->get());
  sleeper.join();
  EXPECT_TRUE(woken);
}

TEST(Parking, ProducerRingsOnceForEachSleepAndNeverForAnAwakeConsumer) {
  ParkedFlag flag{0};
  Parker consumer;
  RingMemory producer;
  const auto rings = [&flag](RingMemory& memory) { return memory.RingOnce(flag, [] {}); };
  EXPECT_FALSE(rings(producer));
  consumer.Park(flag);
  EXPECT_TRUE(rings(producer));
  EXPECT_FALSE(rings(producer));
  Parker::Unpark(flag);
  EXPECT_FALSE(rings(producer));
  consumer.Park(flag);
  EXPECT_TRUE(rings(producer));
  RingMemory other;
  EXPECT_TRUE(rings(other)) << "each producer rings for itself";
}

// A thread that is stopped before its bell must not keep another one from ringing.
TEST(Parking, NobodyReliesOnABellThatHasNotRungYet) {
  ParkedFlag flag{0};
  Parker consumer;
  RingMemory memory;
  consumer.Park(flag);
  bool other_rang = false;
  memory.RingOnce(flag, [&] { other_rang = memory.RingOnce(flag, [] {}); });
  EXPECT_TRUE(other_rang);
}

// SYNC S1 with real threads: a producer that publishes and rings only a parked consumer,
// and a consumer that sleeps whenever its second look finds nothing.
TEST(Parking, NoWakeUpIsLostBetweenTwoThreads) {
  constexpr uint32_t kEntries = 4;
  constexpr uint64_t kCount = 20'000;
  uint64_t entries[kEntries];
  std::atomic<uint64_t> tail{0};
  std::atomic<uint64_t> head{0};
  RingProducer<uint64_t, kEntries> producer(entries, &tail, &head);
  RingConsumer<uint64_t, kEntries> consumer(entries, &tail, &head);
  ParkedFlag parked{0};
  const auto bell = MakeDoorbell();
  ASSERT_TRUE(bell.ok());

  std::thread producing([&] {
    RingMemory rings;
    for (uint64_t i = 0; i < kCount; ++i) {
      while (!producer.HasRoom()) std::this_thread::yield();
      producer.Write(i);
      producer.Publish();
      rings.RingOnce(parked, [&] { RingDoorbell(bell->get()); });
    }
  });
  Parker parker;
  uint64_t taken = 0;
  bool lost = false;
  while (taken < kCount && !lost) {
    const uint32_t available = *consumer.Available();
    for (uint32_t i = 0; i < available; ++i) EXPECT_EQ(consumer.Take(), taken++);
    if (available > 0) {
      consumer.PublishHead();
      continue;
    }
    parker.Park(parked);
    if (*consumer.Available() == 0) lost = !SleepOnDoorbell(bell->get(), kLong);
    Parker::Unpark(parked);
  }
  EXPECT_FALSE(lost) << "slept with " << taken << " of " << kCount << " taken";
  if (lost) {
    // Let the producer end.
    while (taken < kCount) {
      for (uint32_t i = *consumer.Available(); i > 0; --i) consumer.Take(), ++taken;
      consumer.PublishHead();
    }
  }
  producing.join();
}

}  // namespace
}  // namespace penstock
