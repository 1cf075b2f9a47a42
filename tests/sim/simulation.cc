// Steps of the simulation and what they are compared with.
#include "tests/sim/simulation.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include <fmt/format.h>

#include "store/base/crash_point.h"

namespace penstock::testing {
namespace {

constexpr int kActors = 6;
constexpr uint64_t kArena = 32 * kKiB;
constexpr uint64_t kGivenBack = 1 * kKiB;  // in multiples of this, as of a page

struct Killed {};

// Of the simulation that runs; the hook is a plain function.
int64_t g_passes_left = -1;  // negative: nobody dies
std::string_view g_died_at;

void PassOrDie(CrashPoint point) {
  if (g_passes_left < 0 || g_passes_left-- > 0) return;
  g_died_at = NameOf(point);
  throw Killed{};
}

}  // namespace

Simulation::Simulation(uint64_t seed)
    : random_(seed), store_({.slots = static_cast<uint32_t>(seed % 4 == 0 ? 16 : 64),
                             .arena_bytes = kArena,
                             // In every second one, rings are out of sight.
                             // And in every third one, long work takes many turns.
                             .limits = {.most_records_at_once = 2,
                                        .most_records_in_turn = seed % 3 == 0 ? 3u : 1024u,
                                        .most_steps_in_turn = seed % 3 == 0 ? 4u : 128u,
                                        .most_idle_watched = seed % 2 == 0 ? 0u : 64u,
                                        .most_empty_looks = 4,
                                        .memory_comes_back = true}}),
      disk_([this](uint64_t offset, uint64_t bytes) { return store_.Bytes(offset, bytes); }),
      actors_(kActors) {
  g_crash_hook = PassOrDie;
  g_passes_left = -1;
  store_.core().EnableSpill(&disk_);
  for (Actor& actor : actors_) actor.client = &store_.Open();
  for (int i = 0; i < 4; ++i) names_.push_back(ObjectId::FromName(std::to_string(i)));
}

Simulation::~Simulation() { g_crash_hook = nullptr; }

void Simulation::Fail(const std::string& what) {
  if (failure_.empty()) failure_ = fmt::format("step {}: {}", counts_.steps, what);
}

std::string Simulation::Run(int steps) {
  for (int i = 0; i < steps && !failed(); ++i) {
    ++counts_.steps;
    Step();
    CheckPins();
  }
  g_passes_left = -1;
  if (!failed()) Finish();
  const CoreStats stats = store_.core().Stats();
  counts_.spilled += stats.spilled;
  counts_.restored += stats.restored;
  counts_.evicted += stats.evicted;
  return failure_;
}

// False: the daemon died in the call, and another has taken over.
template <typename Call>
bool Simulation::Survives(Call&& call) {
  try {
    call();
    store_.core().CheckInvariants();
    return true;
  } catch (const Killed&) {
    RestartDaemon();
    return false;
  }
}

void Simulation::RestartDaemon() {
  const CoreStats stats = store_.core().Stats();
  counts_.spilled += stats.spilled;
  counts_.restored += stats.restored;
  counts_.evicted += stats.evicted;
  for (;;) {
    ++counts_.daemon_deaths;
    taken_over_at_ = counts_.steps;
    Note("the daemon died at {}", g_died_at);
    g_passes_left = OneIn(4) ? static_cast<int64_t>(Below(6)) : -1;
    disk_.Forget(random_());
    try {
      store_.Restart(&disk_, disk_.Copies());
      store_.core().CheckInvariants();
      break;
    } catch (const Killed&) {
    }
  }
  g_passes_left = -1;
  AskAgain();
}

// Nothing of it is there any more when it comes again.
void Simulation::GiveBack() {
  for (const auto& extent : store_.core().TakeFreeExtents(Below(kArena / 2), kGivenBack)) {
    std::ranges::fill(store_.Bytes(extent.offset, extent.bytes), std::byte{0});
    Note("{} bytes at {} go to the host", extent.bytes, extent.offset);
    returned_.push_back(extent);
    ++counts_.given_back;
  }
  store_.core().CheckInvariants();
}

void Simulation::FetchAgain() {
  std::swap(returned_[Below(returned_.size())], returned_.back());
  const Allocator::Extent extent = returned_.back();
  returned_.pop_back();
  Note("{} bytes at {} come again", extent.bytes, extent.offset);
  store_.core().AddExtent(extent.offset, extent.bytes);
  store_.core().CheckInvariants();
}

// As Server::Leave and the next one's start.
void Simulation::HandOver() {
  ++counts_.hand_overs;
  taken_over_at_ = counts_.steps;
  Note("the daemon leaves");
  if (OneIn(4)) g_passes_left = static_cast<int64_t>(Below(6));
  disk_.Forget(random_());
  const bool survived = Survives([this] {
    const std::string state = store_.Retire();
    store_.Resume(state, &disk_, disk_.Copies());
  });
  g_passes_left = -1;
  if (!survived) return;
  AskAgain();
}

// As the library does: what the last daemon answered is taken, the rest asked again.
void Simulation::AskAgain() {
  for (Actor& actor : actors_) {
    TakeAnswers(actor);
    for (const auto& [request, record] : actor.asked) {
      if (actor.client->HasRoom()) actor.client->Push(record);
    }
  }
}

void Simulation::Turn() {
  if (store_.core().MemoryWanted() > 0 && !OneIn(3)) FetchAgain();
  if (OneIn(20)) store_.core().SetHostIsShort(OneIn(2));
  if (OneIn(12)) g_passes_left = static_cast<int64_t>(Below(40));
  if (!OneIn(3)) store_.HearBells();
  Survives([this] { store_.core().Turn(); });
  g_passes_left = -1;
  for (Actor& actor : actors_) TakeAnswers(actor);
  if (!store_.host().broken.empty()) {
    Fail("an honest client was ended: " + store_.host().broken.begin()->second);
  }
}

void Simulation::Disk() {
  if (OneIn(40)) disk_.full = !disk_.full;
  disk_was_full_ |= disk_.full;
  if (OneIn(60)) disk_.failing = true;
  if (OneIn(200) && disk_.copies() > 0) damaged_.insert(disk_.Damage(random_()));
  if (OneIn(10)) store_.core().RetrySpill();
  while (disk_.operations() > 0 && !OneIn(3)) {
    if (OneIn(30)) g_passes_left = static_cast<int64_t>(Below(3));
    const bool survived =
        Survives([this] { disk_.EndOne(random_(), &store_.core(), true); });
    g_passes_left = -1;
    if (!survived) return;
  }
}

// The process is gone; the daemon may die while it cleans up after it.
void Simulation::Die(Actor& actor) {
  ++counts_.client_deaths;
  if (OneIn(2)) {  // in the middle of a push
    actor.client->Write(SlotRecord(SubmissionOp::kSeal, 3, 1));
  }
  const uint64_t number = actor.client->number();
  Note("client {} died", number);
  for (auto at = live_.begin(); at != live_.end();) {
    const bool goes = at->second.maker == number && (at->second.flags & kSealSessionBound) != 0;
    at = goes ? live_.erase(at) : std::next(at);
  }
  FakeClient* const client = actor.client;
  actor = Actor{};
  actor.client = client;  // for a restart in the middle
  if (OneIn(6)) g_passes_left = static_cast<int64_t>(Below(12));
  while (!Survives([&] { store_.Close(*client); })) {
  }
  g_passes_left = -1;
  actor = Actor{};
  actor.client = &store_.Open();
}

void Simulation::Step() {
  if (OneIn(100)) HandOver();
  if (OneIn(30)) GiveBack();
  Actor& actor = actors_[Below(kActors)];
  switch (Below(24)) {
    case 0: case 1: case 2:
      if (actor.asked.size() < 4 && actor.leases.size() < 4) {
        Ask(actor, LeaseRecord(AnySize(), static_cast<uint32_t>(1 + Below(3))));
      }
      break;
    case 3:
      if (actor.asked.size() < 4 && actor.reserved.size() < 2) {
        Ask(actor, ReserveRecord(names_[Below(names_.size())], AnySize()));
      }
      break;
    case 4: case 5: case 6: case 7:
      if (!actor.leases.empty()) {
        const FakeLease lease = actor.leases.back();
        actor.leases.pop_back();
        Seal(actor, lease, actor.client->NextId());
      }
      break;
    case 8:
      if (!actor.reserved.empty()) {
        const auto [id, lease] = actor.reserved.back();
        actor.reserved.pop_back();
        Seal(actor, lease, id);
      }
      break;
    case 9:
      if (!actor.leases.empty()) {
        const FakeLease lease = actor.leases.back();
        actor.leases.pop_back();
        Note("{} returns slot {} generation {}", actor.client->number(), lease.slot,
             lease.generation);
        actor.client->Push(
            SlotRecord(SubmissionOp::kReturnLease, lease.slot, lease.generation));
      }
      break;
    case 10: case 11: case 12:
      if (actor.asked.size() < 6) {
        Ask(actor, IdRecord(SubmissionOp::kGet, AnyId(), OneIn(2) ? kGetNoWait : 0u));
      }
      break;
    case 13: case 14: PinLocally(actor); break;
    case 15: case 16:
      if (!actor.unconfirmed.empty()) {
        const Completion answer = actor.unconfirmed.back();
        actor.unconfirmed.pop_back();
        TakeOver(actor, answer);
      }
      break;
    case 17: case 18: Unpin(actor); break;
    case 19: case 20: Delete(actor); break;
    case 21:
      if (!actor.asked.empty()) {
        Submission cancel{};
        cancel.op = SubmissionOp::kCancel;
        cancel.request = actor.asked.begin()->first;
        actor.client->Push(cancel);
        actor.cancelled.insert(cancel.request);
      }
      break;
    case 22: Disk(); break;
    default:
      if (OneIn(6)) Die(actor);
  }
  if (!OneIn(3)) Turn();
}

void Simulation::Ask(Actor& actor, Submission record) {
  if (!actor.client->HasRoom()) return;
  record.request = actor.client->Ask(record);
  Note("{} asks {}: {} of {}", actor.client->number(), record.request,
       static_cast<int>(record.op), record.id.ToHex());
  actor.asked[record.request] = record;
  actor.asked_at[record.request] = counts_.steps;
}

void Simulation::PinLocally(Actor& actor) {
  const ObjectId id = AnyId();
  const auto slot = actor.client->TryPin(id);
  if (!slot) return;
  CheckBytes(id, *slot, "pinned");
  actor.pins.push_back({*slot, store_.GenerationOfSlot(*slot), id, MarkAt(*slot)});
  ++counts_.objects_got;
}

void Simulation::Unpin(Actor& actor) {
  if (actor.pins.empty()) return;
  std::swap(actor.pins[Below(actor.pins.size())], actor.pins.back());
  actor.client->Unpin(actor.pins.back().slot);
  actor.pins.pop_back();
}

void Simulation::Seal(Actor& actor, const FakeLease& lease, const ObjectId& id) {
  const uint64_t size = lease.block_bytes - Below(std::min<uint64_t>(48, lease.block_bytes - 16));
  const uint32_t flags =
      (OneIn(4) ? kSealEvictable : 0u) | (OneIn(8) ? kSealSessionBound : 0u) |
      (OneIn(3) ? (OneIn(2) ? kSealLowPriority : kSealHighPriority) : 0u);
  const uint64_t mark = next_mark_++;
  std::memcpy(store_.Bytes(lease.offset, 8).data(), &mark, 8);
  std::memcpy(store_.Bytes(lease.offset + size - 8, 8).data(), &mark, 8);
  actor.client->Push(SealRecord(lease, id, size, flags));
  Note("{} seals {} in slot {} generation {} at {}, flags {}", actor.client->number(),
       id.ToHex(), lease.slot, lease.generation, lease.offset, flags);
  marks_[id].insert(mark);
  ++counts_.sealed;
  // A delete of this name that has not been answered may come after it.
  for (const Actor& other : actors_) {
    for (const auto& [request, record] : other.asked) {
      if (record.op == SubmissionOp::kDeleteById && record.id == id) return;
    }
  }
  live_[id] = {mark, size, flags, actor.client->number(), counts_.steps};
}

void Simulation::Delete(Actor& actor) {
  const ObjectId id = AnyId();
  Submission record = IdRecord(SubmissionOp::kDeleteById, id);
  if (!actor.client->HasRoom()) return;
  const auto slot = OneIn(2) ? actor.client->TryPin(id) : std::nullopt;
  if (slot) {
    Submission seen =
        SlotRecord(SubmissionOp::kDelete, *slot, store_.GenerationOfSlot(*slot));
    seen.id = id;
    actor.client->Unpin(*slot);
    actor.client->Push(seen);
  } else {
    Ask(actor, record);
  }
  live_.erase(id);
  Note("{} deletes {}", actor.client->number(), id.ToHex());
  ++counts_.deleted;
}

// All but one client go; that one reads and deletes what is left.
void Simulation::Finish() {
  disk_.full = false;
  disk_.failing = false;
  while (!returned_.empty()) FetchAgain();
  for (Actor& actor : actors_) Die(actor);
  Actor& last = actors_[0];
  for (size_t i = 1; i < actors_.size(); ++i) {
    Survives([&] { store_.Close(*actors_[i].client); });
  }
  actors_.resize(1);
  const auto settle = [&](const std::function<bool()>& done) {
    for (int i = 0; i < 400 && !done(); ++i) {
      store_.core().RetrySpill();
      while (disk_.operations() > 0) disk_.EndOne(random_(), &store_.core(), true);
      store_.Turn();
      for (Actor& actor : actors_) TakeAnswers(actor);
    }
    return done();
  };
  std::vector<ObjectId> ids;
  for (const auto& [id, marks] : marks_) ids.push_back(id);
  for (const ObjectId& id : ids) {
    const bool must = live_.contains(id) && (live_.at(id).flags & kSealEvictable) == 0;
    if (must) {
      Ask(last, IdRecord(SubmissionOp::kGet, id));
      if (!settle([&] { return last.asked.empty(); })) {
        return Fail(fmt::format("object {} must be there, and its get waits", id.ToHex()));
      }
      if (last.unconfirmed.empty() && !damaged_.contains(id)) {
        return Fail(fmt::format("object {} must be there, and is not", id.ToHex()));
      }
      if (!last.unconfirmed.empty()) {
        TakeOver(last, last.unconfirmed.back());
        last.unconfirmed.clear();
        if (!last.pins.empty()) {
          if (last.pins.back().mark != live_.at(id).mark) {
            Fail(fmt::format("object {} has the bytes {} of before, not {}", id.ToHex(),
                             last.pins.back().mark, live_.at(id).mark));
          }
          Unpin(last);
        }
      }
    }
    Ask(last, IdRecord(SubmissionOp::kDeleteById, id));
    if (!settle([&] { return last.asked.empty(); })) return Fail("a delete is not answered");
  }
  for (const FakeLease& lease : last.leases) {
    last.client->Push(SlotRecord(SubmissionOp::kReturnLease, lease.slot, lease.generation));
  }
  last.leases.clear();
  settle([&] { return false; });
  const CoreStats stats = store_.core().Stats();
  if (stats.objects + stats.leases + stats.doomed + stats.spilled_objects + stats.restoring !=
          0 || stats.free_bytes != stats.ready_bytes) {
    Fail(fmt::format("left over: {} objects, {} leases, {} doomed, {} on disk, {} of {} bytes "
                     "free", stats.objects, stats.leases, stats.doomed, stats.spilled_objects,
                     stats.free_bytes, stats.ready_bytes));
  }
  if (disk_.copies() != 0) Fail(fmt::format("{} copies are left on disk", disk_.copies()));
  if (!store_.host().broken.empty()) {
    Fail("an honest client was ended: " + store_.host().broken.begin()->second);
  }
}

ObjectId Simulation::AnyId() {
  if (marks_.empty() || OneIn(8)) {
    return OneIn(2) ? names_[Below(names_.size())]
                    : actors_[Below(actors_.size())].client->NextId();
  }
  // Mostly what lives.
  if (!live_.empty() && !OneIn(4)) {
    auto at = live_.begin();
    std::advance(at, static_cast<int64_t>(Below(live_.size())));
    return at->first;
  }
  auto at = marks_.begin();
  std::advance(at, static_cast<int64_t>(Below(marks_.size())));
  return at->first;
}

uint64_t Simulation::AnySize() {
  constexpr uint64_t kSizes[] = {64, 128, 1024, 1152, 2048, 5120, 10240};
  return kSizes[Below(7)];
}

}  // namespace penstock::testing
