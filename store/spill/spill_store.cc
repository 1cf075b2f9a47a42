// The two sides of the spill store: the daemon's calls, and the spill thread's loop.
#include "store/spill/spill_store.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "store/base/check.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/threads.h"
#include "store/base/units.h"

namespace penstock {
namespace {

constexpr uint64_t kLeastFileBytes = kMiB;
constexpr uint64_t kMostFileBytes = 1024 * kGiB;

// Threads started while this lives take no signals: those are for the daemon's thread.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

absl::Status Check(const SpillOptions& options, const SpillTable& table) {
  if (options.dir.empty()) {
    return absl::InvalidArgumentError("spill dir is empty: name a directory");
  }
  if (options.file_bytes < kLeastFileBytes || options.file_bytes > kMostFileBytes ||
      options.file_bytes % kSpillBlockBytes != 0) {
    return absl::InvalidArgumentError(fmt::format(
        "spill file_bytes is {}: give a multiple of {} from {} to {}", options.file_bytes,
        kSpillBlockBytes, FormatBytes(kLeastFileBytes), FormatBytes(kMostFileBytes)));
  }
  if (options.file_bytes > LargestFileBytes()) {
    return ErrnoStatus(EFBIG, fmt::format("spilling to files of {}",
                                          FormatBytes(options.file_bytes)));
  }
  if (options.limit_bytes != 0 && options.limit_bytes < kLeastSpillLimitBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "spill limit_bytes is {}: give at least {}, or 0 for none", options.limit_bytes,
        FormatBytes(kLeastSpillLimitBytes)));
  }
  if (table.incarnation() != options.incarnation) {
    return absl::FailedPreconditionError(fmt::format(
        "the spill table is that of store {:016x}, this is store {:016x}: make a new table",
        table.incarnation(), options.incarnation));
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view NameOf(SpillFault fault) {
  switch (fault) {
    case SpillFault::kNone: return "none";
    case SpillFault::kDiskFull: return "disk full";
    case SpillFault::kLimit: return "spill limit reached";
    case SpillFault::kTableFull: return "spill table full";
    case SpillFault::kUnwritable: return "spill directory not writable";
    case SpillFault::kIo: return "disk error";
    case SpillFault::kMissing: return "spill file missing";
    case SpillFault::kTruncated: return "spill file truncated";
    case SpillFault::kAltered: return "spill file altered";
    case SpillFault::kCancelled: return "cancelled";
  }
  return "unknown";
}

absl::StatusOr<std::unique_ptr<SpillStore>> SpillStore::Open(const SpillOptions& options,
                                                             SpillTable table, int notify_fd) {
  const SignalsBlocked blocked;
  PENSTOCK_ASSIGN_OR_RETURN(std::unique_ptr<DiskQueue> queue, DiskQueue::Create(options.io));
  return OpenWith(options, table, notify_fd, std::move(queue));
}

absl::StatusOr<std::unique_ptr<SpillStore>> SpillStore::OpenWith(
    const SpillOptions& options, SpillTable table, int notify_fd,
    std::unique_ptr<DiskQueue> queue) {
  PENSTOCK_RETURN_IF_ERROR(Check(options, table));
  PENSTOCK_ASSIGN_OR_RETURN(SpillDirectory directory,
                            SpillDirectory::Open(options.dir, options.incarnation));
  std::unique_ptr<SpillStore> store(
      new SpillStore(table, notify_fd, std::move(queue),
                     SpillFiles(std::move(directory), options, table)));
  store->engine_.Recover();
  store->stats_ = store->engine_.Stats();
  const SignalsBlocked blocked;
  PENSTOCK_ASSIGN_OR_RETURN(store->thread_,
                            StartThread("starting the thread that spills",
                                        [self = store.get()] { self->Run(); }));
  return store;
}

SpillStore::SpillStore(SpillTable table, int notify_fd, std::unique_ptr<DiskQueue> queue,
                       SpillFiles files)
    : table_(table), notify_fd_(notify_fd), queue_(std::move(queue)),
      engine_(table, std::move(files), *queue_) {}

SpillStore::~SpillStore() { Close(FilesAtEnd::kKeep); }

void SpillStore::Push(const SpillCommand& command) {
  bool must_wake = false;
  {
    std::lock_guard lock(mutex_);
    PENSTOCK_CHECK(!is_ending_) << "the spill store was closed";
    commands_.push_back(command);
    must_wake = std::exchange(is_asleep_, false);
  }
  if (must_wake) queue_->Wake();
}

void SpillStore::Write(uint64_t ticket, const SpilledObject& object,
                       std::span<const std::byte> bytes) {
  PENSTOCK_CHECK(bytes.size() >= object.size &&
                 bytes.size() - object.size >= object.metadata_size)
      << object.id.ToHex() << ": " << bytes.size() << " bytes for " << object.size << " and "
      << object.metadata_size;
  SpillCommand command;
  command.kind = SpillCommand::Kind::kWrite;
  command.ticket = ticket;
  command.object = object;
  command.bytes = bytes;
  Push(command);
}

void SpillStore::Read(uint64_t ticket, SpillHandle handle, std::span<std::byte> into) {
  PENSTOCK_CHECK(table_.IsLive(handle)) << "spill handle " << handle << " is not live";
  PENSTOCK_CHECK(table_.Facts(handle).stored_bytes == into.size())
      << "spill handle " << handle << " has " << table_.Facts(handle).stored_bytes
      << " bytes, not " << into.size();
  SpillCommand command;
  command.kind = SpillCommand::Kind::kRead;
  command.ticket = ticket;
  command.handle = handle;
  command.into = into;
  Push(command);
}

void SpillStore::Drop(SpillHandle handle) {
  table_.End(handle);
  SpillCommand command;
  command.kind = SpillCommand::Kind::kDrop;
  command.handle = handle;
  Push(command);
}

std::vector<SpillDone> SpillStore::TakeDone() {
  std::lock_guard lock(mutex_);
  return std::exchange(done_, {});
}

SpillStats SpillStore::Stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

void SpillStore::Visit(const std::function<void(SpillHandle, const SpilledObject&,
                                                uint64_t stored_bytes)>& visit) const {
  table_.Visit([&visit](SpillHandle handle, const SpillFacts& facts) {
    visit(handle, facts.object, facts.stored_bytes);
  });
}

void SpillStore::Close(FilesAtEnd files) {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  queue_->Wake();
  thread_.join();
  if (files == FilesAtEnd::kRemove) engine_.RemoveFiles();
}

bool SpillStore::Publish(bool cancelled) {
  bool must_ring = false;
  bool goes_on = true;
  {
    std::lock_guard lock(mutex_);
    std::vector<SpillDone>& news = engine_.done();
    must_ring = done_.empty() && !news.empty();
    done_.insert(done_.end(), news.begin(), news.end());
    news.clear();
    stats_ = engine_.Stats();
    goes_on = !(cancelled && engine_.idle());
    is_asleep_ = commands_.empty() && is_ending_ == cancelled;
  }
  if (must_ring) eventfd_write(notify_fd_, 1);
  return goes_on;
}

void SpillStore::Run() {
  pthread_setname_np(pthread_self(), "spill");
  std::vector<SpillCommand> commands;
  std::vector<DiskRequest*> finished;
  bool cancelled = false;
  for (;;) {
    bool is_ending = false;
    {
      std::lock_guard lock(mutex_);
      commands.swap(commands_);
      is_ending = is_ending_;
      is_asleep_ = false;
    }
    for (const SpillCommand& command : commands) engine_.Accept(command);
    commands.clear();
    if (is_ending && !cancelled) {
      engine_.Cancel();
      cancelled = true;
    }
    engine_.Advance();
    if (!Publish(cancelled)) return;
    {
      std::lock_guard lock(mutex_);
      if (!is_asleep_) continue;  // there is something new already
    }
    queue_->Wait(finished);
    for (DiskRequest* request : finished) engine_.Finished(*request);
    finished.clear();
  }
}

}  // namespace penstock
