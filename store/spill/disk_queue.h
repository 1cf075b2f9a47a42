// DiskQueue: reads and writes in flight, through io_uring or through threads.
//
// Thread safety: one thread submits and waits; Wake may be called by any.
#ifndef PENSTOCK_STORE_SPILL_DISK_QUEUE_H_
#define PENSTOCK_STORE_SPILL_DISK_QUEUE_H_

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "store/spill/spill_types.h"

namespace penstock {

// One read or write of up to three pieces of memory and one range of a file. Its owner
// keeps it, the pieces and the descriptor alive until the queue has given it back.
struct DiskRequest {
  int fd = -1;
  bool is_write = false;
  uint64_t offset = 0;
  std::array<iovec, 3> parts{};
  int part_count = 0;
  void* owner = nullptr;
  // The outcome: an errno, or 0 with all bytes, or 0 with fewer: the file ends before.
  int error = 0;
  uint64_t bytes_done = 0;

  void Start(int file, bool write, uint64_t at);
  void AddPart(std::byte* data, uint64_t bytes);
  uint64_t bytes() const { return bytes_; }

  // For implementations: takes in what a system call came back with (a count, or minus
  // errno). True: finished; false: what `parts` and `offset` now say is to be submitted.
  bool Advance(int64_t result);

 private:
  uint64_t bytes_ = 0;
};

class DiskQueue {
 public:
  // Requests in flight beyond this wait inside the queue.
  static constexpr unsigned kDepth = 64;

  virtual ~DiskQueue() = default;
  DiskQueue() = default;
  DiskQueue(const DiskQueue&) = delete;
  DiskQueue& operator=(const DiskQueue&) = delete;

  // Starts it. Never waits for the disk.
  virtual void Submit(DiskRequest* request) = 0;
  // Sleeps until a request is finished or Wake was called since the last Wait, then
  // appends all that are finished.
  virtual void Wait(std::vector<DiskRequest*>& finished) = 0;
  virtual void Wake() = 0;
  virtual std::string_view name() const = 0;

  // Before an implementation is destroyed, all requests have been given back.

  // kAuto falls back to threads; kUring says why it is refused.
  static absl::StatusOr<std::unique_ptr<DiskQueue>> Create(SpillIo io);
};

absl::StatusOr<std::unique_ptr<DiskQueue>> CreateUringQueue();
absl::StatusOr<std::unique_ptr<DiskQueue>> CreateThreadQueue();

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_DISK_QUEUE_H_
