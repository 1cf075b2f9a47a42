// What both ways of disk I/O share.
#include "store/spill/disk_queue.h"

#include <cerrno>

#include "store/base/check.h"
#include "store/spill/spill_layout.h"

namespace penstock {

void DiskRequest::Start(int file, bool write, uint64_t at) {
  fd = file;
  is_write = write;
  offset = at;
  part_count = 0;
  error = 0;
  bytes_done = 0;
  bytes_ = 0;
}

void DiskRequest::AddPart(std::byte* data, uint64_t bytes) {
  if (bytes == 0) return;
  PENSTOCK_CHECK(part_count < static_cast<int>(parts.size()));
  parts[part_count++] = {data, bytes};
  bytes_ += bytes;
}

bool DiskRequest::Advance(int64_t result) {
  if (result == -EINTR || result == -EAGAIN) return false;
  if (result <= 0) {
    // A write that makes no progress would be tried for ever.
    error = result < 0 ? static_cast<int>(-result) : is_write ? EIO : 0;
    return true;
  }
  uint64_t moved = static_cast<uint64_t>(result);
  bytes_done += moved;
  offset += moved;
  if (bytes_done >= bytes_) return true;
  // A read that stops inside a block met the end of the file; going on from there is not
  // allowed with O_DIRECT.
  if (!is_write && offset % kSpillBlockBytes != 0) return true;
  int first = 0;
  while (moved >= parts[first].iov_len) moved -= parts[first++].iov_len;
  for (int i = first; i < part_count; ++i) parts[i - first] = parts[i];
  part_count -= first;
  parts[0].iov_base = static_cast<std::byte*>(parts[0].iov_base) + moved;
  parts[0].iov_len -= moved;
  return false;
}

absl::StatusOr<std::unique_ptr<DiskQueue>> DiskQueue::Create(SpillIo io) {
  if (io != SpillIo::kThreads) {
    auto uring = CreateUringQueue();
    if (uring.ok() || io == SpillIo::kUring) return uring;
  }
  return CreateThreadQueue();
}

}  // namespace penstock
