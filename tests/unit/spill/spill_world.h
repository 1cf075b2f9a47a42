// A spill store in a directory of its own, with a table in shared memory that outlives it,
// as the keeper's does.
#ifndef PENSTOCK_TESTS_UNIT_SPILL_SPILL_WORLD_H_
#define PENSTOCK_TESTS_UNIT_SPILL_SPILL_WORLD_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "store/base/unique_fd.h"
#include "store/base/units.h"
#include "store/spill/record.h"
#include "store/spill/spill_store.h"

namespace penstock::testing {

// Page-aligned memory that is shared with forked children.
class SharedPages {
 public:
  explicit SharedPages(uint64_t bytes);
  ~SharedPages();
  SharedPages(const SharedPages&) = delete;
  SharedPages& operator=(const SharedPages&) = delete;
  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  std::byte* data_;
  uint64_t bytes_;
};

// A fresh directory on the disk (not tmpfs where it can be helped), removed at the end.
class TestDirectory {
 public:
  TestDirectory();
  ~TestDirectory();
  const std::string& path() const { return path_; }
  // Names of the spill files in it, in order, and their bytes on disk together.
  std::vector<std::string> SpillFiles() const;
  uint64_t DiskBytes() const;

 private:
  std::string path_;
};

inline constexpr uint64_t kIncarnation = 0x1122334455667788;

// Bytes that follow from the number; no two numbers share a 4 KiB block.
std::vector<std::byte> BytesOf(uint64_t number, uint64_t bytes);
bool AreBytesOf(uint64_t number, std::span<const std::byte> bytes);

struct KeptObject {
  SpillHandle handle = kNoSpillHandle;
  SpilledObject object;
  uint64_t number = 0;  // of its bytes
  uint64_t bytes = 0;
};

class SpillWorld {
 public:
  explicit SpillWorld(SpillOptions options = {}, uint32_t capacity = 1024);
  ~SpillWorld();

  // Opens the store; false and `refusal` when it is refused.
  bool TryOpen(std::unique_ptr<DiskQueue> queue = nullptr);
  void Open(std::unique_ptr<DiskQueue> queue = nullptr);
  // As a daemon that ends and one that takes over its table.
  void Restart();
  void Stop() { store.reset(); }

  // Asks and waits.
  SpillDone Write(uint64_t number, uint64_t bytes);
  SpillDone Read(const KeptObject& kept, std::vector<std::byte>& into);
  void Drop(const KeptObject& kept);

  // Writes; must go well.
  KeptObject Keep(uint64_t number, uint64_t bytes);
  // Reads; must be right.
  void ExpectWhole(const KeptObject& kept);
  // Reads; must have this fault.
  void ExpectFault(const KeptObject& kept, SpillFault fault);

  // Waits for the answer of one ticket; others are kept for theirs.
  SpillDone Await(uint64_t ticket);
  // Waits until the stats are as wanted, 30 s at most.
  void Settle(const std::function<bool(const SpillStats&)>& wanted);
  // No write, read or move is under way.
  void Settle();

  uint64_t NextTicket() { return next_ticket_++; }
  static SpilledObject ObjectOf(uint64_t number, uint64_t bytes);
  std::string FilePath(const KeptObject& kept) const;

  TestDirectory directory;
  SpillOptions options;
  SharedPages memory;
  SpillTable table;
  UniqueFd bell;
  std::unique_ptr<SpillStore> store;
  std::string refusal;

 private:
  uint64_t next_ticket_ = 1;
  std::map<uint64_t, SpillDone> done_;
};

// Changes, or cuts off, bytes of a file behind the store's back.
void FlipByte(const std::string& path, uint64_t offset);
void Truncate(const std::string& path, uint64_t bytes);

// Runs in a forked child, whose exit status is the result; 125 when it died.
int InChild(const std::function<int()>& body);

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_UNIT_SPILL_SPILL_WORLD_H_
