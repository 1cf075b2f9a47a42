// A store's core with clients around it, all in one process and one thread: no daemon, no
// socket, no clock. FakeClient speaks the ring protocol as a library would, or breaks it.
#ifndef PENSTOCK_TESTS_SUPPORT_FAKE_CLIENT_H_
#define PENSTOCK_TESTS_SUPPORT_FAKE_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "store/object/core.h"
#include "store/shm/pin_row.h"
#include "store/shm/session_segment.h"

namespace penstock::testing {

// Zeroed anonymous memory, page aligned; a page never touched costs nothing.
class ZeroedMemory {
 public:
  explicit ZeroedMemory(uint64_t bytes);
  ~ZeroedMemory();
  ZeroedMemory(const ZeroedMemory&) = delete;
  ZeroedMemory& operator=(const ZeroedMemory&) = delete;
  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  std::byte* data_;
  uint64_t bytes_;
};

struct FakeLease {
  uint32_t slot = 0;
  uint64_t generation = 0;
  uint64_t offset = 0;
  uint64_t block_bytes = 0;
};

// A sealed object as its maker knows it.
struct FakeObject {
  ObjectId id;
  FakeLease lease;
  uint64_t size = 0;
};

// Records as a well-behaved client writes them.
Submission SealRecord(const FakeLease& lease, const ObjectId& id, uint64_t size,
                      uint32_t flags = 0);
Submission SlotRecord(SubmissionOp op, uint32_t slot, uint64_t generation);
// Of the hold that came with this answer.
Submission ConfirmRecord(const Completion& answer);
Submission IdRecord(SubmissionOp op, const ObjectId& id, uint32_t flags = 0);
Submission LeaseRecord(uint64_t block_bytes, uint32_t count = 1);
Submission ReserveRecord(const ObjectId& id, uint64_t block_bytes);

// One session. Thread safety: one thread at a time.
class FakeClient {
 public:
  FakeClient(IndexSegment index, uint64_t number, int32_t pid,
             SessionRole role = SessionRole::kReadWrite);
  FakeClient(const FakeClient&) = delete;
  FakeClient& operator=(const FakeClient&) = delete;

  uint64_t number() const { return number_; }
  int32_t pid() const { return pid_; }
  SessionRole role() const { return role_; }
  SessionRow row() const { return row_; }
  void set_row(SessionRow row) { row_ = row; }
  bool open() const { return open_; }
  void set_closed() { open_ = false; }
  const SessionSegments& segments() const { return segments_; }
  // An id that this session may seal under without asking.
  ObjectId NextId() { return {incarnation_, number_, next_sequence_++}; }

  // Writes a record that nobody sees before Publish.
  void Write(const Submission& record) { producer_.Write(record); }
  void Publish() {
    producer_.Publish();
    // SYNC S1 parking, producer's half, of a ring out of the core's sight.
    has_rung_ |= segments_.daemon->unwatched.load(std::memory_order_seq_cst) != 0;
  }
  // Whether it rang its session's doorbell since it was asked last.
  bool TakeBell() { return std::exchange(has_rung_, false); }
  void Push(const Submission& record) {
    Write(record);
    Publish();
  }
  bool HasRoom() { return producer_.HasRoom(); }
  // Pushes under a fresh request number and returns that.
  uint32_t Ask(Submission record);

  // Takes at most `most` completions out of the ring and sorts them. How many there were.
  uint32_t Read(uint32_t most = kCompletionEntries);
  // The answer to `request`, reading first; nothing when none came. Fails the test when
  // there is more than one.
  std::optional<Completion> Answer(uint32_t request);
  // The same where a restart of the daemon may bring a second answer: the first one, once.
  std::optional<Completion> FirstAnswer(uint32_t request);
  // What came for requests whose first answer was taken.
  std::vector<Completion> TakeSecondAnswers();
  // Its code: kOk also for an object or a grant, kNoAnswer when none came.
  AnswerCode Code(uint32_t request);
  std::vector<Completion> TakeEvents();       // kEvent and kEventsLost, in order
  std::vector<Completion> TakeRefusedSeals();
  std::vector<FakeLease> TakeSpareLeases();   // granted ahead

  // SYNC S2: looks up, pins, looks again. The slot pinned.
  std::optional<uint32_t> TryPin(const ObjectId& id);
  // SYNC S3: lets the pin go, and pushes a release record where the slot asks for one.
  // True if it did.
  bool Unpin(uint32_t slot);
  // Takes a pin over from the daemon: own pin first, then the confirmation.
  void Confirm(const Completion& object);
  PinRow& pins() { return pins_; }

 private:
  IndexSegment index_;
  const uint64_t number_;
  const uint64_t incarnation_;
  const int32_t pid_;
  const SessionRole role_;
  SessionRow row_ = 0;
  bool open_ = true;
  ZeroedMemory client_memory_;
  ZeroedMemory daemon_memory_;
  SessionSegments segments_;
  SubmissionProducer producer_;
  CompletionConsumer consumer_;
  PinRow pins_;
  bool has_rung_ = false;
  uint64_t next_sequence_ = 1;
  uint32_t next_request_ = 1;
  std::map<uint32_t, std::vector<Completion>> answers_;
  std::set<uint32_t> answered_;  // by FirstAnswer
  std::vector<Completion> events_;
  std::vector<Completion> refused_;
  std::vector<FakeLease> spare_;
};

struct FakeHost : CoreHost {
  void Wake(SessionRow row) override { wakes.push_back(row); }
  void AskForLeases(SessionRow row) override { asked_for_leases.push_back(row); }
  void SessionBroken(SessionRow row, const std::string& why) override {
    broken[row] = why;
    if (when_broken) when_broken();
  }
  void CopyBlock(uint64_t from, uint64_t to, uint64_t bytes) override {
    std::memcpy(arena + to, arena + from, bytes);
    copied_bytes += bytes;
    if (when_copied) when_copied();
  }
  std::vector<SessionRow> wakes;
  std::vector<SessionRow> asked_for_leases;
  std::map<SessionRow, std::string> broken;  // row -> why
  std::function<void()> when_broken;         // runs in the middle of a turn
  std::byte* arena = nullptr;
  uint64_t copied_bytes = 0;
  std::function<void()> when_copied;         // as well
};

struct FakeStoreOptions {
  uint32_t slots = 64;
  uint64_t arena_bytes = 1 * kMiB;
  CoreLimits limits = {};
  bool populated = true;  // the whole arena is given to the core at once
};

class FakeStore {
 public:
  explicit FakeStore(const FakeStoreOptions& options = {});

  Core& core() { return *core_; }
  FakeHost& host() { return host_; }
  IndexSegment index() const { return index_; }
  LeaseEntry& lease_entry(uint32_t slot) const { return leases_[slot]; }
  LeaseSegment& lease_table() { return leases_; }
  std::span<std::byte> Bytes(uint64_t offset, uint64_t bytes) {
    return {arena_.data() + offset, bytes};
  }
  SlotState StateOfSlot(uint32_t slot) const;
  uint64_t GenerationOfSlot(uint32_t slot) const;

  // Clients live as long as the store, also after Close.
  FakeClient& Open(int32_t pid = 4711, SessionRole role = SessionRole::kReadWrite);
  void Close(FakeClient& client);
  // The core is gone from one store to the next, as by SIGKILL, and another takes the store
  // and the sessions over.
  RecoveryReport Restart(SpillHost* spill = nullptr, std::span<const uint32_t> copies = {});
  // The same of a core that leaves in order, in two steps between which it may die too.
  std::string Retire() { return core_->Retire(); }
  RecoveryReport Resume(const std::string& state, SpillHost* spill = nullptr,
                        std::span<const uint32_t> copies = {});
  // The core hears of the doorbells that were rung, as by the reactor.
  void HearBells();
  // That, one turn of the core, then all its invariants.
  bool Turn();

  // Whole operations, turns included. They fail the test where the store refuses.
  FakeLease Lease(FakeClient& client, uint64_t block_bytes);
  FakeLease Reserve(FakeClient& client, const ObjectId& id, uint64_t block_bytes);
  FakeObject Put(FakeClient& client, uint64_t size, uint32_t flags = 0);
  FakeObject PutAs(FakeClient& client, const ObjectId& id, uint64_t size, uint32_t flags = 0);
  void Delete(FakeClient& client, const FakeObject& object);
  bool Contains(FakeClient& client, const ObjectId& id);
  AnswerCode GetNow(FakeClient& client, const ObjectId& id);  // kOk: there; confirmed, let go

 private:
  void MakeCore(SpillHost* spill);
  template <typename TakeOver>
  RecoveryReport GoOn(TakeOver&& take_over);

  ZeroedMemory index_memory_;
  ZeroedMemory arena_;
  ZeroedMemory lease_memory_;
  IndexSegment index_;
  LeaseSegment leases_;
  std::unique_ptr<ZeroedMemory> infos_;
  CoreLimits limits_;
  FakeHost host_;
  std::unique_ptr<Core> core_;
  std::vector<std::unique_ptr<FakeClient>> clients_;
  uint64_t next_number_ = 1;
};

// The lease number `i` of a grant.
FakeLease LeaseIn(const Completion& grant, uint32_t i = 0);

// "no answer" of FakeClient::Code.
inline constexpr AnswerCode kNoAnswer = static_cast<AnswerCode>(255);

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_SUPPORT_FAKE_CLIENT_H_
