// Populator: the background threads that give the arena and the index their pages.
//
// Step by step: allocate 4 KiB pages (missing memory is an error here and not a SIGBUS in
// a client), collapse them into 2 MiB pages, hand the extent to the daemon. Ranges that
// could not be collapsed are tried again later. The daemon serves all the while; nothing
// of an extent is leased before the extent is ready. Several threads, a step each: memory
// that a host gives only at the first touch comes to two of them nearly twice as fast.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_POPULATOR_H_
#define PENSTOCK_TOOLS_PENSTOCKD_POPULATOR_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store/shm/lease_layout.h"
#include "store/shm/mapping.h"
#include "store/shm/memory_file.h"

namespace penstock {

struct PopulatorTarget {
  const MemoryFile* file = nullptr;
  const Mapping* mapping = nullptr;
};

struct PopulatorProgress {
  uint64_t populated_bytes = 0;  // of the arena
  uint64_t huge_bytes = 0;       // of the arena, in pages of 2 MiB
  uint64_t index_huge_bytes = 0;
  bool done = false;
  std::string note;              // why something is not as it could be; empty: all well
};

class Populator {
 public:
  // `notify_fd`: an eventfd rung whenever TakeReady has something new. `collapse` false
  // leaves the pages as they are (4 KiB, or hugetlb). `ready`: what a daemon that died had
  // populated; it is not handed out again.
  Populator(PopulatorTarget arena, PopulatorTarget index, bool collapse,
            bool pages_are_huge, int notify_fd, std::vector<ExtentEntry> ready = {});
  ~Populator();  // Stops within a step.
  Populator(const Populator&) = delete;
  Populator& operator=(const Populator&) = delete;

  void Start();

  // Arena extents that became ready since the last call: offset, bytes.
  std::vector<std::pair<uint64_t, uint64_t>> TakeReady();
  PopulatorProgress Progress() const;

 private:
  void Run();
  void PopulateArena();
  void PopulateIndex();
  bool WasReady(uint64_t offset) const;
  bool PopulateNextStep();
  bool Populate(const PopulatorTarget& target, uint64_t offset, uint64_t bytes);
  bool Fill(const PopulatorTarget& target, uint64_t offset, uint64_t bytes, uint64_t& huge);
  bool Collapse(const PopulatorTarget& target, uint64_t offset);
  void RetryCollapse();
  void SetNote(std::string note);
  bool stopping() const { return stop_.load(std::memory_order_relaxed); }

  const PopulatorTarget arena_;
  const PopulatorTarget index_;
  std::atomic<bool> collapse_;
  const bool pages_are_huge_;
  const int notify_fd_;
  const std::vector<ExtentEntry> ready_before_;
  std::atomic<bool> stop_{false};
  std::condition_variable wake_;
  std::thread thread_;

  mutable std::mutex mutex_;  // guards what follows
  std::vector<std::pair<uint64_t, uint64_t>> ready_;
  PopulatorProgress progress_;
  uint64_t next_offset_ = 0;  // of the arena's next step
  bool out_of_memory_ = false;
  std::vector<std::pair<const PopulatorTarget*, uint64_t>> failed_;  // to be tried again
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_POPULATOR_H_
