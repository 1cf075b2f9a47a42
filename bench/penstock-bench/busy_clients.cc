// A board in shared memory: each client writes its own line of it.
#include "bench/penstock-bench/busy_clients.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <random>
#include <utility>

#include <penstock/client.h>

#include "bench/harness/clock.h"
#include "bench/harness/interrupt.h"
#include "bench/penstock-bench/churn_reader.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"

namespace penstock::bench {
namespace {

constexpr int kMostClients = 64;
constexpr size_t kObjectsEach = 50;
constexpr size_t kMostBytes = 20'000;
constexpr double kPatienceSeconds = 30;

}  // namespace

struct BusyClients::Board {
  struct alignas(64) Line {
    std::atomic<int64_t> answered_ns{0};  // end of the last question to the daemon
    std::atomic<int64_t> asked_ns{0};     // its beginning
    std::atomic<int64_t> longest_ns{0};
    std::atomic<uint64_t> calls{0};
    std::atomic<uint64_t> failures{0};
    char failure[200] = {};
  };
  std::atomic<bool> go{false};
  std::atomic<bool> finish{false};
  char dir[256] = {};
  Line lines[kMostClients];
};

namespace {

class Worker {
  // Deduced, so it stands before its callers.
  template <typename Call>
  auto Timed(Call&& call) {
    const int64_t start_ns = NowNs();
    auto outcome = call();
    const int64_t took_ns = NowNs() - start_ns;
    if (took_ns > longest_ns_.load(std::memory_order_relaxed)) {
      longest_ns_.store(took_ns, std::memory_order_relaxed);
    }
    calls_.fetch_add(1, std::memory_order_relaxed);
    return outcome;
  }

 public:
  Worker(Client client, uint64_t seed, std::atomic<int64_t>& longest_ns,
         std::atomic<uint64_t>& calls)
      : client_(std::move(client)), random_(seed), longest_ns_(longest_ns), calls_(calls),
        bytes_(kMostBytes) {}

  absl::Status Step() {
    const CheckedObject made{ObjectId(), random_()};
    bytes_.resize(64 + random_() % (kMostBytes - 64));
    WriteChecked(bytes_, made.seed);
    PENSTOCK_ASSIGN_OR_RETURN(const ObjectId id, Timed([&] { return client_.Put(bytes_); }));
    objects_.push_back({id, made.seed});
    PENSTOCK_RETURN_IF_ERROR(Compare(objects_[random_() % objects_.size()]));
    if (objects_.size() > kObjectsEach) PENSTOCK_RETURN_IF_ERROR(CompareAndDelete());
    return Timed([&] { return client_.Sync(); });
  }

  // What is left.
  absl::Status Finish() {
    while (!objects_.empty()) PENSTOCK_RETURN_IF_ERROR(CompareAndDelete());
    return client_.Sync();
  }

 private:
  absl::Status Compare(const CheckedObject& object) {
    PENSTOCK_ASSIGN_OR_RETURN(const ObjectView view,
                              Timed([&] { return client_.Get(object.id); }));
    if (IsAsWritten(view.data(), object.seed)) return absl::OkStatus();
    return absl::DataLossError("object " + object.id.ToHex() + " has other bytes");
  }
  absl::Status CompareAndDelete() {
    const CheckedObject object = objects_.front();
    objects_.pop_front();
    PENSTOCK_RETURN_IF_ERROR(Compare(object));
    return Timed([&] { return client_.Delete(object.id); });
  }

  Client client_;
  std::mt19937_64 random_;
  std::atomic<int64_t>& longest_ns_;
  std::atomic<uint64_t>& calls_;
  std::vector<std::byte> bytes_;
  std::deque<CheckedObject> objects_;
};

template <typename Line>
[[noreturn]] void Work(const std::string& dir, uint64_t seed, Line& line,
                       const std::atomic<bool>& finish) {
  const auto fail = [&line](const absl::Status& why) {
    if (line.failures.load() == 0) {
      std::snprintf(line.failure, sizeof(line.failure), "%s", why.ToString().c_str());
    }
    line.failures.fetch_add(1, std::memory_order_release);
  };
  auto client = Client::Connect({.dir = dir});
  if (!client.ok()) {
    fail(client.status());
    _exit(1);
  }
  Worker worker(*std::move(client), seed, line.longest_ns, line.calls);
  while (!finish.load(std::memory_order_acquire)) {
    const int64_t asked_ns = NowNs();
    if (const absl::Status status = worker.Step(); !status.ok()) fail(status);
    line.asked_ns.store(asked_ns, std::memory_order_release);
    line.answered_ns.store(NowNs(), std::memory_order_release);
  }
  if (const absl::Status status = worker.Finish(); !status.ok()) fail(status);
  _exit(0);
}

}  // namespace

BusyClients::BusyClients(BusyClients&& other) noexcept
    : board_(std::exchange(other.board_, nullptr)), pids_(std::move(other.pids_)) {
  other.pids_.clear();
}

absl::StatusOr<BusyClients> BusyClients::Fork(int count) {
  if (count > kMostClients) {
    return absl::InvalidArgumentError("at most 64 busy clients");
  }
  BusyClients clients;
  void* const memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "mmap");
  clients.board_ = new (memory) Board;
  const pid_t parent = getpid();
  for (int i = 0; i < count; ++i) {
    const pid_t pid = fork();
    if (pid < 0) return StartStatus(errno, "fork of a busy client");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      while (!clients.board_->go.load(std::memory_order_acquire)) SleepNs(1'000'000);
      Work(clients.board_->dir, static_cast<uint64_t>(i) + 1, clients.board_->lines[i],
           clients.board_->finish);
    }
    clients.pids_.push_back(pid);
  }
  return clients;
}

BusyClients::~BusyClients() {
  for (const pid_t pid : pids_) kill(pid, SIGKILL);
  for (const pid_t pid : pids_) waitpid(pid, nullptr, 0);
  if (board_ != nullptr) munmap(board_, sizeof(Board));
}

absl::Status BusyClients::Begin(const std::string& dir) {
  std::snprintf(board_->dir, sizeof(board_->dir), "%s", dir.c_str());
  board_->go.store(true, std::memory_order_release);
  return AllAnsweredSince(NowNs()).status();
}

absl::StatusOr<int64_t> BusyClients::AllAnsweredSince(int64_t since_ns) const {
  const int64_t start_ns = NowNs();
  int64_t last_ns = 0;
  for (int i = 0; i < count(); ++i) {
    const Board::Line& line = board_->lines[i];
    for (;;) {
      // A question and its own answer: of two that are written side by side.
      const int64_t asked_ns = line.asked_ns.load(std::memory_order_acquire);
      const int64_t answered_ns = line.answered_ns.load(std::memory_order_acquire);
      if (asked_ns >= since_ns && answered_ns >= asked_ns) {
        last_ns = std::max(last_ns, answered_ns);
        break;
      }
      PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
      if (SecondsSince(start_ns) > kPatienceSeconds) {
        return absl::DeadlineExceededError("a client was not answered for 30 s");
      }
      SleepNs(200'000);
    }
  }
  return last_ns;
}

void BusyClients::Finish() {
  board_->finish.store(true, std::memory_order_release);
  for (size_t i = 0; i < pids_.size(); ++i) {
    int state = 0;
    waitpid(pids_[i], &state, 0);
    if (!WIFEXITED(state) || WEXITSTATUS(state) != 0) board_->lines[i].failures.fetch_add(1);
  }
  ended_ = std::exchange(pids_, {}).size();
}

int64_t BusyClients::TakeLongestCall() {
  int64_t longest_ns = 0;
  for (int i = 0; i < count(); ++i) {
    longest_ns = std::max(longest_ns, board_->lines[i].longest_ns.exchange(0));
  }
  return longest_ns;
}

uint64_t BusyClients::calls() const {
  uint64_t calls = 0;
  for (int i = 0; i < count(); ++i) calls += board_->lines[i].calls.load();
  return calls;
}

uint64_t BusyClients::failures() const {
  uint64_t failures = 0;
  for (int i = 0; i < count(); ++i) failures += board_->lines[i].failures.load();
  return failures;
}

std::string BusyClients::first_failure() const {
  for (int i = 0; i < count(); ++i) {
    if (board_->lines[i].failures.load(std::memory_order_acquire) > 0) {
      return board_->lines[i].failure;
    }
  }
  return "";
}

}  // namespace penstock::bench
