// Process: values, and refs that come and go.
#include <algorithm>

#include "absl/time/clock.h"
#include "runtime/process/process.h"

namespace penstock::internal {
namespace {

// A wait for another process's value looks at this process's own channels so often.
constexpr absl::Duration kSlice = absl::Milliseconds(2);

}  // namespace

class Process::Blocked {
 public:
  explicit Blocked(Process& process) : process_(process) {}
  ~Blocked() {
    if (!began_) return;
    const Lock lock(process_.mutex_);
    process_.EndBlocked();
  }
  Blocked(const Blocked&) = delete;
  Blocked& operator=(const Blocked&) = delete;
  // With the lock held.
  void Begin() { began_ |= process_.BeginBlocked(); }

 private:
  Process& process_;
  bool began_ = false;
};

// Makes `bytes` an object of the store under an id that was made before.
absl::Status Process::Store(const ObjectId& id, uint32_t tag, std::string_view bytes) {
  CreateOptions options;
  options.id = id;
  options.type_tag = tag;
  return client_->Put(bytes, options).status();
}

void Process::CheckIsOurs(const ObjectId& id) const {
  if (id.home == cluster_) return;
  throw UsageError("this ObjectRef is of another cluster: of one that was shut down, or that "
                   "another program is in");
}

ResultPtr Process::Put(std::string bytes, std::vector<ResultPtr> contained) {
  auto result = std::make_shared<Result>(NextId());
  result->contained = std::move(contained);
  if (bytes.size() <= kMostRecordBytes / 2) {
    // Becomes an object when its ref leaves this process.
    result->bytes = std::move(bytes);
    result->state = Result::State::kInline;
    return result;
  }
  const absl::Status stored = Store(result->id, kValueTag, bytes);
  if (!stored.ok()) throw ObjectLost(std::string(stored.message()));
  result->state = Result::State::kStored;
  result->in_store = true;
  return result;
}

std::string_view Process::Bytes(const ResultPtr& result, absl::Duration deadline,
                                std::shared_ptr<const void>& hold) {
  if (result == nullptr) throw UsageError("this ObjectRef stands for nothing");
  CheckIsOurs(result->id);
  // The time is not asked for where it does not matter.
  const absl::Time until = deadline == absl::InfiniteDuration() ? absl::InfiniteFuture()
                                                                : absl::Now() + deadline;
  {
    Lock lock(mutex_);
    const auto there = [&] {
      return result->state != Result::State::kPending || !limit_.empty() || !node_lost_.empty();
    };
    if (!WaitUntil(lock, until, there)) {
      throw GetTimeout("the value was not there within the time given");
    }
    if (result->state == Result::State::kPending) {
      if (!limit_.empty()) {
        const std::string why = std::exchange(limit_, {});
        Withdraw(*result, why);
        throw WorkerLimit(why);
      }
      throw RuntimeUnavailable(node_lost_);
    }
  }
  switch (result->state) {
    case Result::State::kFailed: ThrowError(result->bytes);
    case Result::State::kInline:
      hold = result;
      return result->bytes;
    default: break;
  }
  Blocked blocked(*this);
  for (;;) {
    const absl::Duration left = until - absl::Now();
    auto view = client_->Get(result->id, std::clamp(left, absl::ZeroDuration(), kSlice));
    if (view.ok()) {
      const bool is_error = view->type_tag() == kErrorTag;
      const auto held = std::make_shared<ObjectView>(*std::move(view));
      if (is_error) ThrowError(held->text());
      hold = held;
      return held->text();
    }
    // Without a deadline the store says that it is not here, with one that it did not come.
    const bool late = left <= absl::ZeroDuration();
    if (!absl::IsDeadlineExceeded(view.status()) &&
        !(late && absl::IsNotFound(view.status()))) {
      throw ObjectLost(std::string(view.status().message()));
    }
    if (late) throw GetTimeout("the value was not there within the time given");
    Lock lock(mutex_);
    if (!limit_.empty()) throw WorkerLimit(std::exchange(limit_, {}));
    if (!node_lost_.empty()) throw RuntimeUnavailable(node_lost_);
    blocked.Begin();
    // Its maker may need what this process has to give.
    WaitUntil(lock, absl::Now(), [] { return false; });
  }
}

std::vector<size_t> Process::WaitFor(std::span<const ResultPtr> results, size_t count,
                                     absl::Duration deadline) {
  const absl::Time until = absl::Now() + deadline;
  std::vector<size_t> ready;
  bool borrowed = false;
  const auto look = [&] {
    ready.clear();
    borrowed = false;
    for (size_t i = 0; i < results.size() && ready.size() < count; ++i) {
      const Result& result = *results[i];
      bool there = result.state != Result::State::kPending;
      if (result.state == Result::State::kBorrowed) {
        there = client_->Contains(result.id).value_or(false);
        borrowed |= !there;
      }
      if (there) ready.push_back(i);
    }
    return ready.size() >= std::min(count, results.size()) || !node_lost_.empty() ||
           !limit_.empty();
  };
  for (const ResultPtr& result : results) {
    if (result == nullptr) throw UsageError("an ObjectRef given to Wait stands for nothing");
    CheckIsOurs(result->id);
  }
  Blocked blocked(*this);
  Lock lock(mutex_);
  while (!look() && absl::Now() < until) {
    if (borrowed) blocked.Begin();
    WaitUntil(lock, borrowed ? std::min(until, absl::Now() + kSlice) : until, look);
  }
  if (ready.size() < std::min(count, results.size()) && !limit_.empty()) {
    throw WorkerLimit(std::exchange(limit_, {}));
  }
  return ready;
}

std::string Process::PackRef(const ResultPtr& result) {
  PackScope* const scope = PackScope::Current();
  if (scope == nullptr) {
    throw UsageError("an ObjectRef is packed by a remote call, a result or Put only: elsewhere "
                     "nobody would keep its object");
  }
  if (result == nullptr) throw UsageError("an ObjectRef that stands for nothing cannot be sent");
  CheckIsOurs(result->id);
  scope->Add(result);
  Lock lock(mutex_);
  RememberOwn(result);
  if (result->state != Result::State::kBorrowed && !result->in_store) {
    result->wanted_in_store = true;
    if (result->state != Result::State::kPending) {
      const bool failed = result->state == Result::State::kFailed;
      const absl::Status stored =
          Store(result->id, failed ? kErrorTag : kValueTag, result->bytes);
      if (!stored.ok()) throw ObjectLost(std::string(stored.message()));
      result->in_store = true;
    }
  }
  return std::string(BytesOf(result->id));
}

ResultPtr Process::UnpackRef(std::string_view bytes) {
  ObjectId id;
  if (!TakeFrom(bytes, id) || !bytes.empty()) throw UsageError("these bytes are no ObjectRef");
  ResultPtr result = Borrow(id, lending);
  if (runs_task) unpacked.push_back(result);
  return result;
}

// One of ours goes out: when it comes back, it is still ours.
void Process::RememberOwn(const ResultPtr& result) {
  if (result->state == Result::State::kBorrowed) return;
  const std::lock_guard guard(borrowed_mutex_);
  borrowed_[result->id] = result;
}

ResultPtr Process::Borrow(const ObjectId& id, uint64_t lender) {
  const std::lock_guard guard(borrowed_mutex_);
  std::weak_ptr<Result>& known = borrowed_[id];
  if (ResultPtr result = known.lock()) return result;
  auto result = std::make_shared<Result>(id);
  result->state = Result::State::kBorrowed;
  result->lender = lender;
  known = result;
  return result;
}

// The last ref of this process has gone.
void Process::Dropped(Result& result) {
  if (result.state == Result::State::kBorrowed || result.in_store) {
    const std::lock_guard guard(borrowed_mutex_);
    const auto known = borrowed_.find(result.id);
    if (known != borrowed_.end() && known->second.expired()) borrowed_.erase(known);
  }
  if (result.state == Result::State::kBorrowed) {
    if (result.times_lent == 0) return;  // nobody keeps it for us
    const std::lock_guard guard(trash_mutex_);
    if (trash_.empty()) RingDoorbell(wake_listener_.get());
    trash_.push_back({result.lender, result.id, result.times_lent});
    has_trash_.store(true, std::memory_order_relaxed);
    return;
  }
  if (!result.in_store) return;
  [[maybe_unused]] const absl::Status gone = client_->Delete(result.id);
}

Result::~Result() {
  Process* const process = Process::Get();
  // One of a cluster that has ended has nothing to give back.
  if (process != nullptr && id.home == process->cluster()) process->Dropped(*this);
}

}  // namespace penstock::internal
