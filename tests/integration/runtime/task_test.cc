// Tasks: values there and back, refs, errors, deaths, waits.
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <penstock/runtime.h>

#include "absl/time/clock.h"

namespace penstock {
namespace {

struct Point {
  int x = 0;
  std::vector<double> values;
  MSGPACK_DEFINE(x, values)
};

int Add(int a, int b) { return a + b; }
double Add(double a, double b) { return a + b; }
std::string Greet(std::string name) { return "hello " + name; }
Point Move(Point point, int by) {
  point.x += by;
  for (double& value : point.values) value += by;
  return point;
}
void Nothing() {}
int Throws(std::string what) { throw std::runtime_error(what); }
int ThrowsANumber() { throw 7; }
int Pid() { return getpid(); }
int Exits(int code) { _exit(code); }
int Aborts() { abort(); }
int KillsItself() {
  kill(getpid(), SIGKILL);
  return 0;
}
int Sleeps(int ms, int value) {
  absl::SleepFor(absl::Milliseconds(ms));
  return value;
}
std::vector<double> Ones(int count) { return std::vector<double>(static_cast<size_t>(count), 1); }
double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}
int SumOfRefs(std::vector<ObjectRef<int>> refs) {
  int sum = 0;
  for (const auto& ref : refs) sum += *ref.Get();
  return sum;
}
int SumOfMap(std::map<std::string, int> values) {
  int sum = 0;
  for (const auto& [name, value] : values) sum += value;
  return sum;
}
template <typename T>
T Same(T value) {
  return value;
}
int Depth(int depth);
ObjectRef<int> MakesARef(int value);
int Unregistered() { return 0; }

PENSTOCK_REMOTE(PENSTOCK_FUNC(Add, int, int), PENSTOCK_FUNC(Add, double, double), Greet, Move,
                Nothing, Throws, ThrowsANumber, Pid, Exits, Aborts, KillsItself, Sleeps, Ones,
                Sum, SumOfRefs, SumOfMap, Depth, MakesARef, PENSTOCK_FUNC(Same<uint64_t>, uint64_t),
                PENSTOCK_FUNC(Same<int64_t>, int64_t), PENSTOCK_FUNC(Same<uint16_t>, uint16_t));

int Depth(int depth) {
  return depth == 0 ? 0 : 1 + *Task(Depth).Remote(depth - 1).Get();
}
ObjectRef<int> MakesARef(int value) { return Put(value); }

const auto AddInts = PENSTOCK_FUNC(Add, int, int);

class Tasks : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { Init({.num_cpus = 2, .memory = 64 << 20}); }
  static void TearDownTestSuite() { Shutdown(); }
};

TEST_F(Tasks, WholeNumbersOfEveryLengthArriveAsTheyWere) {
  const auto same_u64 = PENSTOCK_FUNC(Same<uint64_t>, uint64_t);
  const auto same_i64 = PENSTOCK_FUNC(Same<int64_t>, int64_t);
  const auto same_u16 = PENSTOCK_FUNC(Same<uint16_t>, uint16_t);
  for (int bits = 0; bits < 64; ++bits) {
    for (const uint64_t number : {uint64_t{1} << bits, (uint64_t{1} << bits) - 1}) {
      EXPECT_EQ(*Task(same_u64).Remote(number).Get(), number);
      const auto positive = static_cast<int64_t>(number);
      EXPECT_EQ(*Task(same_i64).Remote(positive).Get(), positive);
      EXPECT_EQ(*Task(same_i64).Remote(~positive).Get(), ~positive);
      const auto narrow = static_cast<uint16_t>(number);
      EXPECT_EQ(*Task(same_u16).Remote(narrow).Get(), narrow);
    }
  }
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(*Task(same_u64).Remote(kMost).Get(), kMost);
  // What does not fit is refused, and not cut to size.
  const std::string too_wide = internal::Pack(uint64_t{1} << 16);
  EXPECT_THROW(internal::Unpack<uint16_t>(too_wide), std::exception);
  EXPECT_THROW(internal::Unpack<int64_t>(internal::Pack(kMost)), std::exception);
}

TEST_F(Tasks, ReturnWhatTheirFunctionReturns) {
  EXPECT_EQ(*Task(AddInts).Remote(1, 2).Get(), 3);
  EXPECT_EQ(*Task(PENSTOCK_FUNC(Add, double, double)).Remote(1.5, 2).Get(), 3.5);
  EXPECT_EQ(*Task(Greet).Remote("you").Get(), "hello you");
  EXPECT_NE(Get(Task(Nothing).Remote()), nullptr);
  const auto point = Task(Move).Remote(Point{1, {2, 3}}, 10).Get();
  EXPECT_EQ(point->x, 11);
  EXPECT_EQ(point->values, (std::vector<double>{12, 13}));
  EXPECT_EQ(*Task(SumOfMap).Remote(std::map<std::string, int>{{"a", 1}, {"b", 2}}).Get(), 3);
}

TEST_F(Tasks, RunInOtherProcesses) { EXPECT_NE(*Task(Pid).Remote().Get(), getpid()); }

TEST_F(Tasks, ManyAreEachAnsweredForThemselves) {
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < 20'000; ++i) refs.push_back(Task(AddInts).Remote(i, 1));
  const auto values = Get(refs);
  for (int i = 0; i < 20'000; ++i) ASSERT_EQ(*values[static_cast<size_t>(i)], i + 1);
}

TEST_F(Tasks, LargeValuesGoByTheStore) {
  const auto ones = Task(Ones).Remote(100'000);
  EXPECT_EQ(ones.Get()->size(), 100'000u);
  EXPECT_EQ(*Task(Sum).Remote(ones).Get(), 100'000);
  EXPECT_EQ(*Task(Sum).Remote(std::vector<double>(50'000, 2)).Get(), 100'000);
}

TEST_F(Tasks, ARefIsPassedByItsValueOnceThatIsThere) {
  const auto slow = Task(Sleeps).Remote(50, 20);
  const auto sum = Task(AddInts).Remote(slow, Put(3));
  EXPECT_EQ(*Task(AddInts).Remote(sum, sum).Get(), 46);
}

TEST_F(Tasks, RefsInsideValuesStayRefs) {
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < 10; ++i) refs.push_back(Task(Sleeps).Remote(5, i));
  refs.push_back(Put(100));
  EXPECT_EQ(*Task(SumOfRefs).Remote(refs).Get(), 145);
}

TEST_F(Tasks, ARefThatWasReturnedHoldsItsValue) {
  const auto outer = Task(MakesARef).Remote(42).Get();
  EXPECT_EQ(*outer->Get(), 42);
}

TEST_F(Tasks, NestedTasksGiveTheirCpuBackWhileTheyWait) {
  EXPECT_EQ(*Task(Depth).Remote(12).Get(), 12);
}

TEST_F(Tasks, AnExceptionSurfacesAtGetWithWhereItWasThrown) {
  const auto ref = Task(Throws).Remote("not today");
  try {
    ref.Get();
    FAIL();
  } catch (const TaskFailed& failure) {
    EXPECT_EQ(failure.message(), "not today");
    EXPECT_EQ(failure.function(), "Throws");
    EXPECT_NE(failure.pid(), getpid());
    EXPECT_NE(std::string(failure.what()).find("Throws failed on"), std::string::npos);
  }
  EXPECT_THROW(Task(ThrowsANumber).Remote().Get(), TaskFailed);
  EXPECT_THROW(Task(AddInts).Remote(ref, 1).Get(), TaskFailed) << "a failed argument fails it";
}

TEST_F(Tasks, ADeadWorkerIsAnErrorWithItsSignalOrExitCode) {
  try {
    Task(KillsItself).Remote().Get();
    FAIL();
  } catch (const WorkerDied& death) {
    EXPECT_EQ(death.signal(), SIGKILL);
  }
  try {
    Task(Exits).Remote(3).Get();
    FAIL();
  } catch (const WorkerDied& death) {
    EXPECT_EQ(death.exit_code(), 3);
  }
  EXPECT_THROW(Task(Aborts).Remote().Get(), WorkerDied);
  EXPECT_EQ(*Task(AddInts).Remote(1, 1).Get(), 2) << "it is replaced";
}

TEST_F(Tasks, GetPastItsDeadlineSaysSo) {
  const auto ref = Task(Sleeps).Remote(300, 1);
  EXPECT_THROW(ref.Get(absl::Milliseconds(10)), GetTimeout);
  EXPECT_EQ(*ref.Get(), 1);
}

TEST_F(Tasks, WaitSaysWhichAreReady) {
  std::vector<ObjectRef<int>> refs = {Task(Sleeps).Remote(1000, 1), Task(Sleeps).Remote(0, 2)};
  const auto some = Wait(refs, 1, absl::Seconds(20));
  ASSERT_EQ(some.ready.size(), 1u);
  EXPECT_EQ(some.ready[0].ID(), refs[1].ID());
  EXPECT_EQ(Wait(refs, 2, absl::Seconds(20)).unready.size(), 0u);
}

TEST_F(Tasks, AnUnregisteredFunctionIsRefusedWithTheNamesOfThoseRegistered) {
  try {
    Task(Unregistered).Remote();
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("Greet"), std::string::npos);
  }
}

TEST_F(Tasks, ResourcesThatTheNodeNeverHasAreRefusedWithWhatItHas) {
  try {
    Task(Pid).SetResource("CPU", 1000).Remote().Get();
    FAIL();
  } catch (const ResourcesInfeasible& error) {
    EXPECT_NE(std::string(error.what()).find("CPU 2"), std::string::npos) << error.what();
  }
  EXPECT_THROW(Task(Pid).SetResource("GPU", 1).Remote().Get(), ResourcesInfeasible);
}

TEST_F(Tasks, InitTwiceIsRefused) { EXPECT_THROW(Init(), UsageError); }

TEST_F(Tasks, ARefIsPackedByCallsOnly) {
  const auto ref = Put(1);
  msgpack::sbuffer buffer;
  EXPECT_THROW(msgpack::pack(buffer, ref), UsageError);
}

}  // namespace
}  // namespace penstock
