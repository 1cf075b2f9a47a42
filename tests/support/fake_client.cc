// The fake client's half of the protocol, and operations made of several records.
#include "tests/support/fake_client.h"

#include <sys/mman.h>

#include <utility>

#include <gtest/gtest.h>

#include "store/base/check.h"
#include "store/shm/hash_index.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kIncarnation = 0x1234567;

}  // namespace

ZeroedMemory::ZeroedMemory(uint64_t bytes) : bytes_(bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PENSTOCK_CHECK(memory != MAP_FAILED) << "no memory for a test";
  data_ = static_cast<std::byte*>(memory);
}

ZeroedMemory::~ZeroedMemory() { munmap(data_, bytes_); }

Submission SealRecord(const FakeLease& lease, const ObjectId& id, uint64_t size,
                      uint32_t flags) {
  Submission record{};
  record.op = SubmissionOp::kSeal;
  record.slot = lease.slot;
  record.generation = lease.generation;
  record.id = id;
  record.size = size;
  record.flags_or_count = flags;
  return record;
}

Submission SlotRecord(SubmissionOp op, uint32_t slot, uint64_t generation) {
  Submission record{};
  record.op = op;
  record.slot = slot;
  record.generation = generation;
  return record;
}

Submission IdRecord(SubmissionOp op, const ObjectId& id, uint32_t flags) {
  Submission record{};
  record.op = op;
  record.id = id;
  record.flags_or_count = flags;
  return record;
}

Submission LeaseRecord(uint64_t block_bytes, uint32_t count) {
  Submission record{};
  record.op = SubmissionOp::kLease;
  record.size = block_bytes;
  record.flags_or_count = count;
  return record;
}

Submission ConfirmRecord(const Completion& answer) {
  Submission record =
      SlotRecord(SubmissionOp::kConfirm, answer.object.slot, answer.object.generation);
  record.flags_or_count = answer.count;
  return record;
}

Submission ReserveRecord(const ObjectId& id, uint64_t block_bytes) {
  Submission record{};
  record.op = SubmissionOp::kReserve;
  record.id = id;
  record.size = block_bytes;
  return record;
}

FakeLease LeaseIn(const Completion& grant, uint32_t i) {
  const GrantedLease& lease = grant.grant.leases[i];
  return {lease.slot(), lease.generation, lease.offset(), grant.grant.block_bytes};
}

FakeClient::FakeClient(IndexSegment index, uint64_t number, int32_t pid, SessionRole role)
    : index_(index), number_(number), incarnation_(index.header().incarnation), pid_(pid),
      role_(role),
      client_memory_(SessionGeometry::For(index.capacity()).client_bytes),
      daemon_memory_(SessionGeometry::For(index.capacity()).daemon_bytes),
      segments_(SessionSegments::At(client_memory_.data(), daemon_memory_.data(),
                                    index.capacity(), number)),
      producer_(segments_.MakeSubmissionProducer()),
      consumer_(segments_.MakeCompletionConsumer()),
      pins_(segments_.bitmap, segments_.pins) {
  segments_.Format(index.capacity(), number);
}

uint32_t FakeClient::Ask(Submission record) {
  record.request = next_request_++;
  Push(record);
  return record.request;
}

uint32_t FakeClient::Read(uint32_t most) {
  const std::optional<uint32_t> available = consumer_.Available();
  PENSTOCK_CHECK(available.has_value()) << "the core's completion tail is impossible";
  const uint32_t count = std::min(*available, most);
  for (uint32_t i = 0; i < count; ++i) {
    const Completion record = consumer_.Take();
    uint32_t first_spare = 0;
    switch (record.op) {
      case CompletionOp::kEvent:
      case CompletionOp::kEventsLost:
        events_.push_back(record);
        break;
      case CompletionOp::kSealRefused:
        refused_.push_back(record);
        break;
      default:
        if (record.request != 0) {
          answers_[record.request].push_back(record);
          first_spare = 1;
        }
        if (record.op != CompletionOp::kGrant) break;
        for (uint32_t lease = first_spare; lease < record.count; ++lease) {
          spare_.push_back(LeaseIn(record, lease));
        }
    }
  }
  if (count > 0) {
    consumer_.PublishHeadFenced();
    has_rung_ |= segments_.daemon->backlogged.load(std::memory_order_seq_cst) != 0;
  }
  return count;
}

std::optional<Completion> FakeClient::Answer(uint32_t request) {
  Read();
  const auto found = answers_.find(request);
  if (found == answers_.end()) return std::nullopt;
  EXPECT_EQ(found->second.size(), 1u) << "request " << request << " was answered twice";
  return found->second.front();
}

std::optional<Completion> FakeClient::FirstAnswer(uint32_t request) {
  Read();
  const auto found = answers_.find(request);
  if (found == answers_.end() || answered_.contains(request)) return std::nullopt;
  const Completion first = found->second.front();
  found->second.erase(found->second.begin());
  if (found->second.empty()) answers_.erase(found);
  answered_.insert(request);
  return first;
}

std::vector<Completion> FakeClient::TakeSecondAnswers() {
  std::vector<Completion> seconds;
  std::erase_if(answers_, [&](const auto& item) {
    if (!answered_.contains(item.first)) return false;
    seconds.insert(seconds.end(), item.second.begin(), item.second.end());
    return true;
  });
  return seconds;
}

AnswerCode FakeClient::Code(uint32_t request) {
  const std::optional<Completion> answer = Answer(request);
  return answer ? answer->code : kNoAnswer;
}

std::vector<Completion> FakeClient::TakeEvents() {
  Read();
  return std::exchange(events_, {});
}

std::vector<Completion> FakeClient::TakeRefusedSeals() {
  Read();
  return std::exchange(refused_, {});
}

std::vector<FakeLease> FakeClient::TakeSpareLeases() {
  Read();
  return std::exchange(spare_, {});
}

std::optional<uint32_t> FakeClient::TryPin(const ObjectId& id) {
  std::optional<uint32_t> pinned;
  ForEachCandidate(index_, id.Hash(), [&](uint32_t slot) {
    const Slot& object = index_.slot(slot);
    pins_.Pin(slot, index_.header().epoch.load(std::memory_order_relaxed));
    if (StateOf(object.state.load(std::memory_order_seq_cst)) != SlotState::kSealed ||
        object.id != id ||
        segments_.daemon->revoked.load(std::memory_order_relaxed) != 0) {
      Unpin(slot);
      return false;
    }
    pinned = slot;
    return true;
  });
  return pinned;
}

bool FakeClient::Unpin(uint32_t slot) {
  pins_.Unpin(slot);
  const uint64_t word = index_.slot(slot).state.load(std::memory_order_seq_cst);
  const SlotState state = StateOf(word);
  if (IsPlainlySealed(word) || state == SlotState::kFree || state == SlotState::kLeased) {
    return false;
  }
  Push(SlotRecord(SubmissionOp::kRelease, slot, GenerationOf(word)));
  return true;
}

void FakeClient::Confirm(const Completion& object) {
  pins_.Pin(object.object.slot, index_.header().epoch.load(std::memory_order_relaxed));
  Push(ConfirmRecord(object));
}

FakeStore::FakeStore(const FakeStoreOptions& options)
    : index_memory_(IndexGeometry::For(options.slots).total_bytes),
      arena_(options.arena_bytes), lease_memory_(LeaseGeometry::TotalBytes(options.slots)),
      index_(IndexSegment::Format(index_memory_.data(), IndexGeometry::For(options.slots),
                                  options.arena_bytes, kIncarnation)),
      leases_(LeaseSegment::Format(lease_memory_.data(), options.slots, options.arena_bytes,
                                   kIncarnation)),
      infos_(std::make_unique<ZeroedMemory>(uint64_t{options.slots} * sizeof(SlotInfo))),
      limits_(options.limits) {
  MakeCore(nullptr);
  host_.arena = arena_.data();
  if (options.populated) {
    core_->AddExtent(0, options.arena_bytes);
    core_->FinishPopulation();
  }
}

SlotState FakeStore::StateOfSlot(uint32_t slot) const {
  return StateOf(index_.slot(slot).state.load(std::memory_order_seq_cst));
}

uint64_t FakeStore::GenerationOfSlot(uint32_t slot) const {
  return GenerationOf(index_.slot(slot).state.load(std::memory_order_seq_cst));
}

FakeClient& FakeStore::Open(int32_t pid, SessionRole role) {
  auto client = std::make_unique<FakeClient>(index_, next_number_, pid, role);
  const auto row = core_->OpenSession(client->segments(), next_number_, pid, role);
  PENSTOCK_CHECK(row.ok()) << row.status().ToString();
  ++next_number_;
  client->set_row(*row);
  clients_.push_back(std::move(client));
  return *clients_.back();
}

void FakeStore::MakeCore(SpillHost* spill) {
  core_ = std::make_unique<Core>(index_, leases_, limits_, &host_,
                                 SlotInfoTable(reinterpret_cast<SlotInfo*>(infos_->data())));
  core_->EnableSpill(spill);
}

template <typename TakeOver>
RecoveryReport FakeStore::GoOn(TakeOver&& take_over) {
  std::vector<KeptSession> kept;
  std::vector<FakeClient*> open;
  for (const auto& client : clients_) {
    if (!client->open()) continue;
    kept.push_back({client->segments(), client->number(), client->pid(), client->role()});
    open.push_back(client.get());
  }
  std::vector<SessionRow> rows;
  const RecoveryReport report = take_over(kept, rows);
  for (size_t i = 0; i < rows.size(); ++i) open[i]->set_row(rows[i]);
  core_->FinishPopulation();
  core_->CheckInvariants();
  return report;
}

RecoveryReport FakeStore::Restart(SpillHost* spill, std::span<const uint32_t> copies) {
  core_.reset();
  infos_ = std::make_unique<ZeroedMemory>(uint64_t{index_.capacity()} * sizeof(SlotInfo));
  MakeCore(spill);
  return GoOn([&](std::span<const KeptSession> kept, std::vector<SessionRow>& rows) {
    return core_->Recover(kept, rows, copies);
  });
}

RecoveryReport FakeStore::Resume(const std::string& state, SpillHost* spill,
                                 std::span<const uint32_t> copies) {
  MakeCore(spill);
  PENSTOCK_CHECK(Core::CanResume(state, index_));
  return GoOn([&](std::span<const KeptSession> kept, std::vector<SessionRow>& rows) {
    return core_->Resume(state, kept, rows, copies);
  });
}

void FakeStore::Close(FakeClient& client) {
  core_->CloseSession(client.row());
  client.set_closed();
  core_->CheckInvariants();
}

void FakeStore::HearBells() {
  for (const auto& client : clients_) {
    if (client->TakeBell() && client->open()) core_->Hear(client->row());
  }
}

bool FakeStore::Turn() {
  HearBells();
  const bool worked = core_->Turn();
  core_->CheckInvariants();
  return worked;
}

FakeLease FakeStore::Lease(FakeClient& client, uint64_t block_bytes) {
  const uint32_t request = client.Ask(LeaseRecord(block_bytes));
  Turn();
  const std::optional<Completion> answer = client.Answer(request);
  PENSTOCK_CHECK(answer && answer->op == CompletionOp::kGrant)
      << "no lease of " << block_bytes << " bytes: code "
      << static_cast<int>(answer ? answer->code : kNoAnswer);
  return LeaseIn(*answer);
}

FakeLease FakeStore::Reserve(FakeClient& client, const ObjectId& id, uint64_t block_bytes) {
  const uint32_t request = client.Ask(ReserveRecord(id, block_bytes));
  Turn();
  const std::optional<Completion> answer = client.Answer(request);
  PENSTOCK_CHECK(answer && answer->op == CompletionOp::kGrant && answer->for_reserved_id == 1)
      << "no reservation: code " << static_cast<int>(answer ? answer->code : kNoAnswer);
  return LeaseIn(*answer);
}

FakeObject FakeStore::Put(FakeClient& client, uint64_t size, uint32_t flags) {
  FakeObject object{client.NextId(), Lease(client, BlockBytes(size)), size};
  client.Push(SealRecord(object.lease, object.id, size, flags));
  Turn();
  return object;
}

FakeObject FakeStore::PutAs(FakeClient& client, const ObjectId& id, uint64_t size,
                            uint32_t flags) {
  FakeObject object{id, Reserve(client, id, BlockBytes(size)), size};
  client.Push(SealRecord(object.lease, id, size, flags));
  Turn();
  return object;
}

void FakeStore::Delete(FakeClient& client, const FakeObject& object) {
  client.Push(SlotRecord(SubmissionOp::kDelete, object.lease.slot, object.lease.generation));
  Turn();
}

bool FakeStore::Contains(FakeClient& client, const ObjectId& id) {
  const uint32_t request = client.Ask(IdRecord(SubmissionOp::kContains, id));
  Turn();
  const std::optional<Completion> answer = client.Answer(request);
  PENSTOCK_CHECK(answer.has_value()) << "contains was not answered";
  return answer->detail[0] == 1;
}

AnswerCode FakeStore::GetNow(FakeClient& client, const ObjectId& id) {
  const uint32_t request = client.Ask(IdRecord(SubmissionOp::kGet, id, kGetNoWait));
  Turn();
  const std::optional<Completion> answer = client.Answer(request);
  PENSTOCK_CHECK(answer.has_value()) << "a get without waiting was not answered";
  if (answer->op != CompletionOp::kObject) return answer->code;
  client.Confirm(*answer);
  Turn();
  client.Unpin(answer->object.slot);
  return AnswerCode::kOk;
}

}  // namespace penstock::testing
