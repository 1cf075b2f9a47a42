// DiskQueue through io_uring. Sleeps in the ring; an eventfd that the ring polls wakes it.
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <deque>

#include "store/base/check.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/unique_fd.h"
#include "store/spill/disk_queue.h"

namespace penstock {
namespace {

class UringQueue : public DiskQueue {
 public:
  static absl::StatusOr<std::unique_ptr<DiskQueue>> Create() {
    UniqueFd bell(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!bell.valid()) return CallStatus(errno, "eventfd of the spill store");
    auto queue = std::make_unique<UringQueue>(std::move(bell));
    // Twice the depth: a poll beside the requests.
    if (const int result = io_uring_queue_init(2 * kDepth, &queue->ring_, 0); result < 0) {
      // An old kernel counts the ring as locked memory.
      return ErrnoStatus(-result, "io_uring is refused here",
                         result == -ENOMEM
                             ? "Raise the limit on locked memory (ulimit -l), or choose "
                               "--spill-io threads"
                             : "Allow io_uring_setup (seccomp, sysctl kernel.io_uring_disabled), "
                               "or choose --spill-io threads");
    }
    queue->is_open_ = true;
    queue->Arm();
    return queue;
  }

  explicit UringQueue(UniqueFd bell) : bell_(std::move(bell)) {}
  ~UringQueue() override {
    PENSTOCK_CHECK(in_flight_ == 0 && waiting_.empty());
    if (is_open_) io_uring_queue_exit(&ring_);
  }

  void Submit(DiskRequest* request) override {
    if (in_flight_ >= kDepth) {
      waiting_.push_back(request);
      return;
    }
    ++in_flight_;
    Push(request);
  }

  void Wait(std::vector<DiskRequest*>& finished) override {
    bool woken = false;
    const size_t before = finished.size();
    while (!woken && finished.size() == before) {
      const int result = io_uring_submit_and_wait(&ring_, 1);
      PENSTOCK_CHECK(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY)
          << "io_uring_enter: errno " << -result;
      Reap(finished, woken);
    }
  }

  void Wake() override { eventfd_write(bell_.get(), 1); }
  std::string_view name() const override { return "io_uring"; }

 private:
  io_uring_sqe* NextEntry() {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    PENSTOCK_CHECK(entry != nullptr) << in_flight_ << " requests in flight";
    return entry;
  }

  void Arm() {
    io_uring_sqe* entry = NextEntry();
    io_uring_prep_poll_add(entry, bell_.get(), POLLIN);
    io_uring_sqe_set_data(entry, nullptr);
    io_uring_submit(&ring_);
  }

  void Push(DiskRequest* request) {
    io_uring_sqe* entry = NextEntry();
    const unsigned count = static_cast<unsigned>(request->part_count);
    if (request->is_write) {
      io_uring_prep_writev(entry, request->fd, request->parts.data(), count, request->offset);
    } else {
      io_uring_prep_readv(entry, request->fd, request->parts.data(), count, request->offset);
    }
    io_uring_sqe_set_data(entry, request);
    // At once: the disk works while the caller prepares the next. What the kernel does not
    // take now goes with the next Wait.
    io_uring_submit(&ring_);
  }

  void Reap(std::vector<DiskRequest*>& finished, bool& woken) {
    io_uring_cqe* completion = nullptr;
    while (io_uring_peek_cqe(&ring_, &completion) == 0) {
      auto* request = static_cast<DiskRequest*>(io_uring_cqe_get_data(completion));
      const int result = completion->res;
      io_uring_cqe_seen(&ring_, completion);
      if (request == nullptr) {
        eventfd_t rings = 0;
        eventfd_read(bell_.get(), &rings);
        Arm();
        woken = true;
      } else if (request->Advance(result)) {
        --in_flight_;
        finished.push_back(request);
        if (!waiting_.empty()) {
          DiskRequest* next = waiting_.front();
          waiting_.pop_front();
          Submit(next);
        }
      } else {
        Push(request);
      }
    }
  }

  UniqueFd bell_;
  io_uring ring_{};
  bool is_open_ = false;
  unsigned in_flight_ = 0;
  std::deque<DiskRequest*> waiting_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DiskQueue>> CreateUringQueue() { return UringQueue::Create(); }

}  // namespace penstock
