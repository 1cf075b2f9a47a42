// DiskQueue through a few threads that call preadv and pwritev.
#include <sys/uio.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "store/base/check.h"
#include "store/base/errors.h"
#include "store/base/threads.h"
#include "store/spill/disk_queue.h"

namespace penstock {
namespace {

// Enough to keep a disk busy with requests of 1 MiB.
constexpr int kThreadCount = 4;

class ThreadQueue : public DiskQueue {
 public:
  // As many as the host allows, but one at least.
  absl::Status Start() {
    for (int i = 0; i < kThreadCount; ++i) {
      auto thread = StartThread("starting a thread for the spill store", [this] { Serve(); });
      if (!thread.ok()) return threads_.empty() ? thread.status() : absl::OkStatus();
      threads_.push_back(*std::move(thread));
    }
    return absl::OkStatus();
  }
  ~ThreadQueue() override {
    {
      std::lock_guard lock(mutex_);
      PENSTOCK_CHECK(asked_.empty());
      ending_ = true;
    }
    asked_changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Submit(DiskRequest* request) override {
    {
      std::lock_guard lock(mutex_);
      asked_.push_back(request);
    }
    asked_changed_.notify_one();
  }

  void Wait(std::vector<DiskRequest*>& finished) override {
    std::unique_lock lock(mutex_);
    finished_changed_.wait(lock, [this] { return woken_ || !finished_.empty(); });
    woken_ = false;
    finished.insert(finished.end(), finished_.begin(), finished_.end());
    finished_.clear();
  }

  void Wake() override {
    {
      std::lock_guard lock(mutex_);
      woken_ = true;
    }
    finished_changed_.notify_one();
  }
  std::string_view name() const override { return "threads"; }

 private:
  static void Carry(DiskRequest& request) {
    for (;;) {
      const off_t offset = static_cast<off_t>(request.offset);
      const ssize_t result =
          request.is_write
              ? pwritev(request.fd, request.parts.data(), request.part_count, offset)
              : preadv(request.fd, request.parts.data(), request.part_count, offset);
      if (request.Advance(result < 0 ? -int64_t{errno} : int64_t{result})) return;
    }
  }

  void Serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      asked_changed_.wait(lock, [this] { return ending_ || !asked_.empty(); });
      if (asked_.empty()) return;
      DiskRequest* request = asked_.front();
      asked_.pop_front();
      lock.unlock();
      Carry(*request);
      lock.lock();
      finished_.push_back(request);
      finished_changed_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable asked_changed_;
  std::condition_variable finished_changed_;
  // Guarded by mutex_.
  std::deque<DiskRequest*> asked_;
  std::vector<DiskRequest*> finished_;
  bool woken_ = false;
  bool ending_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DiskQueue>> CreateThreadQueue() {
  auto queue = std::make_unique<ThreadQueue>();
  PENSTOCK_RETURN_IF_ERROR(queue->Start());
  return queue;
}

}  // namespace penstock
