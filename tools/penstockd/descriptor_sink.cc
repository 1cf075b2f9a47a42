// A queue of descriptors and the threads that close them.
#include "tools/penstockd/descriptor_sink.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace penstock {
namespace {

constexpr size_t kMostThreads = 8;
// While nobody is free to close them, a thread more is started.
constexpr size_t kMostWaiting = 1024;

}  // namespace

struct DescriptorSink::State {
  std::mutex mutex;
  std::condition_variable filled;
  std::deque<UniqueFd> waiting;  // these four under the mutex
  size_t threads = 0;
  size_t idle = 0;
  bool ended = false;

  void Run() {
    std::unique_lock lock(mutex);
    while (!ended) {
      if (waiting.empty()) {
        ++idle;
        filled.wait(lock);
        --idle;
        continue;
      }
      UniqueFd fd = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      // What lingers would hold this thread up; whoever else has the socket may set it again.
      const linger none{};
      setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &none, sizeof(none));
      fd.reset();
      lock.lock();
    }
  }
};

DescriptorSink::DescriptorSink() : state_(std::make_shared<State>()) {}

DescriptorSink::~DescriptorSink() {
  const std::lock_guard lock(state_->mutex);
  state_->ended = true;
  state_->filled.notify_all();
}

bool DescriptorSink::Take(std::vector<UniqueFd> fds) {
  if (fds.empty()) return true;
  const std::lock_guard lock(state_->mutex);
  for (UniqueFd& fd : fds) state_->waiting.push_back(std::move(fd));
  if (state_->idle == 0 && state_->threads < kMostThreads) {
    ++state_->threads;
    // Signals are the daemon's thread's.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    std::thread([state = state_] {
      prctl(PR_SET_NAME, "penstock-close");
      state->Run();
    }).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  state_->filled.notify_one();
  return state_->waiting.size() <= kMostWaiting;
}

}  // namespace penstock
