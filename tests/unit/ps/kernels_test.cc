// Every kernel set gives the same bits as a plain loop, at every size and alignment, and
// writes nothing beside its output.
#include "runtime/ps/kernels.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "store/base/streaming_copy.h"

namespace penstock::ps {
namespace {

constexpr size_t kMargin = 64;  // elements on either side that must stay as they are

// An array at `offset` elements above a multiple of 64 bytes, with guarded margins.
template <typename T>
class Guarded {
 public:
  Guarded(size_t count, size_t offset)
      : memory_(count + 2 * kMargin + 64 / sizeof(T) + offset, kGuard), count_(count) {
    const size_t misaligned = reinterpret_cast<uintptr_t>(memory_.data()) % 64;
    start_ = (64 - misaligned) % 64 / sizeof(T) + kMargin + offset;
  }

  std::span<T> values() { return std::span(memory_).subspan(start_, count_); }
  void Randomize(std::mt19937_64& random) {
    // Of very different sizes, so that another order of additions shows.
    std::uniform_real_distribution<T> mantissa(-1, 1);
    std::uniform_int_distribution<int> exponent(-20, 20);
    for (T& value : values()) value = std::ldexp(mantissa(random), exponent(random));
  }
  bool MarginsAreIntact() const {
    for (size_t i = 0; i < memory_.size(); ++i) {
      if ((i < start_ || i >= start_ + count_) && memory_[i] != kGuard) return false;
    }
    return true;
  }

 private:
  static constexpr T kGuard = T{-12345.5};
  std::vector<T> memory_;
  size_t start_ = 0;
  size_t count_;
};

template <typename T>
bool SameBits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

template <typename T>
std::vector<T> PlainSum(std::span<const T> base, std::span<const T* const> updates) {
  std::vector<T> sums(base.begin(), base.end());
  for (const T* update : updates) {
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += update[i];
  }
  return sums;
}

template <typename T>
std::vector<T> PlainScaleAdd(std::span<const T> x, T a, T b) {
  std::vector<T> results;
  for (const T value : x) {
    const volatile T product = a * value;  // rounded before the addition
    results.push_back(product + b);
  }
  return results;
}

template <typename T>
struct Case {
  size_t count;
  size_t offset;         // of the output
  size_t input_offset;   // of the first input; others follow by 3
  size_t updates_count;
};

template <typename T>
void ExpectPlainResults(const KernelSet<T>& set, Stores stores, const Case<T>& one,
                        std::mt19937_64& random) {
  Guarded<T> base(one.count, one.input_offset);
  base.Randomize(random);
  const std::span<const T> inputs = base.values();
  std::vector<Guarded<T>> updates;
  std::vector<const T*> pointers;
  for (size_t k = 0; k < one.updates_count; ++k) {
    updates.emplace_back(one.count, (one.input_offset + 3 * k) % 16).Randomize(random);
  }
  for (Guarded<T>& update : updates) pointers.push_back(update.values().data());
  Guarded<T> out(one.count, one.offset);

  set.add_updates(out.values().data(), inputs.data(), pointers.data(), pointers.size(),
                  one.count, stores);
  ASSERT_TRUE(SameBits<T>(out.values(), PlainSum<T>(inputs, pointers))) << "add_updates";
  ASSERT_TRUE(out.MarginsAreIntact()) << "add_updates";

  const T a = inputs.empty() ? T{2} : inputs[0] / T{3};
  set.scale_add(out.values().data(), inputs.data(), one.count, a, T{1}, stores);
  ASSERT_TRUE(SameBits<T>(out.values(), PlainScaleAdd<T>(inputs, a, T{1}))) << "scale_add";
  ASSERT_TRUE(out.MarginsAreIntact()) << "scale_add";

  set.fill(out.values().data(), one.count, T{0.1f}, stores);
  ASSERT_TRUE(SameBits<T>(out.values(), std::vector<T>(one.count, T{0.1f}))) << "fill";
  ASSERT_TRUE(out.MarginsAreIntact()) << "fill";
  ASSERT_TRUE(set.all_equal(out.values().data(), one.count, T{0.1f}));
}

template <typename T>
class Kernels : public ::testing::Test {};
using Elements = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Kernels, Elements);

constexpr Stores kBothStores[] = {Stores::kCached, Stores::kStreaming};
const char* NameOf(Stores stores) {
  return stores == Stores::kCached ? "cached" : "streaming";
}

TYPED_TEST(Kernels, GiveThePlainLoopsBitsForSmallSizesAtEveryAlignment) {
  using T = TypeParam;
  std::mt19937_64 random(1);
  for (const KernelSet<T>& set : KernelSets<T>()) {
    for (const Stores stores : kBothStores) {
      for (size_t offset = 0; offset < 64 / sizeof(T); ++offset) {
        for (size_t count = 0; count < 140; count += count < 40 ? 1 : 7) {
          SCOPED_TRACE(::testing::Message() << set.name << " " << NameOf(stores) << ", " << count
                                          << " elements at +" << offset);
          ASSERT_NO_FATAL_FAILURE(ExpectPlainResults<T>(
              set, stores, {count, offset, (5 * offset) % 16, 1 + count % 3}, random));
        }
      }
    }
  }
}

TYPED_TEST(Kernels, GiveThePlainLoopsBitsForAnyNumberOfUpdates) {
  using T = TypeParam;
  std::mt19937_64 random(2);
  for (const KernelSet<T>& set : KernelSets<T>()) {
    for (const Stores stores : kBothStores) {
      for (const size_t updates_count : {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 40}) {
        SCOPED_TRACE(::testing::Message() << set.name << " " << NameOf(stores) << ", "
                                        << updates_count << " updates");
        ASSERT_NO_FATAL_FAILURE(
            ExpectPlainResults<T>(set, stores, {1009, 3, 0, updates_count}, random));
      }
    }
  }
}

// Around the four places of 64 KiB that are visited in turn.
TYPED_TEST(Kernels, GiveThePlainLoopsBitsAroundTheirBlocks) {
  using T = TypeParam;
  std::mt19937_64 random(3);
  constexpr size_t kBlock = (size_t{256} << 10) / sizeof(T);
  for (const KernelSet<T>& set : KernelSets<T>()) {
    for (const size_t count : {kBlock / 2 - 1, kBlock / 2, kBlock - 1, kBlock, kBlock + 1,
                               2 * kBlock + 4097}) {
      for (const size_t offset : {size_t{0}, size_t{1}, 64 / sizeof(T) - 1}) {
        SCOPED_TRACE(::testing::Message() << set.name << ", " << count << " elements at +"
                                        << offset);
        ASSERT_NO_FATAL_FAILURE(ExpectPlainResults<T>(set, Stores::kStreaming,
                                                      {count, offset, offset, 2}, random));
      }
    }
  }
}

TYPED_TEST(Kernels, MayWriteOverTheirInput) {
  using T = TypeParam;
  std::mt19937_64 random(4);
  for (const KernelSet<T>& set : KernelSets<T>()) {
    for (const Stores stores : kBothStores) {
      for (const size_t count : {size_t{1003}, size_t{200'003}}) {
        SCOPED_TRACE(::testing::Message() << set.name << " " << NameOf(stores) << " " << count);
        Guarded<T> base(count, 1);
        base.Randomize(random);
        const T* update = base.values().data();
        std::vector<T> expected = PlainSum<T>(base.values(), {&update, 1});
        set.add_updates(base.values().data(), base.values().data(), &update, 1, count, stores);
        ASSERT_TRUE(SameBits<T>(base.values(), expected));
        expected = PlainScaleAdd<T>(base.values(), T{3}, T{1});
        set.scale_add(base.values().data(), base.values().data(), count, T{3}, T{1}, stores);
        ASSERT_TRUE(SameBits<T>(base.values(), expected));
      }
    }
  }
}

TYPED_TEST(Kernels, FindTheOneElementThatDiffers) {
  using T = TypeParam;
  constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
  for (const KernelSet<T>& set : KernelSets<T>()) {
    for (const size_t count : {1, 2, 31, 64, 65, 300}) {
      std::vector<T> values(count, T{7});
      ASSERT_TRUE(set.all_equal(values.data(), count, T{7}));
      for (size_t i = 0; i < count; ++i) {
        values[i] = std::nextafter(T{7}, T{8});
        ASSERT_FALSE(set.all_equal(values.data(), count, T{7})) << set.name << " at " << i;
        values[i] = kNan;
        ASSERT_FALSE(set.all_equal(values.data(), count, T{7})) << set.name << " at " << i;
        values[i] = T{7};
      }
      std::vector<T> zeros(count, T{0});
      EXPECT_TRUE(set.all_equal(zeros.data(), count, -T{0}));
      std::vector<T> nans(count, kNan);
      EXPECT_FALSE(set.all_equal(nans.data(), count, kNan));
    }
    EXPECT_TRUE(set.all_equal(nullptr, 0, T{1}));
  }
}

TYPED_TEST(Kernels, AreChosenForOutputsBelowAndAboveTheCachesSize) {
  using T = TypeParam;
  std::mt19937_64 random(5);
  const size_t kLimit = StreamingBytes() / sizeof(T);
  for (const size_t count : {size_t{0}, size_t{5}, kLimit - 1, kLimit, 3 * kLimit + 7}) {
    SCOPED_TRACE(count);
    Guarded<T> base(count, 0);
    Guarded<T> update(count, 2);
    Guarded<T> out(count, 0);
    base.Randomize(random);
    update.Randomize(random);
    const T* updates[] = {update.values().data(), base.values().data()};
    AddUpdates<T>(out.values(), base.values(), updates);
    EXPECT_TRUE(SameBits<T>(out.values(), PlainSum<T>(base.values(), updates)));
    ScaleAdd<T>(out.values(), base.values(), T{0.001f}, T{1});
    EXPECT_TRUE(SameBits<T>(out.values(), PlainScaleAdd<T>(base.values(), T{0.001f}, T{1})));
    Fill<T>(out.values(), T{4});
    EXPECT_TRUE(AllEqual<T>(out.values(), T{4}));
    EXPECT_TRUE(out.MarginsAreIntact());
  }
}

TYPED_TEST(Kernels, GatherPutsPartsOneAfterTheOther) {
  using T = TypeParam;
  std::mt19937_64 random(6);
  const std::vector<std::vector<size_t>> shapes = {
      {}, {0}, {1}, {3, 0, 5}, {100'000, 100'001}, {7, 50'000, 1, 0, 20'000, 9}};
  for (const std::vector<size_t>& counts : shapes) {
    std::vector<std::vector<T>> owned;
    std::vector<T> expected;
    for (const size_t count : counts) {
      Guarded<T> part(count, 0);
      part.Randomize(random);
      owned.emplace_back(part.values().begin(), part.values().end());
      expected.insert(expected.end(), owned.back().begin(), owned.back().end());
    }
    const std::vector<std::span<const T>> parts(owned.begin(), owned.end());
    Guarded<T> out(expected.size(), 1);
    Gather<T>(out.values(), parts);
    EXPECT_TRUE(SameBits<T>(out.values(), expected)) << counts.size() << " parts";
    EXPECT_TRUE(out.MarginsAreIntact());
  }
}

TEST(KernelsDeathTest, AWrongNumberOfElementsIsABugAndAborts) {
  std::vector<double> three(3), four(4);
  const std::span<const double> part(four);
  const double* update = four.data();
  EXPECT_DEATH(AddUpdates<double>(four, three, {&update, 1}), "base has 3 elements");
  EXPECT_DEATH(ScaleAdd<double>(four, three, 1.0, 1.0), "x has 3 elements");
  EXPECT_DEATH(Gather<double>(three, {&part, 1}), "more elements than the output");
}

}  // namespace
}  // namespace penstock::ps
