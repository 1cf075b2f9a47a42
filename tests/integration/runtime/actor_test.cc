// Actors: state, order, names, handles as values, errors, deaths.
#include <signal.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <penstock/runtime.h>

#include "absl/time/clock.h"

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
  void Hold(std::vector<ObjectRef<int>> refs) { kept_ = std::move(refs); }
  int SumOfKept() const {
    int sum = 0;
    for (const auto& ref : kept_) sum += *ref.Get();
    return sum;
  }

 private:
  int value_;
  std::vector<ObjectRef<int>> kept_;
};
Counter* MakeCounter(int start) { return new Counter(start); }

int AddThrough(ActorHandle<Counter> counter, int by);

const auto AddInt = PENSTOCK_FUNC(&Counter::Add, int);
PENSTOCK_REMOTE(MakeCounter, PENSTOCK_FUNC(&Counter::Add, int),
                PENSTOCK_FUNC(&Counter::Add, double), &Counter::Value, &Counter::Pid,
                &Counter::Fails, &Counter::Exits, &Counter::Sleeps, &Counter::Hold,
                &Counter::SumOfKept, &Named::Name, AddThrough);

int AddThrough(ActorHandle<Counter> counter, int by) {
  return *counter.Task(AddInt).Remote(by).Get();
}

class Actors : public testing::Test {
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

}  // namespace
}  // namespace penstock
