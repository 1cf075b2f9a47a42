// A list of items and the threads that take from it. The daemon's thread takes no lock: a
// thread of low priority that is sent away while it holds one would keep it waiting.
#include "tools/penstockd/descriptor_sink.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <mutex>
#include <semaphore>
#include <system_error>
#include <thread>
#include <utility>

#include "store/wire/packet_socket.h"
#include "tools/penstockd/coarse_clock.h"

namespace penstock {
namespace {

constexpr uint32_t kMostThreads = 8;
// Of all the descriptors that the process may have: so many wait that whoever sends more had
// better go.
constexpr size_t kPartOfLimit = 4;
// Whoever floods the daemon makes work for these threads, which is not to be taken from others.
constexpr int kNice = 19;

void CloseNow(UniqueFd fd) {
  // What lingers would hold this thread up; whoever else has the socket may set it again.
  const linger none{};
  setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

// What is unread in it.
void ThrowAway(int socket) {
  for (;;) {
    std::vector<UniqueFd> strays;
    absl::StatusOr<Packet> packet = ReceivePacket(socket, &strays);
    if (packet.ok() ? packet->bytes.empty() : !absl::IsInvalidArgument(packet.status())) return;
    if (packet.ok()) strays = std::move(packet->fds);
    for (UniqueFd& fd : strays) CloseNow(std::move(fd));
  }
}

}  // namespace

struct DescriptorSink::Item {
  UniqueFd socket;  // what is unread in it is thrown away
  std::vector<UniqueFd> fds;
  std::unique_ptr<Item> next;

  size_t count() const { return fds.size() + (socket.valid() ? 1 : 0); }
};

namespace {

// One after the other: a list's destructor would call itself as often as it is long.
template <typename Item>
void Free(std::unique_ptr<Item> first) {
  while (first != nullptr) first = std::move(first->next);
}

// A list that anybody may put to, and take all of.
template <typename Item>
class List {
 public:
  ~List() { Free(TakeAll()); }

  void Put(std::unique_ptr<Item> item) {
    Item* before = last_.load(std::memory_order_relaxed);
    do {
      [[maybe_unused]] Item* const kept = item->next.release();
      item->next.reset(before);
    } while (!last_.compare_exchange_weak(before, item.get(), std::memory_order_release,
                                          std::memory_order_relaxed));
    [[maybe_unused]] Item* const kept = item.release();
  }

  // The last that was put is the first.
  std::unique_ptr<Item> TakeAll() {
    return std::unique_ptr<Item>(last_.exchange(nullptr, std::memory_order_acquire));
  }

 private:
  std::atomic<Item*> last_{nullptr};  // owned
};

}  // namespace

struct DescriptorSink::State {
  List<Item> to_close;
  List<Item> closed;  // freed by who allocated them, or malloc would lock, too
  std::counting_semaphore<> filled{0};
  std::atomic<size_t> waiting{0};  // to be closed, with those in work
  std::atomic<int64_t> got_on_ns{0};
  std::atomic<bool> ended{false};
  std::mutex mutex;  // of the threads among themselves
  std::unique_ptr<Item> taken;  // guarded by it

  ~State() { Free(std::move(taken)); }

  std::unique_ptr<Item> Take() {
    filled.acquire();
    const std::lock_guard lock(mutex);
    if (taken == nullptr) {
      std::unique_ptr<Item> item = to_close.TakeAll();
      while (item != nullptr) {  // turned round: the first is to be the first
        std::unique_ptr<Item> next = std::move(item->next);
        item->next = std::move(taken);
        taken = std::move(item);
        item = std::move(next);
      }
    }
    std::unique_ptr<Item> item = std::move(taken);
    if (item != nullptr) taken = std::move(item->next);
    return item;
  }

  void Run() {
    while (!ended.load(std::memory_order_relaxed)) {
      std::unique_ptr<Item> item = Take();
      if (item == nullptr) continue;
      const size_t count = item->count();
      if (item->socket.valid()) ThrowAway(item->socket.get());
      CloseNow(std::move(item->socket));
      for (UniqueFd& fd : item->fds) CloseNow(std::move(fd));
      closed.Put(std::move(item));
      got_on_ns.store(CoarseNowNs(), std::memory_order_relaxed);
      waiting.fetch_sub(count, std::memory_order_relaxed);
    }
  }
};

DescriptorSink::DescriptorSink() : state_(std::make_shared<State>()) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) most_waiting_ = limit.rlim_cur / kPartOfLimit;
}

DescriptorSink::~DescriptorSink() {
  state_->ended.store(true, std::memory_order_relaxed);
  state_->filled.release(kMostThreads);
}

bool DescriptorSink::Close(std::vector<UniqueFd> fds) {
  if (fds.empty()) return true;
  auto item = std::make_unique<Item>();
  item->fds = std::move(fds);
  Put(std::move(item));
  return waiting() <= most_waiting_;
}

void DescriptorSink::HangUp(UniqueFd socket, std::vector<UniqueFd> of_session) {
  shutdown(socket.get(), SHUT_RDWR);  // from here on nothing can be sent
  auto item = std::make_unique<Item>();
  item->socket = std::move(socket);
  item->fds = std::move(of_session);
  Put(std::move(item));
}

void DescriptorSink::Put(std::unique_ptr<Item> item) {
  Free(state_->closed.TakeAll());
  if (state_->waiting.fetch_add(item->count(), std::memory_order_relaxed) == 0) {
    state_->got_on_ns.store(CoarseNowNs(), std::memory_order_relaxed);
  }
  state_->to_close.Put(std::move(item));
  state_->filled.release();
  HelpIfStuck();
}

size_t DescriptorSink::waiting() const {
  return state_->waiting.load(std::memory_order_relaxed);
}

void DescriptorSink::HelpIfStuck() {
  if (threads_ == kMostThreads || waiting() == 0) return;
  const int64_t got_on_ns = state_->got_on_ns.load(std::memory_order_relaxed);
  if (threads_ > 0 && CoarseNowNs() - got_on_ns < kPatience_ns) return;
  ++threads_;
  state_->got_on_ns.store(CoarseNowNs(), std::memory_order_relaxed);
  // Signals are the daemon's thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  try {
    std::thread([state = state_] {
      prctl(PR_SET_NAME, "penstock-close");
      setpriority(PRIO_PROCESS, 0, kNice);  // of this thread alone
      state->Run();
    }).detach();
  } catch (const std::system_error&) {
    --threads_;  // a limit on threads: tried again at the next call
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace penstock
