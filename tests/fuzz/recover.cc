// A daemon's successor over tables that say anything: honest sessions and objects first,
// then a program of raw words in slots, lease entries, hash buckets and the daemon's half of
// sessions, then the takeover. What the tables say may be dropped; what is kept must fit
// together, go on working, and be kept by the next takeover too.
#include <gtest/gtest.h>

#include <vector>

#include "tests/fuzz/input.h"
#include "tests/support/fake_client.h"

namespace penstock::fuzz {
namespace {

using testing::FakeClient;
using testing::FakeLease;
using testing::FakeObject;
using testing::FakeStore;
using testing::SealRecord;
using testing::SlotRecord;

constexpr uint32_t kSlots = 24;
constexpr uint64_t kArenaBytes = 64 * kKiB;
constexpr uint64_t kBlocks[] = {64, 128, 192, 1024, 4096, 16384};
constexpr int kMostSteps = 100;
constexpr int kMostTakeovers = 4;
// A generation never comes near its end: a daemon counts to 2^48 in no lifetime.
constexpr uint64_t kMostGeneration = uint64_t{1} << 40;

class Program {
 public:
  explicit Program(Input input) : input_(input) {
    for (int i = 0; i < 2; ++i) clients_.push_back(&store_.Open());
  }

  void Run() {
    for (int i = 0; i < kMostSteps && takeovers_ < kMostTakeovers && !input_.empty(); ++i) {
      const size_t step = input_.Pick(16);
      if (step < 6) {
        Use(step);
      } else if (step < 15) {
        Tear(step);
      } else {
        TakeOver();
      }
    }
    TakeOver();
    End();
  }

 private:
  FakeClient& Client() { return *clients_[input_.Pick(clients_.size())]; }
  uint32_t SomeSlot() { return static_cast<uint32_t>(input_.Pick(kSlots)); }
  // Of a slot's, or of nobody's.
  ObjectId Id() {
    const uint8_t which = input_.Byte();
    if (which < 160) return store_.index().slot(which % kSlots).id;
    if (which < 200) return ObjectId::FromName(std::string(1, static_cast<char>(which)));
    return {store_.index().header().incarnation, which % 4u, input_.Byte()};
  }
  uint64_t Word(uint64_t known) {
    const uint8_t how = input_.Byte();
    if (how < 64) return known + 64 * (how % 16u) - 512;
    if (how < 160) return kBlocks[how % std::size(kBlocks)] * (how % 8u);
    if (how < 200) return how - 160u;
    return input_.Take<uint64_t>();
  }

  // What daemons and clients do; only between takeovers, when the tables are whole.
  void Use(size_t step) {
    if (torn_) TakeOver();
    FakeClient& client = Client();
    if (!client.HasRoom()) return;
    switch (step) {
      case 0: case 1: {
        const uint32_t request =
            client.Ask(testing::LeaseRecord(kBlocks[input_.Pick(std::size(kBlocks))]));
        store_.Turn();
        const auto answer = client.Answer(request);
        if (!answer || answer->op != CompletionOp::kGrant) return;
        const FakeLease lease = testing::LeaseIn(*answer);
        if (step == 1) return;
        const uint64_t size = lease.block_bytes - input_.Pick(64);
        const auto flags = static_cast<uint32_t>(input_.Pick(12));
        client.Push(SealRecord(lease, client.NextId(), size, flags));
        return;
      }
      case 2: {
        const uint32_t slot = SomeSlot();
        client.Push(SlotRecord(SubmissionOp::kDelete, slot, store_.GenerationOfSlot(slot)));
        return;
      }
      case 3: client.TryPin(Id()); return;
      case 4: {
        const std::string name(1, static_cast<char>('a' + input_.Pick(3)));
        const uint64_t block = kBlocks[input_.Pick(std::size(kBlocks))];
        client.Ask(testing::ReserveRecord(ObjectId::FromName(name), block));
        return;
      }
      default: store_.Turn();
    }
  }

  // Between two stores of the dead daemon, and beyond.
  void Tear(size_t step) {
    torn_ = true;
    const uint32_t slot = SomeSlot();
    penstock::Slot& object = store_.index().slot(slot);
    LeaseEntry& lease = store_.lease_entry(slot);
    switch (step) {
      case 6: case 7: {
        const uint64_t generation = step == 6
                                        ? store_.GenerationOfSlot(slot)
                                        : input_.Take<uint64_t>() % kMostGeneration;
        object.state.store(SlotWord(SlotState::kFree, generation) | input_.Pick(16));
        return;
      }
      case 8: object.offset = Word(object.offset); return;
      case 9:
        object.size = Word(object.size);
        object.metadata_size = input_.Byte();
        object.flags = static_cast<uint32_t>(input_.Pick(16));
        return;
      case 10: object.id = Id(); return;
      case 11:
        lease.offset = Word(lease.offset);
        lease.block_bytes = Word(lease.block_bytes);
        return;
      case 12:
        lease.kind = static_cast<LeaseKind>(input_.Pick(5));
        lease.session = input_.Pick(5);
        lease.maker_pid = input_.Byte();
        lease.told_at = input_.Pick(2) == 0 ? kNotTold : Word(0);
        return;
      case 13: lease.reserved_id = Id(); return;
      default: {
        const SessionSegments& segments = Client().segments();
        switch (input_.Pick(5)) {
          case 0: {
            Bucket& bucket = store_.index().bucket(SomeSlot() & store_.index().bucket_mask());
            std::atomic<uint64_t>& word = bucket.words[input_.Pick(kBucketWords)];
            word.store(input_.Take<uint64_t>());
            return;
          }
          case 1:
            segments.daemon->submission_head.store(
                segments.daemon->submission_head.load() - input_.Byte());
            return;
          case 2: segments.daemon->revoked.store(input_.Byte() & 1u); return;
          case 3: segments.client->submission_tail.store(Word(0)); return;
          default: segments.client->completion_head.store(Word(0)); return;
        }
      }
    }
  }

  void TakeOver() {
    torn_ = false;
    ++takeovers_;
    store_.host().broken.clear();
    store_.Restart();  // with every invariant of the core checked
    CheckBytes();
    // What was kept is whole: another takeover finds the same and drops nothing of it.
    for (int i = 0; i < 4; ++i) store_.Turn();
    const CoreStats before = store_.core().Stats();
    const RecoveryReport again = store_.Restart();
    PENSTOCK_CHECK(again.dropped == 0 && again.frees_finished == 0)
        << again.dropped << " dropped, " << again.frees_finished << " frees finished";
    const CoreStats after = store_.core().Stats();
    PENSTOCK_CHECK(after.objects == before.objects && after.leases <= before.leases)
        << after.objects << " objects of " << before.objects << ", " << after.leases
        << " leases of " << before.leases;
    CheckBytes();
  }

  void CheckBytes() {
    const CoreStats stats = store_.core().Stats();
    PENSTOCK_CHECK(stats.free_bytes + stats.object_bytes + stats.leased_bytes == kArenaBytes)
        << stats.free_bytes << " free, " << stats.object_bytes << " in objects, "
        << stats.leased_bytes << " leased";
  }

  void End() {
    for (FakeClient* const client : clients_) store_.Close(*client);
    store_.Turn();
    const CoreStats stats = store_.core().Stats();
    PENSTOCK_CHECK(stats.sessions == 0 && stats.leases == 0 && stats.doomed == 0);
    // Whoever the tables say made them.
    const std::vector<uint64_t> numbers = {1, 2, 3, 4};
    store_.core().DropObjectsOf(numbers);
    store_.Turn();
    PENSTOCK_CHECK(store_.core().Stats().free_bytes == kArenaBytes)
        << store_.core().Stats().free_bytes;
  }

  Input input_;
  FakeStore store_{{.slots = kSlots, .arena_bytes = kArenaBytes,
                    .limits = {.max_sessions = 4, .max_requests_per_session = 64,
                               .max_leases_per_request = 4, .max_event_backlog = 8}}};
  std::vector<FakeClient*> clients_;
  bool torn_ = false;
  int takeovers_ = 0;
};

}  // namespace
}  // namespace penstock::fuzz

// The fake clients' own expectations are checks of ours too: a failed one must abort.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  GTEST_FLAG_SET(throw_on_failure, true);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  penstock::fuzz::Program(penstock::fuzz::Input(data, size)).Run();
  return 0;
}
