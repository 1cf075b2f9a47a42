// Actor: reading, deleting and forking, and what each outcome may be.
#include "tests/integration/stress/actor.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "absl/time/clock.h"

namespace penstock::stress {
namespace {

constexpr size_t kMostHeld = 4;
constexpr uint64_t kMostSpared = 3000;
// Far longer than any maker needs; a get that waits so long was forgotten.
constexpr absl::Duration kPatience = absl::Seconds(30);

bool Says(const absl::Status& status, std::string_view what) {
  return std::string(status.message()).find(what) != std::string::npos;
}

}  // namespace

void Actor::Fail(std::string_view what, const ObjectId& id, const std::string& why) {
  failed_ = true;
  log_->Fail(fmt::format("{} {}: {}", std::string(what), id.ToHex(), why));
}

void Actor::Run() {
  while (!log_->stopping()) {
    log_->Add(Count::kOps);
    const uint64_t roll = dice_.Roll(1000);
    if (roll < 340) Make();
    else if (roll < 700) GetOne();
    else if (roll < 730) GetSome();
    else if (roll < 930) DeleteNext();
    else if (roll < 960) Contains();
    else if (roll < 962) List();
    else if (roll < 964) Fork();
    else if (!held_.empty()) LetGo(dice_.Roll(held_.size()));
    while (held_.size() > kMostHeld) LetGo(dice_.Roll(held_.size()));
    At(Doing::kNothing);
  }
  while (!held_.empty()) LetGo(held_.size() - 1);
  At(Doing::kNothing);
}

Entry* Actor::PickRecent() {
  const uint64_t size = log_->size();
  if (size == 0) return nullptr;
  // Many looks go to the very newest, some of which are not sealed yet; most of the others
  // to what may be here, or was deleted not long ago.
  const uint64_t recent = 2 * plan_.memory_bytes / kBytesForEachEntry;
  const uint64_t roll = dice_.Roll(100);
  const uint64_t window = roll < 40 ? 64 : roll < 95 ? recent : size;
  Entry& entry = (*log_)[size - 1 - dice_.Roll(std::min(size, window))];
  return entry.stage() == Stage::kEmpty ? nullptr : &entry;
}

void Actor::GetOne() {
  Entry* const entry = PickRecent();
  if (entry == nullptr) return;
  const Removal removal = entry->removal();
  const Stage stage = entry->stage();
  const bool wait = (stage == Stage::kPromised) && !entry->Has(kNamed);
  if (wait) log_->Add(Count::kWaited);
  At(wait ? Doing::kWait : Doing::kGet);
  JudgeGet(*entry, client_.Get(entry->id, wait ? kPatience : absl::ZeroDuration()), stage,
           removal);
}

void Actor::GetSome() {
  std::vector<Entry*> entries;
  std::vector<ObjectId> ids;
  std::vector<std::pair<Stage, Removal>> before;
  for (uint64_t i = 2 + dice_.Roll(12); i-- > 0;) {
    Entry* const entry = PickRecent();
    if (entry == nullptr) continue;
    before.emplace_back(entry->stage(), entry->removal());
    entries.push_back(entry);
    ids.push_back(entry->id);
  }
  At(Doing::kGet);
  auto outcomes = client_.GetMany(ids, absl::ZeroDuration());
  for (size_t i = 0; i < outcomes.size(); ++i) {
    JudgeGet(*entries[i], std::move(outcomes[i]), before[i].first, before[i].second);
  }
}

// `stage` and `removal` were read before the get began.
void Actor::JudgeGet(Entry& entry, absl::StatusOr<ObjectView> outcome, Stage stage,
                     Removal removal) {
  if (!outcome.ok()) return JudgeMiss(entry, outcome.status(), stage);
  if (removal == Removal::kGone) Fail("get", entry.id, "found after its Delete and Sync");
  if (stage == Stage::kAborted) Fail("get", entry.id, "found, but it was never sealed");
  log_->Add(Count::kGot);
  At(Doing::kCheck);
  const std::string wrong = CheckView(*outcome, entry.id, entry.seed, entry.size);
  if (!wrong.empty()) Fail("get", entry.id, wrong);
  log_->Add(Count::kCheckedBytes, entry.size);
  if (dice_.Percent(30)) {
    Keep(*std::move(outcome), entry.seed, entry.size);
  } else {
    At(Doing::kRelease);
  }
}

void Actor::JudgeMiss(Entry& entry, const absl::Status& status, Stage stage) {
  // Read after the get, so that every reason for its outcome is visible by now.
  const bool taken_away = entry.removal() != Removal::kNone;
  const bool may_go = !entry.Durable();
  if (absl::IsNotFound(status) && Says(status, "was deleted")) {
    log_->Add(Count::kDeleted);
    if (taken_away || entry.Has(kBound)) return;
  } else if (absl::IsNotFound(status) && Says(status, "was evicted")) {
    log_->Add(Count::kEvicted);
    if (entry.Has(kEvictable)) return;
  } else if (absl::IsAborted(status)) {
    log_->Add(Count::kMakerDied);
    // Also said of an object that is gone for so long that its end is forgotten.
    if (stage != Stage::kSealed || taken_away || may_go) return;
  } else if (absl::IsNotFound(status) && Says(status, "is not here")) {
    log_->Add(Count::kForgotten);
    if (stage != Stage::kSealed || taken_away || may_go) return;
  } else if (absl::IsDeadlineExceeded(status)) {
    log_->Add(Count::kTimedOut);
    if (taken_away || (may_go && entry.stage() == Stage::kSealed)) return;
  }
  Fail(stage == Stage::kSealed ? "get of a sealed object" : "get", entry.id, status);
}

void Actor::Keep(ObjectView view, uint64_t seed, uint64_t size) {
  held_.push_back({std::move(view), seed, size});
}

// Whatever others deleted meanwhile, the bytes are still there.
void Actor::LetGo(size_t index) {
  At(Doing::kCheck);
  Held& held = held_[index];
  const std::string wrong = CheckView(held.view, held.view.id(), held.seed, held.size);
  if (!wrong.empty()) Fail("view held for a while", held.view.id(), wrong);
  At(Doing::kRelease);
  std::swap(held, held_.back());
  held_.pop_back();
}

void Actor::DeleteNext() {
  // So many that durable objects fill about half of the store.
  const uint64_t keep = plan_.memory_bytes / kBytesForEachEntry;
  for (int i = 0; i < 6; ++i) {
    Entry* entry = dice_.Percent(4) ? PickRecent() : log_->NextToDelete(keep);
    if (entry == nullptr) return;
    if (entry->stage() != Stage::kSealed) continue;
    // Some durable ones are to be there at the end.
    if (entry->Durable() && entry->size < 4096 && entry->seed % 128 < 3 &&
        log_->Get(Count::kSpared) < kMostSpared) {
      log_->Add(Count::kSpared);
      continue;
    }
    if (!entry->Has(kEvictable) || dice_.Percent(30)) Delete(*entry);
  }
}

void Actor::Delete(Entry& entry) {
  if (!entry.BeginRemoval()) return;
  At(Doing::kDelete);
  const absl::Status status = client_.Delete(entry.id);
  log_->Add(Count::kDeletes);
  if (!status.ok() && (entry.Durable() || !absl::IsNotFound(status))) {
    return Fail("delete", entry.id, status);
  }
  entry.AdvanceRemoval(Removal::kDone);
  if (!dice_.Percent(5)) return;
  At(Doing::kSync);
  if (const absl::Status synced = client_.Sync(); !synced.ok()) {
    return Fail("sync", entry.id, synced);
  }
  entry.AdvanceRemoval(Removal::kGone);
  log_->Add(Count::kGoneChecks);
  const auto again = client_.Get(entry.id, absl::ZeroDuration());
  if (again.ok()) Fail("get", entry.id, "found after its Delete and Sync");
}

void Actor::Contains() {
  Entry* const entry = PickRecent();
  if (entry == nullptr) return;
  const Stage stage = entry->stage();
  const Removal removal = entry->removal();
  At(Doing::kContains);
  const auto here = client_.Contains(entry->id);
  log_->Add(Count::kContains);
  if (!here.ok()) return Fail("contains", entry->id, here.status());
  if (!*here && stage == Stage::kSealed && entry->Durable() &&
      entry->removal() == Removal::kNone) {
    Fail("contains", entry->id, "no, but it is sealed and nobody deleted it");
  }
  if (*here && (removal == Removal::kGone || stage == Stage::kAborted)) {
    Fail("contains", entry->id, "yes, but it is gone or never was");
  }
}

void Actor::List() {
  At(Doing::kList);
  const auto infos = client_.List();
  log_->Add(Count::kLists);
  if (!infos.ok()) Fail("list", ObjectId{}, infos.status());
}

void Actor::Fork() {
  At(Doing::kFork);
  auto builder = client_.Create(100, {.evictable = true, .deadline = absl::ZeroDuration()});
  if (!builder.ok()) return JudgeCreate(builder.status());
  log_->Add(Count::kForks);
  const bool kill_it = dice_.Percent(25);
  const pid_t child = fork();
  if (child < 0) return Fail("fork", ObjectId{}, "refused by the system");
  if (child == 0) _exit(ForkedChild(*builder));
  if (kill_it) {
    absl::SleepFor(absl::Microseconds(dice_.Roll(4000)));
    kill(child, SIGKILL);
    log_->Add(Count::kForksKilled);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const bool killed = kill_it && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  if (status != 0 && !killed) {
    Fail("forked child", ObjectId{}, fmt::format("ended with wait status {:#x}", status));
  }
  // What the child did to its copy of the builder did not touch this one.
  FillPattern(builder->data(), dice_.Next());
  const ObjectId id = builder->id();
  builder->Abort();
  log_->Append(id, 0, 100, kEvictable, Stage::kAborted);
}

// In the child: handles of the parent's say so, and the client works.
int Actor::ForkedChild(Builder& builder) {
  failed_ = false;
  for (const Held& held : held_) {
    log_->Add(Count::kBeforeFork);
    if (!absl::IsFailedPrecondition(held.view.status()) || !held.view.data().empty()) {
      Fail("view made before the fork", held.view.id(), held.view.status());
    }
  }
  log_->Add(Count::kBeforeFork);
  const auto sealed = builder.Seal();
  if (!absl::IsFailedPrecondition(sealed.status()) || !builder.data().empty()) {
    Fail("builder made before the fork", builder.id(), sealed.status());
  }
  held_.clear();
  dice_ = Dice(dice_.Next() ^ static_cast<uint64_t>(getpid()));
  for (int i = 0; i < 4; ++i) {
    Make();
    GetOne();
    DeleteNext();
  }
  while (!held_.empty()) LetGo(held_.size() - 1);
  return failed_ ? 1 : 0;
}

}  // namespace penstock::stress
