// What the processes of the stress test tell each other: a log of every object, counters
// of outcomes, failures, and what each thread is at. Plain shared memory of the test's own,
// made by the driver and inherited by fork; nothing of Penstock is under it.
//
// A process may be killed between any two stores. So each step of an object is written
// into its entry before the call that takes it (promised, seal begun, delete begun) and
// after it has returned (sealed, deleted, gone), and the model believes only what stands.
#ifndef PENSTOCK_TESTS_INTEGRATION_STRESS_SHARED_LOG_H_
#define PENSTOCK_TESTS_INTEGRATION_STRESS_SHARED_LOG_H_

#include <atomic>
#include <cstdint>
#include <string>

#include <penstock/object_id.h>

namespace penstock::stress {

enum class Stage : uint32_t {
  kEmpty = 0,
  kPromised = 1,   // others know the id; a builder for it exists
  kSealBegun = 2,
  kSealed = 3,     // Seal has returned
  kAborted = 4,
};

enum class Removal : uint32_t {
  kNone = 0,
  kBegun = 1,  // somebody is about to call Delete
  kDone = 2,   // it has returned
  kGone = 3,   // and a Sync after it
};

enum Traits : uint32_t {
  kEvictable = 1,
  kBound = 2,  // goes with its maker's session
  kNamed = 4,  // its id is from a name: nobody knows that its maker died
};

struct alignas(64) Entry {
  ObjectId id;  // plain fields: written before the stage leaves kEmpty
  uint64_t seed;
  uint32_t size;
  uint32_t traits;
  std::atomic<uint32_t> stage_word;
  std::atomic<uint32_t> removal_word;

  Stage stage() const {
    return static_cast<Stage>(stage_word.load(std::memory_order_acquire));
  }
  void Advance(Stage to) {
    stage_word.store(static_cast<uint32_t>(to), std::memory_order_release);
  }
  Removal removal() const {
    return static_cast<Removal>(removal_word.load(std::memory_order_acquire));
  }
  // True for the first who asks.
  bool BeginRemoval() {
    uint32_t none = 0;
    return removal_word.compare_exchange_strong(none, static_cast<uint32_t>(Removal::kBegun));
  }
  void AdvanceRemoval(Removal to) {
    removal_word.store(static_cast<uint32_t>(to), std::memory_order_release);
  }
  bool Has(Traits trait) const { return (traits & trait) != 0; }
  // Nothing but a Delete may take it away.
  bool Durable() const { return (traits & (kEvictable | kBound)) == 0; }
};
static_assert(sizeof(Entry) == 64);

enum class Count : uint32_t {
  kOps, kSealed, kMadeBytes, kPut, kSealToView, kNamed, kBatches, kAborted, kFull, kGot,
  kWaited, kCheckedBytes, kEvicted, kDeleted, kMakerDied, kForgotten, kTimedOut, kBeforeFork,
  kForks, kForksKilled, kDeletes, kGoneChecks, kSpared, kContains, kLists, kCounts,
};
const char* NameOf(Count count);

// What a thread is at, for the report about one that hangs.
enum class Doing : uint32_t {
  kNothing, kConnect, kCreate, kSeal, kGet, kWait, kRelease, kDelete, kSync, kContains, kList,
  kFork, kCheck, kDoings,
};
const char* NameOf(Doing doing);

class alignas(64) SharedLog {
 public:
  static constexpr uint32_t kMostThreads = 1024;

  // Room for `capacity` objects. Ends the test when there is no memory.
  static SharedLog* Make(uint64_t capacity);

  // Null when the log is full.
  Entry* Append(const ObjectId& id, uint64_t seed, uint32_t size, uint32_t traits, Stage stage);
  // Entries up to here may be looked at; the last ones may still be kEmpty.
  uint64_t size() const;
  bool full() const { return size() >= capacity_; }
  Entry& operator[](uint64_t index) { return entries_[index]; }

  // The next entry that nobody has looked at to delete it; `keep` of the newest stay.
  Entry* NextToDelete(uint64_t keep);

  void Add(Count count, uint64_t n = 1) {
    counts_[static_cast<uint32_t>(count)].fetch_add(n, std::memory_order_relaxed);
  }
  uint64_t Get(Count count) const {
    return counts_[static_cast<uint32_t>(count)].load(std::memory_order_relaxed);
  }

  // Keeps the text of the first ones. Any process, any thread.
  void Fail(const std::string& what);
  uint32_t failures() const { return failures_.load(std::memory_order_acquire); }
  std::string FailureTexts() const;

  bool stopping() const { return stop_.load(std::memory_order_relaxed); }
  void Stop() { stop_.store(true, std::memory_order_relaxed); }

  void Set(uint32_t thread, Doing doing) {
    doing_[thread % kMostThreads].store(static_cast<uint32_t>(doing),
                                        std::memory_order_relaxed);
  }
  std::string WhatThreadsDo(uint32_t threads) const;

 private:
  static constexpr uint32_t kTexts = 24;
  static constexpr uint32_t kTextBytes = 512;

  explicit SharedLog(uint64_t capacity)
      : capacity_(capacity), entries_(reinterpret_cast<Entry*>(this + 1)) {}

  const uint64_t capacity_;
  Entry* const entries_;  // the same address in every process: they are all forks
  alignas(64) std::atomic<uint64_t> tail_{0};
  alignas(64) std::atomic<uint64_t> delete_cursor_{0};
  alignas(64) std::atomic<bool> stop_{false};
  std::atomic<uint32_t> failures_{0};
  alignas(64) std::atomic<uint64_t> counts_[static_cast<uint32_t>(Count::kCounts)]{};
  alignas(64) std::atomic<uint32_t> doing_[kMostThreads]{};
  char texts_[kTexts][kTextBytes]{};
};

}  // namespace penstock::stress

#endif  // PENSTOCK_TESTS_INTEGRATION_STRESS_SHARED_LOG_H_
