// Whatever a caller gives to any public function, the call ends within its deadline and a
// second, in an outcome or in an error of docs/limits.md, and costs nobody else anything.
//
// Threads draw decks of calls, each function as often as its weight says, with values at, below
// and beyond every limit, on stores that are too small for them. A failure prints its seed;
// PENSTOCK_TEST_SEED draws the same values again (threads meet in another order, though).
// PENSTOCK_TEST_LONG draws five times as many.
#include <sys/random.h>

#include <cstdlib>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "store/base/units.h"
#include "tests/integration/draws/ender.h"
#include "tests/integration/draws/hand.h"
#include "tests/integration/helpers.h"

namespace penstock::draws {
namespace {

using absl::StatusCode;

constexpr uint64_t kLeastOfEach = 1000;
constexpr uint64_t kLeastOfAll = 200'000;
// Under a sanitizer a draw takes 10 to 20 times as long.
constexpr uint64_t kShare = testing::kSanitized ? 20 : 1;
constexpr size_t kThreads = 4;
// Then it goes on no longer: the first ones say enough.
constexpr uint64_t kMostFaults = 20;

bool IsLong() { return std::getenv("PENSTOCK_TEST_LONG") != nullptr; }

uint64_t Seed() {
  uint64_t seed = 0;
  if (const char* const chosen = std::getenv("PENSTOCK_TEST_SEED");
      chosen != nullptr && absl::SimpleAtoi(chosen, &seed)) {
    return seed;
  }
  if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) testing::GiveUp("getrandom");
  return seed % 1'000'000'000;
}

Calls AllCalls() {
  Calls all;
  for (const Calls& some :
       {MakingCalls(), ReadingCalls(), HandleCalls(), ArrayCalls(), ValueCalls()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::vector<size_t> DeckOf(const Calls& calls) {
  std::vector<size_t> deck;
  for (size_t i = 0; i < calls.size(); ++i) deck.insert(deck.end(), calls[i].weight, i);
  return deck;
}

class Draws : public ::testing::Test {
 protected:
  Draws() {
    fmt::print(stderr, "PENSTOCK_TEST_SEED={}\n", seed_);
    Watch::TellOfCrashes();
  }

  void DrawDecksOf(Hand& hand, uint64_t decks) const {
    for (uint64_t dealt = 0; dealt < decks && watch_.faults() < kMostFaults; ++dealt) {
      std::vector<size_t> shuffled = DeckOf(calls_);
      for (size_t at = shuffled.size(); at > 1; --at) {
        std::swap(shuffled[at - 1], shuffled[hand.dice.Roll(at)]);
      }
      for (const size_t which : shuffled) hand.Draw(calls_[which]);
      hand.TidyUp();
    }
  }

  // In each thread, on one store.
  void DrawDecksOn(Store& store, uint64_t number, uint64_t decks) {
    watch_.SetDaemon(store.daemon().daemon_pid());
    std::vector<Tally> tallies(kThreads);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        Hand hand(store, watch_, seed_ * 1000 + number * 100 + i);
        DrawDecksOf(hand, decks);
        tallies[i] = hand.tally();
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Tally& tally : tallies) tally_.Add(tally);
  }

  const uint64_t seed_ = Seed();
  const Calls calls_ = AllCalls();
  Tally tally_;
  Watch watch_{seed_};
};

TEST_F(Draws, OfAnyValuesEndInTimeAndWithAnErrorOfTheirOwnIfAny) {
  const testing::TempDir disk;
  const std::vector<std::vector<std::string>> stores = {
      {"--objects", "1024"},
      {"--objects", "1024", "--spill-dir", disk.path(), "--spill-limit", "64MiB"},
      {"--client-quota", "2MiB"}};
  // Some draws come to no call, for want of an array in a full store.
  const uint64_t in_a_deck = DeckOf(calls_).size() * 95 / 100;
  const uint64_t least_decks = std::max(kLeastOfEach * 5 / 4, kLeastOfAll / in_a_deck + 1);
  const uint64_t threads = stores.size() * kThreads;
  const uint64_t decks = least_decks * (IsLong() ? 5 : 1) / kShare / threads + 1;
  for (size_t i = 0; i < stores.size(); ++i) {
    Store store(8 * kMiB, stores[i]);
    setenv("PENSTOCK_DIR", store.dir().c_str(), 1);
    DrawDecksOn(store, i, decks);
    EXPECT_EQ(store.WhatIsLeft(), "");
  }
  fmt::print("{} draws\n{}", tally_.draws(), tally_.Table(calls_));
  ASSERT_EQ(watch_.faults(), 0u) << watch_.FirstFaults();
  EXPECT_GE(tally_.draws(), kLeastOfAll / kShare);
  for (const Call& call : calls_) {
    EXPECT_GE(tally_.DrawsOf(call), kLeastOfEach / kShare) << call.name;
    EXPECT_GT(tally_.GoodOf(call), 0u) << call.name;
  }
}

TEST_F(Draws, WithoutAnEndEndWhenWhatTheyWaitForComes) {
  Store store(8 * kMiB, {"--objects", "4096"});
  watch_.SetDaemon(store.daemon().daemon_pid());
  setenv("PENSTOCK_DIR", store.dir().c_str(), 1);
  const Calls waiting = WaitingCalls(calls_);
  const uint64_t rounds = (IsLong() ? 50 : 10) / (testing::kSanitized ? 2 : 1);
  const Tally tally = DrawWithEnder(store, watch_, waiting, seed_, rounds);
  fmt::print("{} draws waited for an end\n", tally.draws());
  EXPECT_EQ(watch_.faults(), 0u) << watch_.FirstFaults();
  for (const Call& call : waiting) {
    fmt::print("  {:<24}{:>8}\n", call.name, tally.DrawsOf(call));
    EXPECT_GT(tally.DrawsOf(call), 0u) << call.name;
  }
  EXPECT_EQ(store.WhatIsLeft(), "");
}

// What the client of a dead daemon still has: views, builders, a subscription.
TEST_F(Draws, OfAClientWhoseDaemonIsGoneEndInTimeAndSaySo) {
  Store store(8 * kMiB, {});
  setenv("PENSTOCK_DIR", store.dir().c_str(), 1);
  Hand hand(store, watch_, seed_);
  DrawDecksOf(hand, 2);
  store.daemon().KillBoth();
  hand.ExpectEnds({StatusCode::kUnavailable, StatusCode::kNotFound});
  DrawDecksOf(hand, 5);
  store.daemon().Restart();
  DrawDecksOf(hand, 5);
  EXPECT_EQ(watch_.faults(), 0u) << watch_.FirstFaults();
}

// A child has its parent's handles, and none of its threads.
TEST_F(Draws, InTheChildOfAForkEndInTimeAndLeaveTheParentItsHandles) {
  Store store(8 * kMiB, {});
  setenv("PENSTOCK_DIR", store.dir().c_str(), 1);
  {
    Hand hand(store, watch_, seed_);
    DrawDecksOf(hand, 2);
    const int code = testing::RunInChild([&] {
      Watch watch(seed_);
      Hand child(store, watch, seed_ + 1);
      child.TakeHandlesOf(hand);
      child.ExpectEnds({StatusCode::kFailedPrecondition, StatusCode::kUnavailable});
      DrawDecksOf(child, 3);
      if (watch.faults() != 0) fmt::print(stderr, "in a child: {}", watch.FirstFaults());
      return watch.faults() == 0 ? 0 : 1;
    });
    EXPECT_EQ(code, 0);
    DrawDecksOf(hand, 2);
    EXPECT_EQ(watch_.faults(), 0u) << watch_.FirstFaults();
  }
  EXPECT_EQ(store.WhatIsLeft(), "");
}

}  // namespace
}  // namespace penstock::draws
