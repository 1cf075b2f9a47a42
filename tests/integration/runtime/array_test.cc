// Arrays as values, and the parameter server on them.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <penstock/array_value.h>
#include <penstock/client.h>
#include <penstock/parameter_server.h>
#include <penstock/runtime.h>

#include "absl/time/clock.h"

namespace penstock {
namespace {

using Doubles = Array<double>;

// Where in the arena this byte lies, whatever address this process sees it at; ~0 elsewhere.
uint64_t ArenaOffset(const void* address) {
  const auto wanted = reinterpret_cast<uint64_t>(address);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long long begin = 0, end = 0, offset = 0;
    if (sscanf(line.c_str(), "%llx-%llx %*s %llx", &begin, &end, &offset) == 3 &&
        begin <= wanted && wanted < end) {
      return line.find("penstock-arena") == std::string::npos ? ~uint64_t{0}
                                                              : offset + (wanted - begin);
    }
  }
  return ~uint64_t{0};
}
uint64_t OffsetThere(Doubles array) { return ArenaOffset(array.values().data()); }

double SumOf(Doubles array) {
  double sum = 0;
  for (const double value : array.values()) sum += value;
  return sum;
}
Doubles Through(Doubles array) { return array; }
Doubles SecondHalf(Doubles array) { return array.Slice(array.size() / 2, array.size() / 2); }
std::vector<Doubles> Pieces(Doubles array, int parts) {
  return array.Split(static_cast<size_t>(parts));
}
Doubles Plus(Doubles a, Doubles b) { return Doubles::Sum(a, std::vector<Doubles>{b}); }
float FirstFloat(Array<float> array) { return array[0]; }
int Updates(ParameterServer server, uint64_t count, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const auto views = server.Views();
    for (const auto& view : views) {
      // Never half an update: all elements of a version are equal.
      if (!view.AllEqual(view[0])) return -1;
    }
    server.Update(Doubles::Ones(count));
  }
  server.Views();
  return rounds;
}
Doubles Gradient(std::vector<Doubles> views) {
  const auto whole = Doubles::Concatenate(views);
  return Doubles::ScaleAdd(whole, 0.5, 1);
}
PENSTOCK_REMOTE(OffsetThere, Gradient, SumOf, Through, SecondHalf, Pieces, Plus, FirstFloat,
                Updates);

class Arrays : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { info_ = Init({.num_cpus = 2, .memory = 256 << 20}); }
  static void TearDownTestSuite() { Shutdown(); }
  static uint64_t Counter(const char* name) {
    return QueryStatus(info_.session_dir)->Counter(name);
  }
  static ClusterInfo info_;
};
ClusterInfo Arrays::info_;

TEST_F(Arrays, AreMadeAndReadInPlace) {
  auto array = Doubles::Zeros(1000);
  array.mutable_values()[7] = 35;
  EXPECT_EQ(*Task(SumOf).Remote(array).Get(), 35);
  EXPECT_EQ(*Task(SumOf).Remote(Doubles::Ones(5000)).Get(), 5000);
  EXPECT_EQ(*Task(SumOf).Remote(Doubles()).Get(), 0);
  const auto sum = Task(Plus).Remote(Doubles::Full(100, 2), Doubles::Full(100, 3));
  EXPECT_TRUE(sum.Get()->AllEqual(5));
  EXPECT_EQ(*Task(SumOf).Remote(sum).Get(), 500);
}

TEST_F(Arrays, AreNotCopiedOnTheirWayThereAndBack) {
  constexpr size_t kCount = 12'500'000;  // 100 MB of a store of 256 MiB
  auto array = Doubles::Uninitialized(kCount);
  for (size_t i = 0; i < kCount; ++i) array.mutable_values()[i] = static_cast<double>(i);
  const auto ref = Put(array);
  // Settled: what was sealed is counted.
  const auto settled = [] {
    return Counter("object_bytes") >= kCount * sizeof(double);
  };
  for (int i = 0; i < 1000 && !settled(); ++i) absl::SleepFor(absl::Milliseconds(1));
  const uint64_t before = Counter("object_bytes");
  const double* const data = array.values().data();
  const auto half = Task(SecondHalf).Remote(ref).Get();
  EXPECT_EQ(half->values().data(), data + kCount / 2) << "the same memory, seen from here";
  const uint64_t offset = ArenaOffset(data);
  ASSERT_NE(offset, ~uint64_t{0}) << "an array lies in the arena";
  EXPECT_EQ(*Task(OffsetThere).Remote(ref).Get(), offset) << "and seen from there";
  EXPECT_EQ(*Task(OffsetThere).Remote(*half).Get(), offset + kCount / 2 * sizeof(double));
  EXPECT_EQ(*Task(OffsetThere).Remote(array.Slice(8, 8)).Get(), offset + 8 * sizeof(double));
  EXPECT_EQ((*half)[0], kCount / 2);
  const auto pieces = Task(Pieces).Remote(array, 8).Get();
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ((*pieces)[i].values().data(), data + i * kCount / 8);
  }
  EXPECT_EQ(Task(Through).Remote(*half).Get()->values().data(), half->values().data());
  EXPECT_EQ(Counter("object_bytes"), before);
}

TEST_F(Arrays, StandStillOnceShared) {
  auto array = Doubles::Ones(10);
  array.mutable_values()[0] = 2;
  const auto piece = array.Slice(0, 1);
  EXPECT_THROW(array.mutable_values(), UsageError);
  EXPECT_EQ(piece[0], 2);
}

TEST_F(Arrays, LeaveTheStoreWithTheirLastHandle) {
  for (int i = 0; i < 40; ++i) {
    const auto array = Doubles::Full(1 << 20, i);  // 8 MiB, 320 in all
    const auto back = Task(Through).Remote(array).Get();
    ASSERT_TRUE(back->AllEqual(i));
  }
}

TEST_F(Arrays, WrongUsesSayWhatWasWrong) {
  const auto array = Doubles::Ones(10);
  EXPECT_THROW(array.Split(3), UsageError);
  EXPECT_THROW(array.Slice(8, 3), UsageError);
  EXPECT_THROW(Doubles::Sum(array, std::vector<Doubles>{Doubles::Ones(9)}), UsageError);
  EXPECT_THROW(ParameterServer(10, 3), UsageError);
  msgpack::sbuffer buffer;
  EXPECT_THROW(msgpack::pack(buffer, array), UsageError);
}

TEST_F(Arrays, ElementwisePassesGiveWhatLoopsGive) {
  const auto x = Doubles::Full(1001, 3);
  EXPECT_TRUE(Doubles::ScaleAdd(x, 1e-3, 1).AllEqual(1e-3 * 3 + 1));
  const std::vector<Doubles> parts = {Doubles::Ones(3), Doubles::Zeros(2)};
  const auto whole = Doubles::Concatenate(parts);
  EXPECT_EQ(std::vector<double>(whole.values().begin(), whole.values().end()),
            (std::vector<double>{1, 1, 1, 0, 0}));
}

TEST_F(Arrays, TheParameterServerCountsEveryUpdateOnceAndNeverShowsHalfOfOne) {
  constexpr uint64_t kCount = 100'000;
  const ParameterServer server(kCount, 2);
  std::vector<ObjectRef<int>> workers;
  for (int i = 0; i < 3; ++i) workers.push_back(Task(Updates).Remote(server, kCount, 20));
  for (const auto& worker : workers) EXPECT_EQ(*worker.Get(), 20);
  EXPECT_TRUE(server.Contiguous().AllEqual(60));
  EXPECT_EQ(server.Contiguous().size(), kCount);
}

TEST_F(Arrays, SynchronousRoundsMakeOneVersionEachOfAllUpdates) {
  ParameterServer server(1000, 2, 2.0);
  double expected = 2;
  for (int round = 0; round < 4; ++round) {
    const auto views = server.Views();
    std::vector<ObjectRef<Doubles>> updates;
    for (int i = 0; i < 3; ++i) updates.push_back(Task(Gradient).Remote(views));
    server.UpdateTogether(updates);
    expected += 3 * (0.5 * expected + 1);
    ASSERT_TRUE(server.Contiguous().AllEqual(expected)) << "round " << round;
  }
  const std::vector<ObjectRef<Doubles>> wrong = {Put(Doubles::Ones(1000)),
                                                 Put(Doubles::Ones(998))};
  EXPECT_THROW(server.UpdateTogether(wrong), TaskFailed);
  EXPECT_TRUE(server.Contiguous().AllEqual(expected)) << "all of a round or nothing";
}

TEST_F(Arrays, AReaderOfAnOldVersionIsUndisturbedAndUpdatesAreFused) {
  constexpr uint64_t kCount = 10'000;
  const auto shard = Actor(MakeParameterShard).Remote(kCount, 1.0);
  const auto old = shard.Task(&ParameterShard::GetParameters).Remote().Get();
  for (int i = 0; i < 3; ++i) {
    shard.Task(&ParameterShard::Update).Remote(Doubles::Full(kCount, 10)).Get();
  }
  const auto now = shard.Task(&ParameterShard::GetParameters).Remote().Get();
  EXPECT_TRUE(old->AllEqual(1));
  EXPECT_TRUE(now->AllEqual(31));
  EXPECT_NE(old->values().data(), now->values().data());
  EXPECT_EQ(*shard.Task(&ParameterShard::Updates).Remote().Get(), 3u);
  EXPECT_EQ(*shard.Task(&ParameterShard::Versions).Remote().Get(), 1u) << "three in one pass";
  EXPECT_THROW(shard.Task(&ParameterShard::Update).Remote(Doubles::Ones(kCount + 1)).Get(),
               TaskFailed);
  EXPECT_EQ(shard.Task(&ParameterShard::GetParameters).Remote().Get()->values().data(),
            now->values().data()) << "without an update no new version, and no copy";
}

}  // namespace
}  // namespace penstock
