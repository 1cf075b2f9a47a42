// The honest clients' side of the session target: what they do, and what they may expect.
#include "tests/fuzz/session_world.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "store/base/check.h"

namespace penstock::fuzz {
namespace {

using testing::IdRecord;
using testing::LeaseIn;
using testing::LeaseRecord;
using testing::ReserveRecord;
using testing::SealRecord;
using testing::SlotRecord;

constexpr size_t kMostSessions = 8;
// Of hostile records a turn takes a ring's full at most, and defers none of them twice.
constexpr int kMostTurnsToRest = 64;
// So long an honest client waits for room, then it cancels.
constexpr uint32_t kPatience_turns = 3;
// Far from the limit of requests, which is no honest client's business.
constexpr size_t kMostAskedAgain = 16;

// The first and the last eight bytes.
std::array<uint64_t, 2> PlacesOfMarks(const Block& block) {
  return {block.lease.offset, block.lease.offset + block.lease.block_bytes - 8};
}

}  // namespace

std::optional<uint32_t> World::LeasedSlot(uint64_t session, size_t nth) const {
  std::vector<uint32_t> slots;
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    const LeaseEntry& entry = store_.lease_entry(slot);
    if (entry.kind == LeaseKind::kLease && entry.session == session) slots.push_back(slot);
  }
  if (slots.empty()) return std::nullopt;
  return slots[nth % slots.size()];
}

std::optional<ObjectId> World::SomeId(size_t nth) const {
  size_t count = 0;
  for (const auto& who : honest_) count += who->objects.size();
  if (count == 0) return std::nullopt;
  nth %= count;
  for (const auto& who : honest_) {
    for (const auto& [slot, object] : who->objects) {
      if (nth-- == 0) return object.id;
    }
  }
  return std::nullopt;
}

void World::OpenHonest() {
  if (honest_.size() + hostile_.size() >= kMostSessions) return;
  FakeClient& client = store_.Open(1000);
  store_.host().broken.erase(client.row());
  numbers_.push_back(client.number());
  honest_.push_back(std::make_unique<HonestClient>(client));
}

void World::OpenHostile() {
  if (honest_.size() + hostile_.size() >= kMostSessions) return;
  FakeClient& client = store_.Open(6666);
  store_.host().broken.erase(client.row());
  numbers_.push_back(client.number());
  hostile_.push_back(&client);
}

void World::KillHonest(size_t which) {
  if (honest_.empty()) return;
  which %= honest_.size();
  store_.Close(honest_[which]->client());
  honest_.erase(honest_.begin() + static_cast<ptrdiff_t>(which));
}

void World::KillHostile(size_t which) {
  if (hostile_.empty()) return;
  which %= hostile_.size();
  Restrain(*hostile_[which]);
  store_.Close(*hostile_[which]);
  hostile_.erase(hostile_.begin() + static_cast<ptrdiff_t>(which));
}

void World::AskForLease(HonestClient& who, uint64_t block_bytes, bool ahead) {
  if (!who.client().HasRoom()) return;
  if (ahead) return who.client().Push(LeaseRecord(block_bytes, 3));
  AskFor(who, Request::Kind::kRoom, {}, LeaseRecord(block_bytes));
}

void World::Reserve(HonestClient& who, const ObjectId& id, uint64_t block_bytes) {
  if (!who.client().HasRoom()) return;
  AskFor(who, Request::Kind::kRoom, id, ReserveRecord(id, block_bytes));
}

void World::GiveBack(HonestClient& who) {
  if (who.leases.empty() || !who.client().HasRoom()) return;
  const FakeLease lease = who.leases.back().lease;
  who.leases.pop_back();
  who.client().Push(SlotRecord(SubmissionOp::kReturnLease, lease.slot, lease.generation));
}

void World::Seal(HonestClient& who, uint64_t size, uint32_t flags) {
  if (who.leases.empty() || !who.client().HasRoom()) return;
  const Block block = who.leases.back();
  who.leases.pop_back();
  Object object;
  object.id = block.reserved_for ? *block.reserved_for : who.client().NextId();
  object.block = block;
  object.size = std::min(size, block.lease.block_bytes);
  object.flags = flags;
  who.client().Push(SealRecord(block.lease, object.id, object.size, flags));
  who.objects[block.lease.slot] = object;
}

void World::Ask(HonestClient& who, Request::Kind kind, const ObjectId& id) {
  if (!who.client().HasRoom()) return;
  Submission record{};
  switch (kind) {
    case Request::Kind::kSync: record = IdRecord(SubmissionOp::kSync, {}); break;
    case Request::Kind::kContains: record = IdRecord(SubmissionOp::kContains, id); break;
    case Request::Kind::kGetNow: record = IdRecord(SubmissionOp::kGet, id, kGetNoWait); break;
    case Request::Kind::kGetWait: record = IdRecord(SubmissionOp::kGet, id); break;
    case Request::Kind::kRoom: return;
  }
  AskFor(who, kind, id, record);
}

void World::AskFor(HonestClient& who, Request::Kind kind, const ObjectId& id,
                   const Submission& record) {
  Request request{.kind = kind, .number = who.client().Ask(record), .id = id};
  request.record = record;
  who.requests.push_back(request);
}

void World::Pin(HonestClient& who) {
  for (auto& [slot, object] : who.objects) {
    if (!object.published || object.deleted || object.pins > 0) continue;
    if (who.client().TryPin(object.id) != slot) {
      PENSTOCK_CHECK(FindWhatMustBeThere(object.id) == nullptr || object.flags != 0)
          << "an honest object cannot be pinned";
      continue;
    }
    ++object.pins;
    return;
  }
}

void World::Unpin(HonestClient& who) {
  if (!who.client().HasRoom()) return;
  for (auto& [slot, object] : who.objects) {
    if (object.pins == 0) continue;
    --object.pins;
    who.client().Unpin(slot);
    return;
  }
  if (who.pins.empty()) return;
  const auto pin = who.pins.begin();
  who.client().Unpin(pin->first);
  if (--pin->second == 0) who.pins.erase(pin);
}

void World::Delete(HonestClient& who) {
  if (!who.client().HasRoom()) return;
  for (auto& [slot, object] : who.objects) {
    if (object.deleted || !object.published) continue;
    object.deleted = true;
    who.client().Push(SlotRecord(SubmissionOp::kDelete, slot, object.block.lease.generation));
    return;
  }
}

void World::Cancel(HonestClient& who) {
  for (Request& request : who.requests) {
    if (request.cancelled || !who.client().HasRoom()) continue;
    request.cancelled = true;
    Submission cancel{};
    cancel.op = SubmissionOp::kCancel;
    cancel.request = request.number;
    who.client().Push(cancel);
    return;
  }
}

// Takes what any client may do to honest ones out of a hostile ring.
void World::Restrain(FakeClient& hostile) {
  if (!nobody_deletes_) return;
  const SessionSegments& segments = hostile.segments();
  const uint64_t head = segments.daemon->submission_head.load();
  const uint64_t tail = segments.client->submission_tail.load();
  if (tail - head > kSubmissionEntries) return;
  const auto is_honest = [&](uint64_t session) {
    return std::ranges::any_of(honest_, [&](auto& who) {
      return who->client().number() == session;
    });
  };
  for (uint64_t at = head; at != tail; ++at) {
    Submission& record = segments.submissions[at % kSubmissionEntries];
    const bool of_honest = record.id.home == store_.index().header().incarnation
                               ? is_honest(record.id.session)
                               : record.id.IsFromName();
    if (record.op == SubmissionOp::kDelete && record.slot < kSlots &&
        store_.lease_entry(record.slot).kind != LeaseKind::kNone &&
        is_honest(store_.lease_entry(record.slot).session)) {
      record.op = SubmissionOp::kRelease;
    }
    if (of_honest && record.op == SubmissionOp::kDeleteById) record.op = SubmissionOp::kContains;
    if (of_honest && record.op == SubmissionOp::kReserve) record.id.home ^= ~uint64_t{0};
  }
}

bool World::MustBeThere(const Object& object) const {
  return nobody_deletes_ && object.published && !object.deleted &&
         (object.flags & kSealEvictable) == 0;
}

// A name may have had another object before, that is deleted and still pinned.
const Object* World::FindWhatMustBeThere(const ObjectId& id) const {
  for (const auto& who : honest_) {
    for (const auto& [slot, object] : who->objects) {
      if (object.id == id && MustBeThere(object)) return &object;
    }
  }
  return nullptr;
}

void World::TakeGrant(HonestClient& who, const FakeLease& lease,
                      const std::optional<ObjectId>& reserved_for) {
  PENSTOCK_CHECK(lease.slot < kSlots && lease.block_bytes >= 64 &&
                 lease.offset + lease.block_bytes <= kArenaBytes);
  const Block block{lease, next_mark_++, reserved_for};
  Mark(block);
  who.leases.push_back(block);
}

void World::Mark(const Block& block) {
  for (const uint64_t at : PlacesOfMarks(block)) {
    std::memcpy(store_.Bytes(at, 8).data(), &block.mark, 8);
  }
}

// An object that nobody has pinned may have been moved: what is stored of it came along, and
// the rest of its new block is marked anew.
void World::Follow(const HonestClient& who, Object& object) {
  FakeLease& lease = object.block.lease;
  const LeaseEntry& entry = store_.lease_entry(lease.slot);
  if (entry.offset == lease.offset || object.pins > 0 || who.pins.contains(lease.slot)) return;
  const size_t stored = std::min<size_t>(sizeof(object.block.mark), object.size);
  PENSTOCK_CHECK(std::memcmp(store_.Bytes(entry.offset, 8).data(), &object.block.mark,
                             stored) == 0)
      << "slot " << lease.slot << " was moved and its bytes were not";
  lease.offset = entry.offset;
  lease.block_bytes = entry.block_bytes;
  Mark(object.block);
}

void World::FollowAll(HonestClient& who) {
  for (auto& [slot, object] : who.objects) {
    if (store_.GenerationOfSlot(slot) == object.block.lease.generation) Follow(who, object);
  }
}

void World::TakeObject(HonestClient& who, const Completion& answer) {
  if (const Object* const known = FindWhatMustBeThere(answer.object.id)) {
    const FakeLease& lease = known->block.lease;
    PENSTOCK_CHECK(answer.object.slot == lease.slot && answer.object.offset == lease.offset &&
                   answer.object.generation == lease.generation &&
                   answer.object.size == known->size)
        << "a get was answered with another object";
  }
  if (!who.client().HasRoom()) return;  // the hold stays, which harms nobody
  who.client().Confirm(answer);
  ++who.pins[answer.object.slot];
}

// True when it is answered, and so over.
bool World::TakeAnswer(HonestClient& who, Request& request) {
  const std::optional<Completion> answer = who.client().Answer(request.number);
  ++request.turns;
  if (!answer) {
    if (request.may_be_lost) return request.turns > kPatience_turns;
    const bool may_wait = request.kind == Request::Kind::kGetWait ||
                          request.kind == Request::Kind::kRoom;
    PENSTOCK_CHECK(may_wait && !request.cancelled)
        << "request " << request.number << " was not answered";
    return false;
  }
  switch (answer->op) {
    case CompletionOp::kObject: TakeObject(who, *answer); break;
    case CompletionOp::kGrant: {
      std::optional<ObjectId> reserved_for;
      if (answer->for_reserved_id == 1) reserved_for = request.id;
      TakeGrant(who, LeaseIn(*answer), reserved_for);
      break;
    }
    default: {
      const bool there = FindWhatMustBeThere(request.id) != nullptr;
      if (request.kind == Request::Kind::kContains && !request.cancelled) {
        PENSTOCK_CHECK(answer->code == AnswerCode::kOk);
        PENSTOCK_CHECK(!there || answer->detail[0] == 1) << "an honest object is denied";
      }
      if (request.kind == Request::Kind::kGetNow && !request.cancelled) {
        PENSTOCK_CHECK(!there) << "an honest object is refused with "
                               << static_cast<int>(answer->code);
      }
      if (request.kind == Request::Kind::kSync) {
        PENSTOCK_CHECK(answer->code == AnswerCode::kOk);
      }
    }
  }
  return true;
}

void World::Collect(HonestClient& who) {
  FakeClient& client = who.client();
  client.Read();
  std::vector<Request> open;
  for (Request& request : std::exchange(who.requests, {})) {
    if (!TakeAnswer(who, request)) open.push_back(request);
  }
  who.requests = std::move(open);
  for (const FakeLease& lease : client.TakeSpareLeases()) TakeGrant(who, lease, {});
  for (const Completion& refused : client.TakeRefusedSeals()) {
    PENSTOCK_CHECK(!nobody_deletes_ || refused.object.id.IsFromName())
        << "a seal of an id of its own was refused";
    std::erase_if(who.objects,
                  [&](const auto& item) { return item.second.id == refused.object.id; });
  }
  client.TakeEvents();
  for (Request& request : who.requests) {
    if (request.kind != Request::Kind::kRoom || request.cancelled ||
        request.turns < kPatience_turns || !client.HasRoom()) {
      continue;
    }
    request.cancelled = true;
    Submission cancel{};
    cancel.op = SubmissionOp::kCancel;
    cancel.request = request.number;
    client.Push(cancel);
  }
}

void World::CheckBlock(const Block& block) {
  for (const uint64_t at : PlacesOfMarks(block)) {
    uint64_t mark = 0;
    std::memcpy(&mark, store_.Bytes(at, 8).data(), 8);
    PENSTOCK_CHECK(mark == block.mark) << "bytes of slot " << block.lease.slot
                                       << " were given to another";
  }
}

void World::CheckObject(HonestClient& who, Object& object) {
  const FakeLease& lease = object.block.lease;
  const bool is_gone = store_.GenerationOfSlot(lease.slot) != lease.generation;
  if (is_gone) {
    PENSTOCK_CHECK(object.pins == 0 && !who.pins.contains(lease.slot))
        << "slot " << lease.slot << " was reused under a pin";
    PENSTOCK_CHECK(!MustBeThere(object)) << "an honest object is gone";
    return;
  }
  Follow(who, object);
  CheckBlock(object.block);
  const SlotState state = store_.StateOfSlot(lease.slot);
  PENSTOCK_CHECK(state == SlotState::kSealed || state == SlotState::kDeleted);
  PENSTOCK_CHECK(state == SlotState::kSealed || !MustBeThere(object))
      << "an honest object was deleted";
  const Slot& slot = store_.index().slot(lease.slot);
  PENSTOCK_CHECK(slot.id == object.id && slot.size == object.size &&
                 slot.offset == lease.offset);
}

void World::CheckHonest(HonestClient& who) {
  FakeClient& client = who.client();
  PENSTOCK_CHECK(!store_.host().broken.contains(client.row()))
      << "an honest session was ended: " << store_.host().broken[client.row()];
  PENSTOCK_CHECK(client.segments().daemon->revoked.load() == 0);
  for (const Block& block : who.leases) {
    CheckBlock(block);
    const LeaseEntry& entry = store_.lease_entry(block.lease.slot);
    PENSTOCK_CHECK(entry.kind == LeaseKind::kLease && entry.session == client.number() &&
                   entry.offset == block.lease.offset)
        << "an honest lease is gone";
  }
  for (auto& [slot, object] : who.objects) {
    object.published = true;
    CheckObject(who, object);
  }
  std::erase_if(who.objects, [&](const auto& item) {
    return store_.GenerationOfSlot(item.first) != item.second.block.lease.generation;
  });
}

void World::CheckNoOverlap() {
  std::vector<std::pair<uint64_t, uint64_t>> blocks;
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    const LeaseEntry& entry = store_.lease_entry(slot);
    if (entry.kind == LeaseKind::kNone) continue;
    if (entry.kind == LeaseKind::kObject) {
      const Slot& object = store_.index().slot(slot);
      PENSTOCK_CHECK(object.offset == entry.offset && object.size <= entry.block_bytes &&
                     MetadataOffset(object.size) + object.metadata_size <= entry.block_bytes)
          << "slot " << slot << " reaches beyond its block";
    }
    blocks.emplace_back(entry.offset, entry.offset + entry.block_bytes);
  }
  std::ranges::sort(blocks);
  for (size_t i = 1; i < blocks.size(); ++i) {
    PENSTOCK_CHECK(blocks[i - 1].second <= blocks[i].first) << "blocks overlap";
  }
}

void World::CheckAll() {
  for (const auto& who : honest_) CheckHonest(*who);
  CheckNoOverlap();
}

void World::Turn() {
  for (FakeClient* const hostile : hostile_) Restrain(*hostile);
  // A turn takes long rings in parts; what is checked is what comes of all of it.
  for (uint64_t before = ~uint64_t{0}; before != store_.core().Stats().records;) {
    before = store_.core().Stats().records;
    store_.Turn();
    for (const auto& who : honest_) FollowAll(*who);
  }
  for (const auto& who : honest_) Collect(*who);
  CheckAll();
}

void World::Restart() {
  for (const auto& who : honest_) {
    for (Request& request : who->requests) {
      request.may_be_lost = true;
      request.turns = 0;
    }
    Collect(*who);  // the answers that the dead daemon published
  }
  for (FakeClient* const hostile : hostile_) Restrain(*hostile);
  store_.host().broken.clear();  // by rows that are given anew
  store_.Restart();
  CheckAll();
  for (const auto& who : honest_) {
    std::vector<Request> lost = who->requests;
    if (lost.size() > kMostAskedAgain) lost.resize(kMostAskedAgain);
    for (const Request& request : lost) {
      if (request.cancelled || !who->client().HasRoom()) continue;
      AskFor(*who, request.kind, request.id, request.record);
    }
  }
}

void World::ReturnMemory() {
  for (const auto& extent : store_.core().TakeFreeExtents(0, 1 * kKiB)) {
    std::ranges::fill(store_.Bytes(extent.offset, extent.bytes), std::byte{0});
    returned_.push_back(extent);
  }
}

void World::FetchMemory() {
  if (returned_.empty()) return;
  store_.core().AddExtent(returned_.back().offset, returned_.back().bytes);
  returned_.pop_back();
}

void World::Settle() {
  for (int i = 0; i < kMostTurnsToRest; ++i) {
    const uint64_t records = store_.core().Stats().records;
    Turn();
    if (store_.core().Stats().records != records || !store_.core().PreparePark()) continue;
    store_.core().Unpark();
    return;
  }
  PENSTOCK_CHECK(false) << "the core does not come to rest";
}

void World::End() {
  while (!returned_.empty()) FetchMemory();
  Settle();
  while (!hostile_.empty()) KillHostile(0);
  Settle();
  while (!honest_.empty()) KillHonest(0);
  store_.core().DropObjectsOf(numbers_);
  store_.Turn();
  const CoreStats stats = store_.core().Stats();
  PENSTOCK_CHECK(stats.sessions == 0 && stats.leases == 0 && stats.objects == 0 &&
                 stats.doomed == 0 && stats.room_waiters == 0 && stats.get_waiters == 0 &&
                 stats.evictable_bytes == 0)
      << stats.leases << " leases, " << stats.objects << " objects, " << stats.doomed
      << " doomed, " << stats.get_waiters << " waiters are left";
  PENSTOCK_CHECK(stats.free_bytes == kArenaBytes) << stats.free_bytes;
}

}  // namespace penstock::fuzz
