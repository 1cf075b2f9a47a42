// The reactor: who is called, and who is not.
#include "store/reactor/reactor.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace penstock {
namespace {

UniqueFd RungDoorbell() { return UniqueFd(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); }

TEST(Reactor, CallsWhoIsReadyUntilRemoved) {
  auto reactor = Reactor::Create();
  ASSERT_TRUE(reactor.ok());
  const UniqueFd ready = RungDoorbell();
  const UniqueFd silent(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  int calls = 0;
  ASSERT_TRUE(reactor->Watch(ready.get(), [&] { ++calls; }).ok());
  ASSERT_TRUE(reactor->Watch(silent.get(), [] { FAIL() << "nothing is there"; }).ok());
  reactor->Poll();
  reactor->Poll();
  EXPECT_EQ(calls, 2) << "as long as it is readable";
  reactor->Remove(ready.get());
  reactor->Poll();
  EXPECT_EQ(calls, 2);
}

TEST(Reactor, ADoorbellEndsASleepOnceForEachRing) {
  auto reactor = Reactor::Create();
  ASSERT_TRUE(reactor.ok());
  const UniqueFd doorbell = RungDoorbell();
  int rings = 0;
  ASSERT_TRUE(reactor->WatchDoorbell(doorbell.get(), [&rings] { ++rings; }).ok());
  reactor->Wait(-1);  // returns
  reactor->Poll();
  EXPECT_EQ(rings, 1);
  reactor->Poll();
  EXPECT_EQ(rings, 1) << "it was not read, and has not rung again";
  const uint64_t one = 1;
  ASSERT_EQ(write(doorbell.get(), &one, sizeof(one)), ssize_t{sizeof(one)});
  reactor->Wait(-1);  // and again
  reactor->Poll();
  EXPECT_EQ(rings, 2);
}

// Two descriptors are ready; whoever is called first closes the other, and a new one gets
// its number. What was ready belonged to the old one.
TEST(Reactor, DoesNotTakeANewDescriptorForAnOldOneOfItsNumber) {
  auto reactor = Reactor::Create();
  ASSERT_TRUE(reactor.ok());
  UniqueFd pair[2] = {RungDoorbell(), RungDoorbell()};
  UniqueFd heir;
  int first_calls = 0;
  int heir_calls = 0;
  for (int i = 0; i < 2; ++i) {
    const auto on_ready = [&, i] {
      ++first_calls;
      UniqueFd& other = pair[1 - i];
      const int number = other.get();
      reactor->Remove(number);
      other.reset();
      heir = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      ASSERT_EQ(heir.get(), number);
      ASSERT_TRUE(reactor->Watch(heir.get(), [&] { ++heir_calls; }).ok());
    };
    ASSERT_TRUE(reactor->Watch(pair[i].get(), on_ready).ok());
  }
  reactor->Poll();
  EXPECT_EQ(first_calls, 1);
  EXPECT_EQ(heir_calls, 0);
}

// More than one Poll has time for: none is forgotten, and none is called twice before the
// others were called once.
TEST(Reactor, AFloodIsHeardInPartsAndInTurn) {
  constexpr size_t kCount = 150;  // more than Linux tells of at once
  auto reactor = Reactor::Create();
  ASSERT_TRUE(reactor.ok());
  std::vector<UniqueFd> ready;
  std::vector<int> calls(kCount, 0);
  for (size_t i = 0; i < kCount; ++i) {
    ready.push_back(RungDoorbell());
    ASSERT_TRUE(reactor->Watch(ready[i].get(), [&calls, i] {
      ++calls[i];
      usleep(100);
    }).ok());
  }
  size_t polls = 0;
  do {
    reactor->Wait(-1);
    reactor->Poll();
    ++polls;
    const auto [fewest, most] = std::minmax_element(calls.begin(), calls.end());
    ASSERT_LE(*most - *fewest, 1) << "after " << polls;
    ASSERT_TRUE(reactor->has_more());
  } while (*std::min_element(calls.begin(), calls.end()) == 0 && polls < 10 * kCount);
  EXPECT_EQ(*std::min_element(calls.begin(), calls.end()), 1);
  EXPECT_GE(polls, kCount) << "its caller waited for more than one";
}

}  // namespace
}  // namespace penstock
