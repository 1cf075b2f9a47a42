// Busy clients and the file that kills.
#include "tests/crash/crash_world.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>

namespace penstock::testing {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr size_t kMostObjects = 2000;  // of one client

}  // namespace

int RoundsPerPoint() { return std::getenv("PENSTOCK_TEST_LONG") != nullptr ? 100 : 4; }

Arming::Arming() {
  // Looks for the file once, and finds none: this process is never killed.
  PassCrashPoint(CrashPoint::kClientLeased);
  char path[] = "/tmp/penstock-crash-XXXXXX";
  const int fd = mkstemp(path);
  if (fd < 0 || ftruncate(fd, sizeof(CrashFile)) != 0) GiveUp("no crash file");
  path_ = path;
  void* const memory =
      mmap(nullptr, sizeof(CrashFile), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) GiveUp("no crash file");
  file_ = static_cast<CrashFile*>(memory);
}

Arming::~Arming() {
  munmap(file_, sizeof(CrashFile));
  unlink(path_.c_str());
}

void Arming::Arm(CrashPoint point, int passes) {
  file_->passes_left.store(passes);
  file_->armed.store(static_cast<uint32_t>(point) + 1);
}

bool Arming::WaitFired(uint32_t more_than, absl::Duration timeout) {
  return Eventually([&] { return fired() > more_than; }, timeout);
}

BusyClient::BusyClient(const TestDaemon& daemon, uint64_t seed, const Arming* arming,
                       uint64_t most_live_bytes)
    : daemon_(daemon), client_(Must(Client::Connect({.dir = daemon.dir()}))), arming_(arming),
      most_live_bytes_(most_live_bytes), random_(seed),
      next_seed_(seed << 32), thread_([this] { Run(); }) {}

void BusyClient::Stop() {
  stop_.store(true);
  if (thread_.joinable()) thread_.join();
}

void BusyClient::Run() {
  uint32_t fired = arming_->fired();
  while (!stop_.load()) {
    Step();
    operations_.fetch_add(1);
    if (arming_->fired() != fired) {
      fired = arming_->fired();
      CheckAll();
    }
  }
  CheckAll();
  for (const auto& [id, made] : made_) {
    const absl::Status deleted = client_.Delete(id);
    if (!deleted.ok() && !(made.evictable && absl::IsNotFound(deleted))) {
      GiveUp("delete: " + deleted.ToString());
    }
  }
  SyncWithRefusals();
}

void BusyClient::Step() {
  switch (random_() % 12) {
    case 0: case 1: case 2: case 3:
      Make();
      break;
    case 4: {
      [[maybe_unused]] const Builder aborted =
          Must(client_.Create(1 + random_() % 50'000, {.deadline = kPatience}));
      break;
    }
    case 5:
      if (Must(client_.Contains(ObjectId::FromName("nobody made it")))) GiveUp("contains");
      break;
    case 6:
      SyncWithRefusals();
      break;
    case 7: case 8:
      if (random_() % 4 == 0) MakeTwice();
      if (!made_.empty() && random_() % 2 == 0) DeleteAny();
      break;
    default:
      if (!made_.empty()) {
        const auto any = Any();
        Check(any->first, any->second);
      }
  }
}

void BusyClient::DeleteAny() {
  const auto victim = Any();
  const absl::Status deleted = client_.Delete(victim->first);
  if (!deleted.ok() && !(victim->second.evictable && absl::IsNotFound(deleted))) {
    GiveUp("delete: " + deleted.ToString());
  }
  if (!victim->second.evictable) live_bytes_ -= victim->second.size;
  made_.erase(victim);
}

void BusyClient::Make() {
  while (live_bytes_ > most_live_bytes_ || made_.size() > kMostObjects) DeleteAny();
  Made made{next_seed_++, size_t{1} << (random_() % 20), random_() % 8 == 0};
  made.size += random_() % made.size;
  CreateOptions options;
  options.deadline = kPatience;
  options.evictable = made.evictable;
  if (random_() % 5 == 0) options.id = ObjectId::FromName(fmt::format("{:x}", made.seed));
  auto created = client_.Create(made.size, options);
  if (!created.ok()) {
    GiveUp(fmt::format("create of {} bytes: {}\n{}", made.size, created.status().ToString(),
                       WhatTheDaemonSays()));
  }
  Builder builder = *std::move(created);
  FillPattern(builder.data(), made.seed);
  if (random_() % 3 == 0) {
    const ObjectId id = builder.id();
    const ObjectView view = Must(builder.SealToView());
    if (!HasPattern(view.data(), made.seed)) GiveUp("other bytes in a view of one's own");
    made_[id] = made;
  } else {
    made_[Must(builder.Seal())] = made;
  }
  if (!made.evictable) live_bytes_ += made.size;
}

// One id given to two creates: the first seal stays, and the second one's bytes for its view.
void BusyClient::MakeTwice() {
  const Made made{next_seed_++, 3000, false};
  const uint64_t other_seed = next_seed_++;
  const ObjectId id = Must(client_.NextId());
  const CreateOptions options{.id = id, .deadline = kPatience};
  Builder first = Must(client_.Create(made.size, options));
  Builder second = Must(client_.Create(made.size, options));
  FillPattern(first.data(), made.seed);
  FillPattern(second.data(), other_seed);
  Must(first.Seal().status());
  const ObjectView view = Must(second.SealToView());
  SyncWithRefusals();
  if (!HasPattern(view.data(), other_seed)) GiveUp("other bytes in the view of a refused seal");
  made_[id] = made;
  live_bytes_ += made.size;
}

void BusyClient::SyncWithRefusals() {
  const absl::Status status = client_.Sync();
  if (!status.ok() && !absl::IsAlreadyExists(status)) GiveUp("sync: " + status.ToString());
}

void BusyClient::Check(const ObjectId& id, const Made& made) {
  // The grave of one that was evicted may be overwritten; then a get would wait for it.
  const auto view = client_.Get(id, made.evictable ? absl::ZeroDuration() : kPatience);
  if (!view.ok()) {
    if (made.evictable && (absl::IsNotFound(view.status()) ||
                           absl::IsDeadlineExceeded(view.status()))) {
      return;
    }
    GiveUp(fmt::format("object {} of {} bytes: {}\n{}", id.ToHex(), made.size,
                       view.status().ToString(), WhatTheDaemonSays()));
  }
  if (view->data().size() != made.size || !HasPattern(view->data(), made.seed)) {
    GiveUp(fmt::format("object {} has other bytes", id.ToHex()));
  }
}

// Of a client that waits in vain: the others may too.
std::string BusyClient::WhatTheDaemonSays() const {
  std::string text = daemon_.Output();
  const auto status = QueryStatus(daemon_.dir());
  if (!status.ok()) return text + status.status().ToString();
  for (const auto& [name, value] : status->counters) text += fmt::format("{} {}\n", name, value);
  return text;
}

void BusyClient::CheckAll() {
  for (const auto& [id, made] : made_) Check(id, made);
}

std::map<ObjectId, BusyClient::Made>::iterator BusyClient::Any() {
  auto at = made_.begin();
  std::advance(at, static_cast<int64_t>(random_() % made_.size()));
  return at;
}

Passengers::Passengers(const TestDaemon& daemon)
    : thread_([this, dir = daemon.dir()] {
        uint64_t i = 0;
        while (!stop_.load()) {
          Client client = Must(Client::Connect({.dir = dir}));
          Must(client.Put(Pattern(i, 3000),
                          {.session_bound = true, .deadline = kPatience}));
          const Builder open = Must(client.Create(700, {.deadline = kPatience}));
          if (++i % 2 == 0) Must(client.Sync());
        }
      }) {}

Passengers::~Passengers() {
  stop_.store(true);
  thread_.join();
}

CrashWorld::CrashWorld(Disk disk)
    : live_bytes_per_client_(disk == Disk::kSpills ? 10 << 20 : 3 << 20) {
  std::vector<std::string> arguments = {"--memory", "16MiB"};
  if (disk == Disk::kSpills) arguments.insert(arguments.end(), {"--spill-dir", disk_.path()});
  setenv("PENSTOCK_CRASH_FILE", arming_.path().c_str(), 1);
  daemon_ = std::make_unique<TestDaemon>(arguments);
  unsetenv("PENSTOCK_CRASH_FILE");
  daemon_->WaitPopulated();
}

void CrashWorld::TakeOver(const std::function<void()>& meanwhile) {
  setenv("PENSTOCK_CRASH_FILE", arming_.path().c_str(), 1);
  const pid_t heir = daemon_->StartHeir();
  unsetenv("PENSTOCK_CRASH_FILE");
  meanwhile();
  daemon_->SettleKeepers(heir);
}

::testing::AssertionResult CrashWorld::IsEmpty() const {
  ::testing::AssertionResult last = ::testing::AssertionFailure();
  const bool empty = Eventually([&] {
    last = NothingIsLeft(*daemon_);
    if (!last) return false;
    const DaemonStatus status = daemon_->Status();
    for (const char* name : {"objects", "spilled_objects", "object_bytes", "leased_bytes",
                             "spill_live_bytes", "doomed"}) {
      if (status.Counter(name) == 0) continue;
      last = ::testing::AssertionFailure() << name << " is " << status.Counter(name);
      return false;
    }
    if (status.Counter("free_bytes") != status.Counter("arena_bytes")) {
      last = ::testing::AssertionFailure() << status.Counter("free_bytes") << " bytes are free";
      return false;
    }
    return true;
  });
  return empty ? ::testing::AssertionSuccess() : last;
}

}  // namespace penstock::testing
