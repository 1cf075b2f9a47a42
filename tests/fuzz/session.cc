// A daemon's core between honest clients and hostile ones: an input is a program of steps.
// Hostile steps write anything into the words and records that a client's process can
// write; honest steps keep the protocol. session_world.h says what must hold all along.
//
// The first byte: bit 0 keeps hostile clients from deleting what honest ones made.
#include <gtest/gtest.h>

#include "tests/fuzz/input.h"
#include "tests/fuzz/session_world.h"

namespace penstock::fuzz {
namespace {

constexpr uint64_t kBlocks[] = {64, 128, 192, 512, 1024, 4096, 16384, 32768};
constexpr int kMostSteps = 400;
// Below the limit of requests of a session, beyond which it is refused more.
constexpr size_t kMostOpenRequests = 32;

class Program {
 public:
  explicit Program(Input input)
      : input_(input), world_((input_.Byte() & 1) != 0), store_(world_.store()) {}

  void Run() {
    world_.OpenHonest();
    world_.OpenHostile();
    for (int i = 0; i < kMostSteps && !input_.empty(); ++i) {
      const uint8_t step = input_.Byte();
      if (step < 160) {
        if (!world_.honest().empty()) HonestStep(step % 16, step / 16);
      } else if (step < 240) {
        if (!world_.hostile().empty()) HostileStep(step % 16, step / 16);
      } else {
        WorldStep(step % 16);
      }
    }
    world_.End();
  }

 private:
  uint64_t Block() { return kBlocks[input_.Pick(std::size(kBlocks))]; }

  ObjectId Id() {
    const uint8_t which = input_.Byte();
    if (which < 128) {
      if (const auto id = world_.SomeId(which)) return *id;
    }
    switch (which % 4) {
      case 0: return ObjectId::FromName(std::string(1, static_cast<char>('a' + which % 3)));
      case 1:  // what some session has made, or will make
        return {store_.index().header().incarnation, which % 8u + 1, input_.Byte()};
      case 2: return {};
      default: return {input_.Take<uint64_t>(), which, which};
    }
  }

  void HonestStep(int step, size_t who) {
    HonestClient& client = *world_.honest()[who % world_.honest().size()];
    if (step < 10 && client.requests.size() >= kMostOpenRequests) return world_.Cancel(client);
    switch (step) {
      case 0: return world_.AskForLease(client, Block(), false);
      case 1: return world_.AskForLease(client, Block(), true);
      case 2: {
        const std::string name(1, static_cast<char>('a' + input_.Pick(3)));
        return world_.Reserve(client, ObjectId::FromName(name), Block());
      }
      case 3: return world_.GiveBack(client);
      case 4: return world_.Seal(client, input_.Take<uint16_t>(), 0);
      case 5: {
        const auto size = input_.Take<uint16_t>();
        const uint32_t flags = input_.Byte() % 12;  // one priority at most
        return world_.Seal(client, size, flags);
      }
      case 6: return world_.Ask(client, Request::Kind::kSync, {});
      case 7: return world_.Ask(client, Request::Kind::kContains, Id());
      case 8: return world_.Ask(client, Request::Kind::kGetNow, Id());
      case 9: return world_.Ask(client, Request::Kind::kGetWait, Id());
      case 10: return world_.Pin(client);
      case 11: return world_.Unpin(client);
      case 12: return world_.Delete(client);
      case 13: return world_.Cancel(client);
      case 14:
        if (client.client().HasRoom()) {
          client.client().Push(testing::IdRecord(SubmissionOp::kSubscribe, {}, input_.Byte()));
        }
        return;
      default: return world_.Turn();
    }
  }

  uint32_t Slot(const FakeClient& self) {
    const uint8_t which = input_.Byte();
    if (which < 96) return which;
    if (which < 176) {
      if (const auto own = world_.LeasedSlot(self.number(), which)) return *own;
    }
    if (which < 240) {
      HonestClient* const other =
          world_.honest().empty() ? nullptr
                                  : world_.honest()[which % world_.honest().size()].get();
      if (other != nullptr && !other->objects.empty()) return other->objects.begin()->first;
    }
    return input_.Take<uint32_t>();
  }

  // A record that is nearly right, so that it comes past the first check.
  Submission NearlyRight(const FakeClient& self) {
    Submission record{};
    record.op = static_cast<SubmissionOp>(input_.Pick(16));
    record.request = input_.Byte();
    record.slot = Slot(self);
    const uint8_t generation = input_.Byte();
    const bool in_range = record.slot < store_.index().capacity();
    record.generation = in_range ? store_.GenerationOfSlot(record.slot) : 0;
    if (generation >= 250) record.generation = input_.Take<uint64_t>();
    else if (generation >= 240) record.generation += generation - 245u;
    record.id = record.op == SubmissionOp::kSeal && input_.Byte() < 200
                    ? ObjectId{store_.index().header().incarnation, self.number(), input_.Byte()}
                    : Id();
    const uint8_t size = input_.Byte();
    record.size = size < 240 ? kBlocks[size % std::size(kBlocks)] : input_.Take<uint64_t>();
    if (record.op == SubmissionOp::kSeal && size % 16 < 8 && in_range) {
      record.size = store_.lease_entry(record.slot).block_bytes - size % 8;
    }
    record.metadata_size = size % 2 == 0 ? 0 : input_.Byte();
    const uint8_t flags = input_.Byte();
    record.flags_or_count = flags < 250 ? flags % 20 : input_.Take<uint32_t>();
    return record;
  }

  void HostileStep(int step, size_t who) {
    FakeClient& client = *world_.hostile()[who % world_.hostile().size()];
    const SessionSegments& segments = client.segments();
    ClientHeader& header = *segments.client;
    const uint64_t tail = header.submission_tail.load();
    switch (step) {
      case 0: case 1: case 2: case 3:
        segments.submissions[tail % kSubmissionEntries] = NearlyRight(client);
        header.submission_tail.store(tail + 1);
        return;
      case 4: {  // raw bytes in the middle of a record, published or not
        Submission& record = segments.submissions[(tail + input_.Pick(4)) % kSubmissionEntries];
        const size_t at = input_.Pick(sizeof(Submission));
        const auto bytes = input_.TakeBytes(std::min<size_t>(input_.Byte(), sizeof(record) - at));
        auto* const raw = reinterpret_cast<uint8_t*>(&record);
        if (!bytes.empty()) std::memcpy(raw + at, bytes.data(), bytes.size());
        return;
      }
      case 5: return header.submission_tail.store(tail + input_.Byte());
      case 6: return header.submission_tail.store(input_.Take<uint64_t>());
      case 7: return header.parked.store(input_.Take<uint64_t>());
      case 8: return header.completion_head.store(input_.Take<uint64_t>());
      case 9: return segments.bitmap[0].store(input_.Take<uint64_t>());
      case 10: {
        penstock::Pin& pin = segments.pins[input_.Pick(store_.index().capacity())];
        pin.count.store(input_.Take<uint32_t>());
        return pin.epoch.store(input_.Take<uint32_t>());
      }
      case 11:
        header.magic = input_.Take<uint64_t>();
        header.layout_version = input_.Take<uint32_t>();
        header.capacity = input_.Take<uint32_t>();
        return;
      case 12: client.Read(input_.Byte() + 1u); return;
      case 13: {  // keeps the protocol for once: a pin, and what it was told is confirmed
        client.TryPin(Id());
        return;
      }
      case 14: {  // confirms what one of its completions said, whether it may or not
        const Completion& answer = segments.completions[input_.Byte()];
        const uint32_t slot = answer.object.slot % store_.index().capacity();
        client.pins().Pin(slot, 1);
        segments.submissions[tail % kSubmissionEntries] =
            testing::SlotRecord(SubmissionOp::kConfirm, slot, answer.object.generation);
        segments.submissions[tail % kSubmissionEntries].flags_or_count = answer.count;
        header.submission_tail.store(tail + 1);
        return;
      }
      default: return world_.Turn();
    }
  }

  void WorldStep(int step) {
    switch (step) {
      case 0: return world_.OpenHonest();
      case 1: return world_.OpenHostile();
      case 2: return world_.KillHonest(input_.Byte());
      case 3: return world_.KillHostile(input_.Byte());
      case 4: return world_.Settle();
      case 5: {
        if (world_.hostile().empty()) return;
        const uint64_t number = world_.hostile()[0]->number();
        return store_.core().DropObjectsOf({&number, 1});
      }
      case 6: case 7: return world_.Restart();
      case 8: return world_.ReturnMemory();
      case 9: return world_.FetchMemory();
      default: return world_.Turn();
    }
  }

  Input input_;
  World world_;
  FakeStore& store_;
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
