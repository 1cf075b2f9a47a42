// A disk in memory, whose writes and reads end when, in what order and how the test wants.
#ifndef PENSTOCK_TESTS_SUPPORT_FAKE_DISK_H_
#define PENSTOCK_TESTS_SUPPORT_FAKE_DISK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "store/object/core.h"

namespace penstock::testing {

class FakeDisk : public SpillHost {
 public:
  // `bytes(offset, count)`: the arena.
  explicit FakeDisk(std::function<std::span<std::byte>(uint64_t, uint64_t)> bytes)
      : bytes_(std::move(bytes)) {}

  void SpillWrite(uint64_t ticket, const SpilledFacts& facts, uint64_t offset) override {
    operations_.push_back({ticket, facts, nullptr, offset});
  }
  void SpillRead(uint64_t ticket, uint32_t copy, uint64_t stored_bytes,
                 uint64_t offset) override {
    SpilledFacts facts = copies_.at(copy)->facts;
    facts.stored_bytes = stored_bytes;
    operations_.push_back({ticket, facts, copies_.at(copy), offset});
  }
  void SpillDrop(uint32_t copy) override { copies_.erase(copy); }
  SpilledFacts SpillFacts(uint32_t copy) const override { return copies_.at(copy)->facts; }

  size_t operations() const { return operations_.size(); }
  size_t copies() const { return copies_.size(); }
  bool full = false;     // writes fail
  bool failing = false;  // reads fail, this once

  // The copy number `n`, counted from any point, is altered for good.
  ObjectId Damage(uint64_t n) {
    auto at = copies_.begin();
    std::advance(at, static_cast<int64_t>(n % copies_.size()));
    at->second->is_damaged = true;
    return at->second->facts.id;
  }

  // Ends one operation, any one of them, and tells the core. `tell` false: it ended, and the
  // daemon died before it heard.
  void EndOne(uint64_t n, Core* core, bool tell) {
    const auto at = operations_.begin() + static_cast<int64_t>(n % operations_.size());
    const Operation operation = *at;
    operations_.erase(at);
    SpillOutcome outcome{.ticket = operation.ticket};
    const auto arena = bytes_(operation.offset, operation.facts.stored_bytes);
    if (operation.copy == nullptr) {
      if (full) {
        outcome.trouble = SpillTrouble::kDiskFull;
      } else {
        auto copy = std::make_shared<Copy>();
        copy->facts = operation.facts;
        copy->bytes.assign(arena.begin(), arena.end());
        outcome.copy = next_copy_++;
        copies_[outcome.copy] = copy;
      }
      if (tell) core->SpillWritten(outcome);
      return;
    }
    if (!tell) return;
    if (operation.copy->is_damaged) {
      outcome.trouble = SpillTrouble::kAltered;
      outcome.file = 7;
    } else if (failing) {
      failing = false;
      outcome.trouble = SpillTrouble::kIo;
    } else {
      std::copy(operation.copy->bytes.begin(), operation.copy->bytes.end(), arena.begin());
    }
    core->SpillRead(outcome);
  }

  // The daemon died: what was under way is nobody's. Some writes had reached the disk.
  void Forget(uint64_t choice) {
    while (!operations_.empty()) {
      if (operations_.back().copy == nullptr && choice % 2 == 0) {
        EndOne(operations_.size() - 1, nullptr, false);
      } else {
        operations_.pop_back();
      }
      choice /= 2;
    }
  }
  std::vector<uint32_t> Copies() const {
    std::vector<uint32_t> all;
    for (const auto& [number, copy] : copies_) all.push_back(number);
    return all;
  }

 private:
  struct Copy {
    SpilledFacts facts;
    std::vector<std::byte> bytes;
    bool is_damaged = false;
  };
  struct Operation {
    uint64_t ticket;
    SpilledFacts facts;
    std::shared_ptr<Copy> copy;  // of a read
    uint64_t offset;
  };

  std::function<std::span<std::byte>(uint64_t, uint64_t)> bytes_;
  std::vector<Operation> operations_;
  std::map<uint32_t, std::shared_ptr<Copy>> copies_;
  uint32_t next_copy_ = 0;
};

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_SUPPORT_FAKE_DISK_H_
