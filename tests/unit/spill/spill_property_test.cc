// Random operations with random faults against a plain model. A failure prints its seed;
// PENSTOCK_TEST_SEED runs that one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include <fmt/format.h>

#include "tests/unit/spill/faulty_disk.h"
#include "tests/unit/spill/spill_world.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kFileBytes = 2 * kMiB;

class Sequence {
 public:
  explicit Sequence(unsigned seed)
      : random_(seed), trouble_(std::make_shared<DiskTrouble>()),
        world_({.limit_bytes = seed % 3 == 0 ? 24 * kMiB : 0, .file_bytes = kFileBytes},
               seed % 4 == 0 ? 40 : 400) {
    world_.Open(FaultyDisk::Make(trouble_));
  }

  void Step() {
    switch (random_() % 16) {
      case 0: Trouble(); break;
      case 1: case 2: case 3: case 4: case 5: case 6: Write(); break;
      case 7: case 8: case 9: Read(); break;
      case 10: case 11: case 12: case 13: Drop(); break;
      case 14: if (random_() % 8 == 0) Restart(); break;
      default: Finish(random_() % 10);
    }
    if (asked_.size() > 60) Finish(30);
  }

  void End() {
    Calm();
    Finish(asked_.size());
    for (const auto& [number, kept] : live_) world_.ExpectWhole(kept);
    world_.Settle([](const SpillStats& stats) { return !stats.moving; });
    EXPECT_EQ(world_.store->Stats().live_objects, live_.size());
    for (const auto& [number, kept] : live_) world_.Drop(kept);
    world_.Settle([](const SpillStats& stats) { return stats.files == 0; });
    EXPECT_TRUE(world_.directory.SpillFiles().empty());
  }

 private:
  struct Asked {
    KeptObject object;
    bool is_write = false;
    std::vector<std::byte> bytes;
  };

  void Write() {
    const uint64_t number = next_number_++;
    const uint64_t bytes = random_() % 5 == 0 ? random_() % 1'500'000 : random_() % 30'000;
    const uint64_t ticket = world_.NextTicket();
    Asked& asked = asked_[ticket];
    asked = {{kNoSpillHandle, SpillWorld::ObjectOf(number, bytes), number, bytes}, true,
             BytesOf(number, bytes)};
    world_.store->Write(ticket, asked.object.object, asked.bytes);
  }
  void Read() {
    if (live_.empty()) return;
    const KeptObject kept = Any()->second;
    const uint64_t ticket = world_.NextTicket();
    Asked& asked = asked_[ticket];
    asked = {kept, false, std::vector<std::byte>(kept.bytes)};
    world_.store->Read(ticket, kept.handle, asked.bytes);
  }
  void Drop() {
    if (live_.empty()) return;
    const auto victim = Any();
    world_.Drop(victim->second);
    live_.erase(victim);
  }
  void Finish(size_t count) {
    for (; count > 0 && !asked_.empty(); --count) {
      const auto next = asked_.begin();
      const SpillDone done = world_.Await(next->first);
      const Asked& asked = next->second;
      if (done.fault == SpillFault::kNone && asked.is_write) {
        live_[asked.object.number] = asked.object;
        live_[asked.object.number].handle = done.handle;
      } else if (done.fault == SpillFault::kNone) {
        EXPECT_TRUE(AreBytesOf(asked.object.number, asked.bytes));
      } else {
        // Each fault has a cause that this run made.
        EXPECT_TRUE(asked.is_write ? done.fault == SpillFault::kLimit ||
                                         done.fault == SpillFault::kTableFull ||
                                         (had_write_trouble_ &&
                                          (done.fault == SpillFault::kDiskFull ||
                                           done.fault == SpillFault::kIo))
                                   : had_read_trouble_ && (done.fault == SpillFault::kIo ||
                                                           done.fault == SpillFault::kAltered))
            << NameOf(done.fault);
      }
      asked_.erase(next);
    }
  }
  void Restart() {
    Calm();
    Finish(asked_.size());
    world_.Stop();
    world_.table = *SpillTable::Attach(world_.memory.data(), world_.memory.bytes());
    world_.Open(FaultyDisk::Make(trouble_));
    size_t found = 0;
    world_.store->Visit([&](SpillHandle handle, const SpilledObject& object, uint64_t) {
      ASSERT_TRUE(live_.contains(object.id.sequence));
      EXPECT_EQ(live_[object.id.sequence].handle, handle);
      ++found;
    });
    EXPECT_EQ(found, live_.size());
  }
  void Trouble() {
    switch (random_() % 6) {
      case 0: trouble_->FailWrites(20, ENOSPC); had_write_trouble_ = true; break;
      case 1: trouble_->FailWrites(10, EIO); had_write_trouble_ = true; break;
      case 2: trouble_->FailReads(10, EIO); had_read_trouble_ = true; break;
      case 3: trouble_->AlterReads(10); had_read_trouble_ = true; break;
      default: Calm();
    }
  }
  void Calm() {
    trouble_->FailWrites(0, EIO);
    trouble_->FailReads(0, EIO);
    trouble_->AlterReads(0);
  }
  std::map<uint64_t, KeptObject>::iterator Any() {
    auto at = live_.lower_bound(random_() % next_number_);
    return at == live_.end() ? live_.begin() : at;
  }

  std::minstd_rand random_;
  std::shared_ptr<DiskTrouble> trouble_;
  SpillWorld world_;
  std::map<uint64_t, KeptObject> live_;   // by number
  std::map<uint64_t, Asked> asked_;       // by ticket
  uint64_t next_number_ = 1;
  bool had_write_trouble_ = false;
  bool had_read_trouble_ = false;
};

TEST(SpillProperty, RandomOperationsWithFaultsAgreeWithThePlainModel) {
  const char* one = getenv("PENSTOCK_TEST_SEED");
  const bool is_long = getenv("PENSTOCK_TEST_LONG") != nullptr;
  const unsigned first = one != nullptr ? static_cast<unsigned>(atoi(one)) : 1;
  const unsigned last = one != nullptr ? first : is_long ? 200 : 12;
  for (unsigned seed = first; seed <= last; ++seed) {
    SCOPED_TRACE(fmt::format("PENSTOCK_TEST_SEED={}", seed));
    Sequence run(seed);
    for (int step = 0; step < 600 && !::testing::Test::HasFailure(); ++step) run.Step();
    if (!::testing::Test::HasFailure()) run.End();
    if (::testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace penstock::testing
