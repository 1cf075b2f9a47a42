// A day's trace in small: creates and deletes of sizes from 64 B to 512 KiB in a store held
// at 90%, with and without pins. Every object's bytes are compared, nothing that fits is
// refused, and little is moved.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <fmt/format.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kArena = 64 * kMiB;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kCreates = 20'000;  // what is checked is the same, the ratios are rougher
#else
constexpr uint64_t kCreates = 200'000;
#endif

struct Live {
  FakeObject object;
  uint64_t seed = 0;
  bool pinned = false;
};

class Churn {
 public:
  Churn(double pinned, uint64_t seed)
      : pinned_(pinned), random_(seed), store_({.slots = 16384, .arena_bytes = kArena}),
        maker_(store_.Open()), reader_(store_.Open()) {}

  void Run(uint64_t creates) {
    for (uint64_t i = 0; i < creates && !::testing::Test::HasFailure(); ++i) {
      Create();
      if (i % 16 == 0) CompareOne();
      if (i % 5000 == 0) store_.core().CheckInvariants();
    }
    for (const Live& live : live_) Compare(live);
    store_.core().CheckInvariants();
  }

  CoreStats Stats() { return store_.core().Stats(); }
  uint64_t refusals() const { return refusals_; }
  uint64_t allocated_bytes() const { return allocated_bytes_; }
  uint64_t most_turns() const { return most_turns_; }
  double Waste() const {
    return 1 - static_cast<double>(payload_bytes_) / static_cast<double>(allocated_bytes_);
  }

 private:
  // Log-uniform.
  uint64_t Size() {
    const double power = std::uniform_real_distribution<double>(6, 19)(random_);
    return static_cast<uint64_t>(std::exp2(power));
  }
  void Create() {
    const uint64_t size = Size();
    const uint64_t block = BlockBytes(size);
    while (Stats().free_bytes < block + kArena / 10) DeleteOne();
    const uint32_t request = maker_.Ask(LeaseRecord(block));
    uint64_t turns = 0;
    do store_.core().Turn(); while (++turns < 3 || store_.core().IsCompacting());
    most_turns_ = std::max(most_turns_, turns);
    const auto answer = maker_.Answer(request);
    if (!answer) {
      ++refusals_;
      Submission cancel{};
      cancel.op = SubmissionOp::kCancel;
      cancel.request = request;
      maker_.Push(cancel);
      store_.core().Turn();
      return;
    }
    payload_bytes_ += size;
    allocated_bytes_ += block;
    ASSERT_EQ(LeaseIn(*answer).offset % BlockAlignment(block), 0u);
    Live live{{maker_.NextId(), LeaseIn(*answer), size}, random_(), false};
    const auto target = store_.Bytes(live.object.lease.offset, size);
    for (size_t at = 0; at < size; at += 8) {
      const uint64_t word = WordAt(live.seed, at);
      std::memcpy(target.data() + at, &word, std::min<size_t>(8, size - at));
    }
    maker_.Push(SealRecord(live.object.lease, live.object.id, size));
    store_.core().Turn();
    if (std::uniform_real_distribution<double>(0, 1)(random_) < pinned_) {
      live.pinned = reader_.TryPin(live.object.id).has_value();
      ASSERT_TRUE(live.pinned);
      offsets_[live.object.lease.slot] = OffsetOf(live);
    }
    live_.push_back(live);
  }
  uint64_t OffsetOf(const Live& live) {
    return store_.index().slot(live.object.lease.slot).offset;
  }
  void DeleteOne() {
    std::swap(live_[random_() % live_.size()], live_.back());
    const Live live = live_.back();
    live_.pop_back();
    if (random_() % 4 == 0) Compare(live);
    if (live.pinned) reader_.Unpin(live.object.lease.slot);
    maker_.Push(SlotRecord(SubmissionOp::kDelete, live.object.lease.slot,
                           live.object.lease.generation));
    store_.core().Turn();
  }
  // What an object has at a place, of no other object or place.
  static uint64_t WordAt(uint64_t seed, uint64_t at) {
    return (seed + at) * 0x9e3779b97f4a7c15u;
  }
  void CompareOne() { Compare(live_[random_() % live_.size()]); }
  void Compare(const Live& live) {
    const uint32_t slot = live.object.lease.slot;
    ASSERT_EQ(store_.GenerationOfSlot(slot), live.object.lease.generation);
    if (live.pinned) {
      ASSERT_EQ(OffsetOf(live), offsets_[slot]) << "moved under a pin";
    }
    ASSERT_EQ(OffsetOf(live) % BlockAlignment(BlockBytes(live.object.size)), 0u);
    const auto source = store_.Bytes(OffsetOf(live), live.object.size);
    bool same = true;
    for (size_t at = 0; at < live.object.size; at += 8) {
      const uint64_t word = WordAt(live.seed, at);
      same = same && std::memcmp(source.data() + at, &word,
                                 std::min<size_t>(8, live.object.size - at)) == 0;
    }
    ASSERT_TRUE(same) << "slot " << slot << " of " << live.object.size << " bytes";
  }

  const double pinned_;
  std::mt19937_64 random_;
  FakeStore store_;
  FakeClient& maker_;
  FakeClient& reader_;
  std::vector<Live> live_;
  std::map<uint32_t, uint64_t> offsets_;  // of pinned objects, by slot
  uint64_t refusals_ = 0;
  uint64_t payload_bytes_ = 0;
  uint64_t allocated_bytes_ = 0;
  uint64_t most_turns_ = 0;
};

void RunAndExpect(double pinned, double most_refused, double most_moved) {
  Churn churn(pinned, /*seed=*/20);
  churn.Run(kCreates);
  const CoreStats stats = churn.Stats();
  const double moved =
      static_cast<double>(stats.moved_bytes) / static_cast<double>(churn.allocated_bytes());
  std::cout << fmt::format(
      "pinned {}: {} refused of {}, {:.4f} moved per byte allocated, {:.4f} waste, {} windows, "
      "{} given up, {} turns at most\n", pinned, churn.refusals(), kCreates, moved,
      churn.Waste(), stats.compactions, stats.given_up, churn.most_turns());
  EXPECT_LE(static_cast<double>(churn.refusals()), most_refused * kCreates);
  EXPECT_LE(moved, most_moved);
  EXPECT_LE(churn.Waste(), 0.02);
  EXPECT_GT(stats.moved_objects, kCreates / 200);
  EXPECT_EQ(stats.evicted, 0u);
}

TEST(CoreChurn, NothingThatFitsIsRefusedAndLittleMovesWhenNobodyPins) {
  RunAndExpect(0, 1.0 / 10000, 0.05);
}

TEST(CoreChurn, FewAreRefusedAndNoPinnedObjectMovesWhenAFifthIsPinned) {
  RunAndExpect(0.2, 1.0 / 1000, 0.1);
}

}  // namespace
}  // namespace penstock::testing
