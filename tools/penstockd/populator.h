// Populator: the background threads that give the arena and the index their pages, and later
// give pages of the arena back to the host and fetch them again.
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
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store/shm/host_memory.h"
#include "store/shm/huge_pages.h"
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
  uint64_t returned_bytes = 0;   // to the host, of the arena
  bool done = false;
  std::string note;              // why something is not as it could be; empty: all well
};

struct PopulatorOptions {
  bool collapse = true;         // false: the pages stay as they are (4 KiB, or hugetlb)
  bool pages_are_huge = false;  // the arena's: hugetlb
  // What a daemon that died had populated: it is not handed out again.
  std::vector<ExtentEntry> ready;
  bool goes_on = false;  // after such a daemon
  // What that daemon had not stays the host's until FetchAgain, and so does what the host does
  // not give at the first population.
  bool rest_waits = false;
  // How the host is asked for pages, and how many it has.
  std::function<absl::Status(int fd, uint64_t offset, uint64_t bytes)> allocate = PopulatePages;
  std::function<HostMemory()> host = [] { return ReadHostMemory(); };
};

class Populator {
 public:
  using Extents = std::vector<std::pair<uint64_t, uint64_t>>;  // offset, bytes

  // `notify_fd`: an eventfd rung whenever TakeReady has something new.
  Populator(PopulatorTarget arena, PopulatorTarget index, int notify_fd,
            PopulatorOptions options);
  ~Populator();  // Stops within a step.
  Populator(const Populator&) = delete;
  Populator& operator=(const Populator&) = delete;

  absl::Status Start();  // not where the host allows no thread

  // Arena extents that became ready since the last call.
  Extents TakeReady();
  PopulatorProgress Progress() const;

  // After the first population. The extents are multiples of 2 MiB and nobody's any more.
  void GiveBack(const Extents& extents);
  // Makes at least so many bytes of them ready again, if there are as many, with those that
  // are on their way or not taken yet.
  void FetchAgain(uint64_t bytes);
  // Whether the host had no memory for what was to be fetched or populated, since the last call.
  bool TakeShortage();

 private:
  struct Task {
    enum Kind { kReturn, kFetch } kind;
    uint64_t offset;
    uint64_t bytes;
  };

  void Run();
  void PopulateArena();
  void PopulateIndex();
  bool PopulateNextStep();
  void LeaveToHost(const Extents& parts);
  absl::Status Fill(const PopulatorTarget& target, uint64_t offset, uint64_t bytes);
  bool Collapse(const PopulatorTarget& target, uint64_t offset);
  void CountHuge(const PopulatorTarget& target, uint64_t offset);
  void Serve();
  bool DoTask();
  bool RetryCollapse();
  void Punch(uint64_t offset, uint64_t bytes);
  void Return(uint64_t offset, uint64_t bytes);
  absl::Status HostCanGive(uint64_t bytes) const;
  void Fetch(uint64_t offset, uint64_t bytes);
  void SetNote(std::string note);
  bool stopping() const { return stop_.load(std::memory_order_relaxed); }

  const PopulatorTarget arena_;
  const PopulatorTarget index_;
  const int notify_fd_;
  const PopulatorOptions options_;
  const Extents ready_before_;  // in order, and none over another
  const Extents rest_;          // of the arena: the host's until it is fetched
  std::atomic<bool> collapse_;
  std::atomic<bool> stop_{false};
  std::condition_variable wake_;
  std::thread thread_;

  mutable std::mutex mutex_;  // guards what follows
  Extents ready_;
  PopulatorProgress progress_;
  std::deque<std::pair<uint64_t, uint64_t>> steps_;  // of the first population
  std::vector<std::pair<const PopulatorTarget*, uint64_t>> failed_;  // to be tried again
  int retries_ = 0;                  // of them, since the last fetch
  std::vector<bool> arena_is_huge_;  // by ranges of 2 MiB
  std::deque<Task> tasks_;           // a step each
  Extents returned_;                 // the last one is fetched first
  uint64_t fetching_bytes_ = 0;      // in tasks
  uint64_t filling_bytes_ = 0;       // of them, at this moment
  bool host_was_short_ = false;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_POPULATOR_H_
