// Actors: state, order, names, handles as values, errors, deaths.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <penstock/runtime.h>

#include "absl/time/clock.h"
#include "runtime/channel/channel_layout.h"

namespace penstock {
namespace {

class Named {
 public:
  virtual ~Named() = default;
  std::string Name() const { return name_; }

 protected:
  std::string name_ = "counter";
};

class Counter : public Named {
 public:
  explicit Counter(int start) : value_(start) {
    if (start < 0) throw std::runtime_error("a counter starts at 0 or above");
  }
  int Add(int by) { return value_ += by; }
  double Add(double by) { return value_ + by; }
  int Value() const { return value_; }
  int Pid() const { return getpid(); }
  int Fails() { throw std::runtime_error("as asked"); }
  int Exits() { _exit(9); }
  int Sleeps(int ms) {
    absl::SleepFor(absl::Milliseconds(ms));
    return value_;
  }
  // Sends far more than a ring holds, and waits for none of it.
  int Flood(ActorHandle<Counter> other, int count);
  int SumOfFlood() {
    int last = 0;
    for (const auto& ref : std::exchange(flood_, {})) last = *ref.Get();
    return last;
  }
  // Stray writes: the tails of all channels of this process.
  int Scribble();
  void Hold(std::vector<ObjectRef<int>> refs) { kept_ = std::move(refs); }
  int SumOfKept() const {
    int sum = 0;
    for (const auto& ref : kept_) sum += *ref.Get();
    return sum;
  }

 private:
  int value_;
  std::vector<ObjectRef<int>> kept_;
  std::vector<ObjectRef<int>> flood_;
};
Counter* MakeCounter(int start) { return new Counter(start); }

int AddThrough(ActorHandle<Counter> counter, int by);

const auto AddInt = PENSTOCK_FUNC(&Counter::Add, int);
PENSTOCK_REMOTE(&Counter::Flood, &Counter::SumOfFlood, &Counter::Scribble);
PENSTOCK_REMOTE(MakeCounter, PENSTOCK_FUNC(&Counter::Add, int),
                PENSTOCK_FUNC(&Counter::Add, double), &Counter::Value, &Counter::Pid,
                &Counter::Fails, &Counter::Exits, &Counter::Sleeps, &Counter::Hold,
                &Counter::SumOfKept, &Named::Name, AddThrough);

int AddThrough(ActorHandle<Counter> counter, int by) {
  return *counter.Task(AddInt).Remote(by).Get();
}

int Counter::Flood(ActorHandle<Counter> other, int count) {
  for (int i = 0; i < count; ++i) flood_.push_back(other.Task(AddInt).Remote(1));
  return count;
}

int Counter::Scribble() {
  int hit = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long long begin = 0;
    char access[5] = {};
    if (line.find("penstock-channel") == std::string::npos ||
        sscanf(line.c_str(), "%llx-%*x %4s", &begin, access) != 2 || access[1] != 'w') {
      continue;
    }
    // Again and again, since what this process sends sets the tail right.
    std::thread([header = reinterpret_cast<ChannelHeader*>(begin)] {
      for (;;) {
        header->tail.store(uint64_t{1} << 40);
        absl::SleepFor(absl::Microseconds(100));
      }
    }).detach();
    ++hit;
  }
  return hit;
}

class Actors : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { Init({.num_cpus = 2, .memory = 64 << 20}); }
  static void TearDownTestSuite() { Shutdown(); }
};

TEST_F(Actors, KeepTheirStateAndRunACallersCallsInOrder) {
  const auto counter = Actor(MakeCounter).Remote(10);
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < 5000; ++i) refs.push_back(counter.Task(AddInt).Remote(1));
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(*refs[static_cast<size_t>(i)].Get(), 11 + i);
  EXPECT_EQ(*counter.Task(&Counter::Value).Remote().Get(), 5010);
  EXPECT_EQ(*counter.Task(PENSTOCK_FUNC(&Counter::Add, double)).Remote(0.5).Get(), 5010.5);
}

TEST_F(Actors, AFloodThatFillsTheRingsInBothDirectionsIsAnsweredToTheEnd) {
  const auto counter = Actor(MakeCounter).Remote(0);
  for (int round = 0; round < 3; ++round) {
    std::vector<ObjectRef<int>> refs;
    for (int i = 0; i < 100'000; ++i) refs.push_back(counter.Task(AddInt).Remote(1));
    ASSERT_EQ(*refs.back().Get(absl::Seconds(100)), (round + 1) * 100'000);
    ASSERT_EQ(*refs.front().Get(absl::Seconds(100)), round * 100'000 + 1);
  }
}

TEST_F(Actors, HaveTheMembersOfTheirBaseClasses) {
  EXPECT_EQ(*Actor(MakeCounter).Remote(0).Task(&Named::Name).Remote().Get(), "counter");
}

TEST_F(Actors, LiveInProcessesOfTheirOwn) {
  const auto a = Actor(MakeCounter).Remote(0), b = Actor(MakeCounter).Remote(0);
  EXPECT_NE(*a.Task(&Counter::Pid).Remote().Get(), *b.Task(&Counter::Pid).Remote().Get());
}

TEST_F(Actors, HandlesAreOrdinaryValues) {
  const auto counter = Actor(MakeCounter).Remote(1);
  EXPECT_EQ(*Task(AddThrough).Remote(counter, 5).Get(), 6);
  EXPECT_EQ(*counter.Task(&Counter::Value).Remote().Get(), 6);
}

TEST_F(Actors, AreFoundByNameAndANameInUseIsRefused) {
  const auto counter = Actor(MakeCounter).SetName("the counter").Remote(3);
  EXPECT_EQ(*GetActor<Counter>("the counter").Task(&Counter::Value).Remote().Get(), 3);
  EXPECT_THROW(Actor(MakeCounter).SetName("the counter").Remote(3), UsageError);
  EXPECT_THROW(GetActor<Counter>("nobody"), UsageError);
  counter.Kill();
  Actor(MakeCounter).SetName("the counter").Remote(4);
  EXPECT_EQ(*GetActor<Counter>("the counter").Task(&Counter::Value).Remote().Get(), 4);
}

TEST_F(Actors, AnExceptionFailsItsCallAndNothingElse) {
  const auto counter = Actor(MakeCounter).Remote(1);
  EXPECT_THROW(counter.Task(&Counter::Fails).Remote().Get(), TaskFailed);
  EXPECT_EQ(*counter.Task(AddInt).Remote(1).Get(), 2);
}

TEST_F(Actors, AFactoryThatThrowsFailsEveryCall) {
  const auto counter = Actor(MakeCounter).Remote(-1);
  EXPECT_THROW(counter.Task(&Counter::Value).Remote().Get(), TaskFailed);
}

TEST_F(Actors, ADeadOneFailsCallsTakenAndCallsToComeWithActorDied) {
  const auto counter = Actor(MakeCounter).Remote(1);
  EXPECT_EQ(*counter.Task(&Counter::Value).Remote().Get(), 1);
  const auto sleeps = counter.Task(&Counter::Sleeps).Remote(10'000);
  const auto waits = counter.Task(&Counter::Value).Remote();
  counter.Kill();
  try {
    sleeps.Get();
    FAIL();
  } catch (const ActorDied& death) {
    EXPECT_TRUE(death.may_have_run());
    EXPECT_NE(std::string(death.what()).find("signal 9"), std::string::npos) << death.what();
  }
  EXPECT_THROW(waits.Get(), ActorDied);
  EXPECT_THROW(counter.Task(&Counter::Value).Remote().Get(), ActorDied);
}

TEST_F(Actors, OneThatExitsSaysItsExitCode) {
  const auto counter = Actor(MakeCounter).Remote(1);
  try {
    counter.Task(&Counter::Exits).Remote().Get();
    FAIL();
  } catch (const ActorDied& death) {
    EXPECT_NE(std::string(death.what()).find("exit code 9"), std::string::npos) << death.what();
  }
}

TEST_F(Actors, AnArgumentThatIsNotThereHoldsBackLaterCallsOfItsCaller) {
  const auto slow = Actor(MakeCounter).Remote(7), counter = Actor(MakeCounter).Remote(1);
  const auto seven = slow.Task(&Counter::Sleeps).Remote(100);
  const auto first = counter.Task(AddInt).Remote(seven);
  const auto second = counter.Task(AddInt).Remote(1);
  EXPECT_EQ(*second.Get(), 9);
  EXPECT_EQ(*first.Get(), 8);
}

TEST_F(Actors, ARefThatAnActorKeepsLivesOnWithoutItsMaker) {
  const auto counter = Actor(MakeCounter).Remote(1);
  {
    std::vector<ObjectRef<int>> refs = {Put(20), Put(22)};
    counter.Task(&Counter::Hold).Remote(refs).Get();
  }
  EXPECT_EQ(*counter.Task(&Counter::SumOfKept).Remote().Get(), 42);
}

TEST_F(Actors, TwoThatFloodEachOtherBothFinish) {
  constexpr int kCalls = 50'000;
  const auto a = Actor(MakeCounter).Remote(0), b = Actor(MakeCounter).Remote(0);
  for (int round = 1; round <= 2; ++round) {
    const auto from_a = a.Task(&Counter::Flood).Remote(b, kCalls);
    const auto from_b = b.Task(&Counter::Flood).Remote(a, kCalls);
    EXPECT_EQ(*from_a.Get(absl::Seconds(100)), kCalls);
    EXPECT_EQ(*from_b.Get(absl::Seconds(100)), kCalls);
    EXPECT_EQ(*a.Task(&Counter::SumOfFlood).Remote().Get(absl::Seconds(100)), round * kCalls);
    EXPECT_EQ(*b.Task(&Counter::SumOfFlood).Remote().Get(absl::Seconds(100)), round * kCalls);
  }
}

TEST_F(Actors, OneThatWritesNonsenseIntoItsChannelsCostsItsCallersThatActorOnly) {
  const auto bystander = Actor(MakeCounter).Remote(1), bad = Actor(MakeCounter).Remote(1);
  EXPECT_EQ(*bad.Task(&Counter::Value).Remote().Get(), 1);
  try {
    bad.Task(&Counter::Scribble).Remote().Get(absl::Seconds(100));
    for (;;) bad.Task(&Counter::Value).Remote().Get(absl::Seconds(100));
  } catch (const ActorDied& death) {
    EXPECT_NE(std::string(death.what()).find("channel"), std::string::npos) << death.what();
  }
  EXPECT_THROW(bad.Task(&Counter::Value).Remote().Get(absl::Seconds(100)), ActorDied);
  EXPECT_EQ(*bystander.Task(&Counter::Value).Remote().Get(absl::Seconds(100)), 1);
  EXPECT_EQ(*Task(AddThrough).Remote(bystander, 5).Get(absl::Seconds(100)), 6);
}

TEST_F(Actors, HoldWhatTheyAskForWhileTheyLiveAndOtherwiseNothing) {
  // Two CPUs, and far more actors that ask for nothing.
  std::vector<ActorHandle<Counter>> light;
  for (int i = 0; i < 6; ++i) light.push_back(Actor(MakeCounter).Remote(i));
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(*light[static_cast<size_t>(i)].Task(&Counter::Value).Remote().Get(), i);
  }
  const auto heavy = Actor(MakeCounter).SetResource("CPU", 1.5).Remote(7);
  EXPECT_EQ(*heavy.Task(&Counter::Value).Remote().Get(), 7);
  const auto waits = Actor(MakeCounter).SetResource("CPU", 1).Remote(8);
  const auto value = waits.Task(&Counter::Value).Remote();
  EXPECT_THROW(value.Get(absl::Milliseconds(200)), GetTimeout) << "half a CPU is left";
  heavy.Kill();
  EXPECT_EQ(*value.Get(absl::Seconds(100)), 8);
  EXPECT_THROW(Actor(MakeCounter).SetResource("CPU", 64).Remote(1).Task(&Counter::Value)
                   .Remote().Get(absl::Seconds(100)), Error);
  waits.Kill();
}

}  // namespace
}  // namespace penstock
