// Refs and handles as ordinary values, and how long what they stand for lives.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <penstock/array_value.h>
#include <penstock/client.h>
#include <penstock/runtime.h>

#include "absl/time/clock.h"

namespace penstock {
namespace {

using Bytes = Array<std::byte>;

class Adder {
 public:
  int Add(int by) { return sum_ += by; }

 private:
  int sum_ = 0;
};
Adder* MakeAdder() { return new Adder(); }

// Everything that may hold one.
struct Bundle {
  ObjectRef<int> one;
  std::vector<ObjectRef<int>> many;
  std::map<std::string, ObjectRef<std::string>> named;
  ActorHandle<Adder> adder;
  std::map<int, std::vector<ActorHandle<Adder>>> adders;
  MSGPACK_DEFINE(one, many, named, adder, adders)
};
int Later(int ms, int value) {
  absl::SleepFor(absl::Milliseconds(ms));
  return value;
}
int Open(Bundle bundle) {
  int sum = *bundle.one.Get();
  for (const auto& ref : bundle.many) sum += *ref.Get();
  for (const auto& [name, ref] : bundle.named) sum += static_cast<int>(ref.Get()->size());
  sum += *bundle.adder.Task(&Adder::Add).Remote(1).Get();
  for (const auto& [key, handles] : bundle.adders) {
    for (const auto& handle : handles) sum += *handle.Task(&Adder::Add).Remote(key).Get();
  }
  return sum;
}
Bundle MakeBundle(int value) {
  const auto adder = Actor(MakeAdder).Remote();
  return {Put(value), {Task(Later).Remote(20, value), Put(value)},
          {{"a", Put(std::string("four"))}}, adder, {{10, {adder}}}};
}
Bundle Back(Bundle bundle) { return bundle; }
int Size(std::string text) { return static_cast<int>(text.size()); }
int SizeOfFirst(std::vector<ObjectRef<std::string>> refs) {
  absl::SleepFor(absl::Milliseconds(50));
  return static_cast<int>(refs.at(0).Get()->size());
}
std::vector<ObjectRef<std::string>> Same(std::vector<ObjectRef<std::string>> refs) {
  return refs;
}
Array<double> Half(Array<double> array) { return array.Slice(0, array.size() / 2); }
Bytes Middle(Bytes bytes) { return bytes.Slice(bytes.size() / 4, bytes.size() / 2); }
int64_t SumOfNumbers(Array<int64_t> numbers) {
  int64_t sum = 0;
  for (const int64_t number : numbers.values()) sum += number;
  return sum;
}
PENSTOCK_REMOTE(MakeAdder, &Adder::Add, Later, Open, MakeBundle, Back, Size, SizeOfFirst,
                Same, Half, Middle, SumOfNumbers);

class Refs : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { info_ = Init({.num_cpus = 2, .memory = 64 << 20}); }
  static void TearDownTestSuite() { Shutdown(); }
  static uint64_t ObjectBytes() {
    return QueryStatus(info_.session_dir)->Counter("object_bytes");
  }
  // Settles at once or soon: what was let go is counted by the daemon a moment later.
  static bool SettlesAt(uint64_t bytes) {
    for (int i = 0; i < 2000; ++i) {
      if (ObjectBytes() == bytes) return true;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }
  static ClusterInfo info_;
};
ClusterInfo Refs::info_;

TEST_F(Refs, AndHandlesTravelInStructsMapsAndVectorsBothWays) {
  const auto adder = Actor(MakeAdder).Remote();
  const Bundle mine = {Put(1), {Put(2), Task(Later).Remote(20, 3)},
                       {{"x", Put(std::string("12345"))}}, adder, {{100, {adder, adder}}}};
  EXPECT_EQ(*Task(Open).Remote(mine).Get(), 1 + 2 + 3 + 5 + 1 + 101 + 201);
  const auto theirs = Task(MakeBundle).Remote(7).Get();
  EXPECT_EQ(*theirs->one.Get(), 7);
  EXPECT_EQ(*theirs->many[0].Get(), 7);
  EXPECT_EQ(*theirs->named.at("a").Get(), "four");
  EXPECT_EQ(*theirs->adder.Task(&Adder::Add).Remote(5).Get(), 5);
  EXPECT_EQ(*Task(Open).Remote(*Task(Back).Remote(*theirs).Get()).Get(),
            7 + 7 + 7 + 4 + 6 + 16);
}

TEST_F(Refs, GetOfManyGivesTheirValuesInOrderOrSaysThatOneIsLate) {
  std::vector<ObjectRef<int>> refs;
  for (int i = 0; i < 5; ++i) refs.push_back(Task(Later).Remote(i % 2 * 20, i));
  const auto values = Get(refs);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(*values[static_cast<size_t>(i)], i);
  refs.push_back(Task(Later).Remote(500, 5));
  EXPECT_THROW(Get(refs, absl::Milliseconds(20)), GetTimeout);
  EXPECT_EQ(*Get(refs, absl::Seconds(100))[5], 5);
}

TEST_F(Refs, AMessageOnItsWayHoldsWhatItsSenderHasLetGo) {
  ASSERT_TRUE(SettlesAt(0));
  ObjectRef<int> sizes[2];
  {
    // The one is passed by its value, the other stays a ref: both are dropped here at once.
    const auto large = Put(std::string(100'000, 'x'));
    sizes[0] = Task(Size).Remote(large);
    const std::vector<ObjectRef<std::string>> inside = {Put(std::string(200'000, 'y'))};
    sizes[1] = Task(SizeOfFirst).Remote(inside);
  }
  EXPECT_EQ(*sizes[0].Get(), 100'000);
  EXPECT_EQ(*sizes[1].Get(), 200'000);
  EXPECT_TRUE(SettlesAt(0)) << "and nothing holds it afterwards";
}

TEST_F(Refs, OneOfOursThatComesBackIsStillOurs) {
  ObjectRef<std::string> back;
  Array<double> half;
  {
    const std::vector<ObjectRef<std::string>> mine = {Put(std::string(100'000, 'x'))};
    back = (*Task(Same).Remote(mine).Get())[0];
    const auto array = Array<double>::Full(100'000, 1.5);
    half = *Task(Half).Remote(array).Get();
  }
  EXPECT_EQ(back.Get()->size(), 100'000u);
  EXPECT_EQ(*Task(Size).Remote(back).Get(), 100'000);
  EXPECT_EQ(Task(Half).Remote(half).Get()->size(), 25'000u) << "it can be sent on";
}

TEST_F(Refs, AViewHoldsItsBytesAfterTheLastRefHasGone) {
  ASSERT_TRUE(SettlesAt(0));
  std::shared_ptr<const Array<double>> view;
  {
    const auto ref = Put(Array<double>::Full(100'000, 2.5));
    view = ref.Get();
  }
  EXPECT_TRUE(view->AllEqual(2.5));
  EXPECT_GT(ObjectBytes(), 0u);
  view.reset();
  EXPECT_TRUE(SettlesAt(0));
}

TEST_F(Refs, BytesAndIntegersTravelInPlaceAsArrays) {
  auto bytes = Bytes::Uninitialized(1 << 20);
  for (size_t i = 0; i < bytes.size(); ++i) bytes.mutable_values()[i] = std::byte(i >> 12);
  const Bytes first = bytes.Slice(0, 1);  // shared from here on: no more to be written
  const std::byte* const data = bytes.values().data();
  const auto middle = Task(Middle).Remote(bytes).Get();
  EXPECT_EQ(middle->values().data(), data + bytes.size() / 4) << "the same memory";
  EXPECT_EQ((*middle)[0], std::byte(64));
  const std::vector<int64_t> numbers = {1, -2, int64_t{1} << 40};
  const auto array = Array<int64_t>::Of(numbers);
  EXPECT_EQ(*Task(SumOfNumbers).Remote(array).Get(), (int64_t{1} << 40) - 1);
  const std::vector<Array<int64_t>> twice = {array, array};
  EXPECT_EQ(*Task(SumOfNumbers).Remote(Array<int64_t>::Concatenate(twice)).Get(),
            (int64_t{1} << 41) - 2);
  EXPECT_TRUE(Array<int64_t>::Ones(5).AllEqual(1));
}

TEST_F(Refs, ArraysAreAddedByPlusAndInPlaceWhileTheyAreNobodyElses) {
  const auto two = Array<double>::Full(1000, 2), three = Array<double>::Full(1000, 3);
  EXPECT_TRUE((two + three).AllEqual(5));
  auto sum = Array<double>::Zeros(1000);
  for (int i = 0; i < 3; ++i) sum += three;
  EXPECT_TRUE(sum.AllEqual(9));
  EXPECT_THROW(sum += Array<double>::Ones(999), UsageError);
  const auto shared = Put(sum);
  EXPECT_THROW(sum += three, UsageError) << "others may be reading it";
  EXPECT_TRUE(shared.Get()->AllEqual(9));
}

}  // namespace
}  // namespace penstock
