// BackgroundCheck: compares what was got on a thread of its own, so that whoever gets goes on.
#ifndef PENSTOCK_BENCH_BACKGROUND_CHECK_H_
#define PENSTOCK_BENCH_BACKGROUND_CHECK_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <thread>

#include <penstock/client.h>

namespace penstock::bench {

// Thread safety: one thread gives, and asks at the end.
class BackgroundCheck {
 public:
  // Views of more than `most_bytes` are not held: Add waits.
  explicit BackgroundCheck(uint64_t most_bytes);
  ~BackgroundCheck();
  BackgroundCheck(const BackgroundCheck&) = delete;
  BackgroundCheck& operator=(const BackgroundCheck&) = delete;

  // `expected` outlives the check.
  void Add(ObjectView view, std::span<const std::byte> expected);
  // Waits for all that was given. How many had other bytes.
  uint64_t CountWrong();

 private:
  struct Item {
    ObjectView view;
    std::span<const std::byte> expected;
  };

  void Run();

  const uint64_t most_bytes_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Item> items_;
  uint64_t held_bytes_ = 0;  // of items, and of the one that is being compared
  uint64_t wrong_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_BACKGROUND_CHECK_H_
