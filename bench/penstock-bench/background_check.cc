// A queue of views, and a thread that compares and releases them.
#include "bench/penstock-bench/background_check.h"

#include <cstring>
#include <utility>

namespace penstock::bench {

BackgroundCheck::BackgroundCheck(uint64_t most_bytes)
    : most_bytes_(most_bytes), thread_([this] { Run(); }) {}

BackgroundCheck::~BackgroundCheck() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BackgroundCheck::Add(ObjectView view, std::span<const std::byte> expected) {
  std::unique_lock lock(mutex_);
  const uint64_t bytes = view.data().size();
  changed_.wait(lock, [&] { return held_bytes_ == 0 || held_bytes_ + bytes <= most_bytes_; });
  held_bytes_ += bytes;
  items_.push_back({std::move(view), expected});
  changed_.notify_all();
}

uint64_t BackgroundCheck::CountWrong() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return held_bytes_ == 0 && items_.empty(); });
  return wrong_;
}

void BackgroundCheck::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ending_ || !items_.empty(); });
    if (items_.empty()) return;
    Item item = std::move(items_.front());
    items_.pop_front();
    lock.unlock();
    const std::span<const std::byte> data = item.view.data();
    const bool is_same = data.size() == item.expected.size() &&
                         std::memcmp(data.data(), item.expected.data(), data.size()) == 0;
    item.view.Release();
    lock.lock();
    held_bytes_ -= data.size();
    wrong_ += is_same ? 0 : 1;
    changed_.notify_all();
  }
}

}  // namespace penstock::bench
