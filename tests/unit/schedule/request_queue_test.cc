// Equal requests in order, with some taken out of the middle.
#include "runtime/schedule/request_queue.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace penstock {
namespace {

TEST(RequestQueue, CancelledRequestsDoNotComeUp) {
  RequestQueue queue;
  for (uint64_t id : {3, 5, 8, 9, 12}) queue.Push(id);
  EXPECT_TRUE(queue.Cancel(3));
  EXPECT_TRUE(queue.Cancel(8));
  EXPECT_TRUE(queue.Cancel(12));
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue.Pop(), 5u);
  EXPECT_EQ(queue.Pop(), 9u);
  EXPECT_TRUE(queue.empty());
}

TEST(RequestQueue, WhatIsNotThereCannotBeCancelled) {
  RequestQueue queue;
  queue.Push(4);
  queue.Push(6);
  for (uint64_t id : {1, 5, 7}) EXPECT_FALSE(queue.Cancel(id));
  EXPECT_TRUE(queue.Cancel(6));
  EXPECT_FALSE(queue.Cancel(6));
  EXPECT_EQ(queue.Pop(), 4u);
  EXPECT_FALSE(queue.Cancel(4));
}

TEST(RequestQueue, RandomOrderAgreesWithASet) {
  std::mt19937_64 random(7);
  RequestQueue queue;
  std::set<uint64_t> model;
  uint64_t next = 1;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 3 == 0 && !queue.empty()) {
      ASSERT_EQ(queue.Pop(), *model.begin());
      model.erase(model.begin());
    } else if (random() % 2 == 0) {
      queue.Push(next);
      model.insert(next);
      next += 1 + random() % 3;
    } else {
      const uint64_t id = random() % next;
      ASSERT_EQ(queue.Cancel(id), model.erase(id) == 1);
    }
    ASSERT_EQ(queue.size(), model.size());
    if (!model.empty()) {
      ASSERT_EQ(queue.front(), *model.begin());
    }
  }
}

TEST(RequestQueueDeath, IdsThatFallAreOurBug) {
  RequestQueue queue;
  queue.Push(4);
  EXPECT_DEATH(queue.Push(4), "out of order");
}

}  // namespace
}  // namespace penstock
