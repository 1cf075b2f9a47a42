// A client that writes nonsense into its own segment: each wrong record ends that session
// and nothing else. A bystander keeps its objects, its leases, its waiting requests.
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include <fmt/format.h>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
constexpr uint32_t kHuge32 = std::numeric_limits<uint32_t>::max();

// A hostile client and a bystander in one store, and what each of them has.
struct Scene {
  FakeStore store{{.slots = 32, .arena_bytes = 1 * kMiB}};
  FakeClient& bystander = store.Open(1000);
  FakeClient& hostile = store.Open(6666);
  FakeObject kept = store.Put(bystander, 100);
  FakeLease kept_lease = store.Lease(bystander, 192);
  ObjectId awaited = bystander.NextId();
  uint32_t waiting = bystander.Ask(IdRecord(SubmissionOp::kGet, awaited));
  FakeLease lease = store.Lease(hostile, 192);
  ObjectId named = ObjectId::FromName("named");
  FakeLease reserved = store.Reserve(hostile, named, 64);
  FakeObject own = store.Put(hostile, 64);

  Submission Seal(uint64_t size = 100) { return SealRecord(lease, hostile.NextId(), size); }

  // The bystander's world is whole, and works.
  void ExpectBystanderUnharmed() {
    EXPECT_FALSE(store.host().broken.contains(bystander.row()));
    EXPECT_EQ(bystander.segments().daemon->revoked.load(), 0u);
    EXPECT_TRUE(store.Contains(bystander, kept.id));
    EXPECT_EQ(bystander.TryPin(kept.id), kept.lease.slot);
    EXPECT_FALSE(bystander.Unpin(kept.lease.slot));
    EXPECT_EQ(bystander.Code(waiting), kNoAnswer);
    bystander.Push(SealRecord(kept_lease, awaited, 150));
    store.Turn();
    EXPECT_EQ(bystander.Code(waiting), AnswerCode::kOk);
    EXPECT_TRUE(store.Contains(bystander, store.Put(bystander, 70000).id));
  }
  void ExpectHostileBroken() {
    EXPECT_EQ(store.host().broken.size(), 1u);
    EXPECT_TRUE(store.host().broken.contains(hostile.row()));
    EXPECT_EQ(hostile.segments().daemon->revoked.load(), 1u);
    EXPECT_EQ(store.core().Stats().broken_sessions, 1u);
    // Nothing of it is read any more.
    const uint64_t records = store.core().Stats().records;
    hostile.Push(IdRecord(SubmissionOp::kSync, {}));
    store.Turn();
    EXPECT_EQ(store.core().Stats().records, records);
  }
  // The process of the hostile client is gone: all it held returns.
  void CloseHostile() {
    store.Close(hostile);
    store.Turn();
    EXPECT_EQ(store.core().Stats().leases, 0u);
    EXPECT_EQ(store.core().Stats().sessions, 1u);
    EXPECT_TRUE(store.Contains(bystander, kept.id));
  }
};

using MakeRecord = std::function<Submission(Scene&)>;
struct Case {
  const char* what;
  MakeRecord make;
};

void ExpectEachBreaks(const std::vector<Case>& cases) {
  for (const Case& wrong : cases) {
    SCOPED_TRACE(wrong.what);
    Scene scene;
    scene.hostile.Push(wrong.make(scene));
    scene.store.Turn();
    scene.ExpectHostileBroken();
    scene.ExpectBystanderUnharmed();
    scene.CloseHostile();
  }
}

template <typename Change>
MakeRecord SealWith(Change&& change) {
  return [change](Scene& scene) {
    Submission seal = scene.Seal();
    change(scene, seal);
    return seal;
  };
}

TEST(CoreHostile, UnknownOperationsEndTheSession) {
  std::vector<Case> cases = {{"none", [](Scene&) { return Submission{}; }}};
  for (int op = 14; op < 256; ++op) {
    cases.push_back({"unknown", [op](Scene&) {
                       return IdRecord(static_cast<SubmissionOp>(op), {});
                     }});
  }
  ExpectEachBreaks(cases);
}

TEST(CoreHostile, WrongSealsEndTheSession) {
  ExpectEachBreaks({
      {"slot out of range", SealWith([](Scene&, Submission& r) { r.slot = 32; })},
      {"largest slot", SealWith([](Scene&, Submission& r) { r.slot = kHuge32; })},
      {"free slot", SealWith([](Scene&, Submission& r) { r.slot = 31; r.generation = 0; })},
      {"another's lease", SealWith([](Scene& s, Submission& r) {
         r.slot = s.kept_lease.slot;
         r.generation = s.kept_lease.generation;
       })},
      {"another's object", SealWith([](Scene& s, Submission& r) {
         r.slot = s.kept.lease.slot;
         r.generation = s.kept.lease.generation;
       })},
      {"own object again", SealWith([](Scene& s, Submission& r) {
         r.slot = s.own.lease.slot;
         r.generation = s.own.lease.generation;
       })},
      {"older generation", SealWith([](Scene&, Submission& r) { r.generation -= 1; })},
      {"newer generation", SealWith([](Scene&, Submission& r) { r.generation += 1; })},
      {"generation and 48 bits", SealWith([](Scene&, Submission& r) {
         r.generation += uint64_t{1} << 48;
       })},
      {"one byte too long", SealWith([](Scene&, Submission& r) { r.size = 193; })},
      {"size 2^64-1", SealWith([](Scene&, Submission& r) { r.size = kHuge; })},
      {"size 2^64-8", SealWith([](Scene&, Submission& r) { r.size = kHuge - 7; })},
      {"size 2^63", SealWith([](Scene&, Submission& r) { r.size = uint64_t{1} << 63; })},
      {"metadata beyond the block", SealWith([](Scene&, Submission& r) {
         r.metadata_size = 89;  // from byte 104 on there are 88
       })},
      {"most metadata", SealWith([](Scene&, Submission& r) { r.metadata_size = kHuge32; })},
      {"both overflow", SealWith([](Scene&, Submission& r) {
         r.size = kHuge - kHuge32 + 1;
         r.metadata_size = kHuge32;
       })},
      {"unknown flag", SealWith([](Scene&, Submission& r) { r.flags_or_count = 16; })},
      {"all flags", SealWith([](Scene&, Submission& r) { r.flags_or_count = kHuge32; })},
      {"another's id", SealWith([](Scene& s, Submission& r) { r.id = s.bystander.NextId(); })},
      {"another's object's id", SealWith([](Scene& s, Submission& r) { r.id = s.kept.id; })},
      {"another store's id", SealWith([](Scene&, Submission& r) { r.id.home += 1; })},
      {"nil id", SealWith([](Scene&, Submission& r) { r.id = ObjectId{}; })},
      {"name not reserved", SealWith([](Scene&, Submission& r) {
         r.id = ObjectId::FromName("other");
       })},
      {"reserved name, another lease", SealWith([](Scene& s, Submission& r) { r.id = s.named; })},
      {"reserved lease, another id", SealWith([](Scene& s, Submission& r) {
         r.slot = s.reserved.slot;
         r.generation = s.reserved.generation;
         r.size = 8;
       })},
  });
}

TEST(CoreHostile, SealAfterTheLeaseWasGivenBackOrUsedEndsTheSession) {
  for (const SubmissionOp first : {SubmissionOp::kReturnLease, SubmissionOp::kSeal}) {
    Scene scene;
    scene.hostile.Push(first == SubmissionOp::kSeal
                           ? scene.Seal()
                           : SlotRecord(first, scene.lease.slot, scene.lease.generation));
    scene.hostile.Push(scene.Seal());
    scene.store.Turn();
    scene.ExpectHostileBroken();
    scene.ExpectBystanderUnharmed();
    scene.CloseHostile();
  }
}

TEST(CoreHostile, WrongLeaseReturnsEndTheSession) {
  const auto give_back = [](uint32_t slot, uint64_t generation) {
    return SlotRecord(SubmissionOp::kReturnLease, slot, generation);
  };
  ExpectEachBreaks({
      {"out of range", [=](Scene&) { return give_back(32, 0); }},
      {"largest", [=](Scene&) { return give_back(kHuge32, 0); }},
      {"free slot", [=](Scene&) { return give_back(31, 0); }},
      {"another's", [=](Scene& s) {
         return give_back(s.kept_lease.slot, s.kept_lease.generation);
       }},
      {"an object", [=](Scene& s) {
         return give_back(s.own.lease.slot, s.own.lease.generation);
       }},
      {"generation", [=](Scene& s) {
         return give_back(s.lease.slot, s.lease.generation + 1);
       }},
  });
}

TEST(CoreHostile, WrongLeaseRequestsEndTheSession) {
  std::vector<Case> cases;
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{63}, uint64_t{65},
                              uint64_t{1088}, 64 * kKiB + 64, kMaxArenaBytes + 4 * kKiB,
                              kHuge, kHuge - 4095, uint64_t{1} << 63}) {
    for (const SubmissionOp op : {SubmissionOp::kLease, SubmissionOp::kReserve}) {
      cases.push_back({"no block size", [=](Scene&) {
                         Submission record = LeaseRecord(size);
                         record.op = op;
                         record.request = 500;
                         record.id = ObjectId::FromName("z");
                         return record;
                       }});
    }
  }
  for (const uint32_t count : {0u, CoreLimits{}.max_leases_per_request + 1, kHuge32}) {
    cases.push_back({"count", [=](Scene&) { return LeaseRecord(64, count); }});
  }
  cases.push_back({"reservation without a number", [](Scene&) {
                     return ReserveRecord(ObjectId::FromName("z"), 64);
                   }});
  ExpectEachBreaks(cases);
}

TEST(CoreHostile, ConfirmationOfWhatWasNeverAnsweredEndsTheSession) {
  const auto confirm = [](uint32_t slot, uint64_t generation) {
    return SlotRecord(SubmissionOp::kConfirm, slot, generation);
  };
  ExpectEachBreaks({
      {"out of range", [=](Scene&) { return confirm(32, 0); }},
      {"largest", [=](Scene&) { return confirm(kHuge32, 0); }},
      {"own object", [=](Scene& s) {
         return confirm(s.own.lease.slot, s.own.lease.generation);
       }},
      {"another's", [=](Scene& s) {
         return confirm(s.kept.lease.slot, s.kept.lease.generation);
       }},
  });
}

TEST(CoreHostile, OneAnswerMayBeConfirmedOnlyOnce) {
  Scene scene;
  const uint32_t get = scene.hostile.Ask(IdRecord(SubmissionOp::kGet, scene.kept.id));
  const uint32_t bystanders = scene.bystander.Ask(IdRecord(SubmissionOp::kGet, scene.kept.id));
  scene.store.Turn();
  const Completion answer = *scene.hostile.Answer(get);
  scene.hostile.Push(SlotRecord(SubmissionOp::kConfirm, answer.object.slot,
                                answer.object.generation));
  scene.hostile.Push(SlotRecord(SubmissionOp::kConfirm, answer.object.slot,
                                answer.object.generation));
  scene.store.Delete(scene.bystander, scene.kept);
  scene.ExpectHostileBroken();
  // The bystander's own hold still keeps the object.
  EXPECT_EQ(scene.store.StateOfSlot(scene.kept.lease.slot), SlotState::kDeleted);
  scene.bystander.Confirm(*scene.bystander.Answer(bystanders));
  scene.store.Turn();
  EXPECT_TRUE(scene.bystander.Unpin(scene.kept.lease.slot));
  scene.store.Turn();
  EXPECT_EQ(scene.store.StateOfSlot(scene.kept.lease.slot), SlotState::kFree);
}

TEST(CoreHostile, ConfirmationUnderAnotherGenerationEndsTheSession) {
  Scene scene;
  const uint32_t get = scene.hostile.Ask(IdRecord(SubmissionOp::kGet, scene.kept.id));
  scene.store.Turn();
  const Completion answer = *scene.hostile.Answer(get);
  scene.hostile.Push(SlotRecord(SubmissionOp::kConfirm, answer.object.slot,
                                answer.object.generation + 1));
  scene.store.Turn();
  scene.ExpectHostileBroken();
  scene.ExpectBystanderUnharmed();
  scene.CloseHostile();
}

TEST(CoreHostile, RequestNumberNoneOrInUseEndsTheSession) {
  for (const SubmissionOp op : {SubmissionOp::kGet, SubmissionOp::kContains,
                                SubmissionOp::kDeleteById}) {
    Scene scene;
    scene.hostile.Push(IdRecord(op, ObjectId::FromName("none")));
    scene.store.Turn();
    scene.ExpectHostileBroken();
    scene.ExpectBystanderUnharmed();
    scene.CloseHostile();
  }
  for (const SubmissionOp op : {SubmissionOp::kGet, SubmissionOp::kContains,
                                SubmissionOp::kDeleteById, SubmissionOp::kLease,
                                SubmissionOp::kReserve}) {
    Scene scene;
    Submission first = IdRecord(SubmissionOp::kGet, ObjectId::FromName("later"));
    first.request = 9;
    scene.hostile.Push(first);
    scene.store.Turn();
    Submission second = IdRecord(op, ObjectId::FromName("other"), 1);
    second.request = 9;
    second.size = 64;
    scene.hostile.Push(second);
    scene.store.Turn();
    scene.ExpectHostileBroken();
    scene.ExpectBystanderUnharmed();
    scene.CloseHostile();
  }
}

// Both records are taken in one turn, before the first has been answered or has become a
// waiter.
TEST(CoreHostile, RequestNumberTwiceInOneTurnEndsTheSessionAndLeavesNoDanglingWaiter) {
  for (const SubmissionOp op : {SubmissionOp::kGet, SubmissionOp::kContains,
                                SubmissionOp::kLease, SubmissionOp::kReserve}) {
    SCOPED_TRACE(fmt::format("operation {}", static_cast<int>(op)));
    Scene scene;
    const ObjectId first_id = ObjectId::FromName("first");
    Submission first = IdRecord(SubmissionOp::kGet, first_id);
    first.request = 9;
    Submission second = IdRecord(op, ObjectId::FromName("second"), 1);
    second.request = 9;
    second.size = op == SubmissionOp::kGet ? 0 : 768 * kKiB;
    second.flags_or_count = op == SubmissionOp::kGet ? 0 : 1;
    scene.store.Put(scene.bystander, 512 * kKiB);  // so that a lease has to wait
    scene.hostile.Write(first);
    scene.hostile.Write(second);
    scene.hostile.Publish();
    scene.store.Turn();
    EXPECT_TRUE(scene.store.host().broken.contains(scene.hostile.row()));
    scene.store.Close(scene.hostile);
    EXPECT_EQ(scene.store.core().Stats().get_waiters, 1u);  // the bystander's
    scene.store.PutAs(scene.bystander, first_id, 8);        // meets no waiter that is gone
  }
}

TEST(CoreHostile, ImpossibleTailsEndTheSession) {
  const uint64_t taken = 2;
  for (const uint64_t tail : {taken - 1, uint64_t{0}, taken + kSubmissionEntries + 1, kHuge,
                              uint64_t{1} << 63}) {
    SCOPED_TRACE(fmt::format("tail {}", tail));
    Scene scene;
    ASSERT_GE(scene.hostile.segments().daemon->submission_head.load(), taken);
    const uint64_t head = scene.hostile.segments().daemon->submission_head.load();
    scene.hostile.segments().client->submission_tail.store(tail - taken + head);
    EXPECT_FALSE(scene.store.core().PreparePark());
    scene.store.Turn();
    EXPECT_TRUE(scene.store.core().PreparePark()) << "would never sleep again";
    scene.store.core().Unpark();
    scene.ExpectBystanderUnharmed();
    EXPECT_EQ(scene.store.core().Stats().broken_sessions, 1u);
    scene.CloseHostile();
  }
}

TEST(CoreHostile, ImpossibleCompletionHeadsKeepOnlyItsOwnAnswers) {
  for (const uint64_t head : {uint64_t{kCompletionEntries}, kHuge, uint64_t{1} << 63}) {
    Scene scene;
    scene.hostile.segments().client->completion_head.store(head);
    for (uint32_t i = 0; i < 2 * kCompletionEntries; ++i) {
      scene.hostile.Ask(IdRecord(SubmissionOp::kSync, {}));
      if (i % 512 == 511) scene.store.Turn();
    }
    scene.ExpectBystanderUnharmed();
    scene.CloseHostile();
  }
}

TEST(CoreHostile, HarmlessNonsenseChangesNothing) {
  Scene scene;
  for (const SubmissionOp op : {SubmissionOp::kDelete, SubmissionOp::kRelease}) {
    scene.hostile.Push(SlotRecord(op, 32, 0));
    scene.hostile.Push(SlotRecord(op, kHuge32, kHuge));
    scene.hostile.Push(SlotRecord(op, scene.kept.lease.slot, scene.kept.lease.generation + 1));
    scene.hostile.Push(SlotRecord(op, scene.kept_lease.slot, scene.kept_lease.generation));
    scene.hostile.Push(SlotRecord(op, 31, 0));
  }
  scene.hostile.Push(SlotRecord(SubmissionOp::kRelease, scene.kept.lease.slot,
                                scene.kept.lease.generation));
  Submission cancel{};
  cancel.op = SubmissionOp::kCancel;
  for (const uint32_t request : {0u, 1u, 12345u, kHuge32}) {
    cancel.request = request;
    scene.hostile.Push(cancel);
  }
  Submission subscribe{};
  subscribe.op = SubmissionOp::kSubscribe;
  for (const uint32_t flags : {kHuge32, 0u, 0u, 4u}) {
    subscribe.flags_or_count = flags;
    scene.hostile.Push(subscribe);
  }
  scene.store.Turn();
  EXPECT_TRUE(scene.store.host().broken.empty());
  scene.ExpectBystanderUnharmed();
}

TEST(CoreHostile, WhatABrokenSessionPinsIsNotReusedUntilItsProcessIsGone) {
  Scene scene;
  ASSERT_TRUE(scene.hostile.TryPin(scene.kept.id).has_value());
  scene.hostile.Push(Submission{});
  scene.store.Turn();
  EXPECT_FALSE(scene.hostile.TryPin(scene.own.id).has_value()) << "revoked";
  scene.store.Delete(scene.bystander, scene.kept);
  EXPECT_EQ(scene.store.StateOfSlot(scene.kept.lease.slot), SlotState::kDeleted);
  scene.store.Close(scene.hostile);
  EXPECT_EQ(scene.store.StateOfSlot(scene.kept.lease.slot), SlotState::kFree);
}

TEST(CoreHostile, RoomWaitersCountAgainstTheLimitOfRequests) {
  FakeStoreOptions options{.slots = 64, .arena_bytes = 64 * kKiB};
  options.limits.max_requests_per_session = 4;
  FakeStore store(options);
  FakeClient& client = store.Open();
  store.Put(client, 60 * kKiB);
  for (int i = 0; i < 20; ++i) client.Ask(LeaseRecord(32 * kKiB));
  for (int i = 0; i < 20; ++i) {
    client.Ask(ReserveRecord(ObjectId::FromName(std::to_string(i)), 32 * kKiB));
  }
  store.Turn();
  EXPECT_LE(store.core().Stats().room_waiters, 4u);
}

TEST(CoreHostile, ClientThatAsksAndNeverReadsIsEndedBeforeItsBacklogIsEndless) {
  FakeStoreOptions options;
  options.limits.max_requests_per_session = 100;
  FakeStore store(options);
  FakeClient& client = store.Open();
  FakeClient& bystander = store.Open();
  for (uint32_t i = 0; i < 4 * kCompletionEntries && store.host().broken.empty(); ++i) {
    client.Ask(IdRecord(SubmissionOp::kSync, {}));
    store.Turn();
  }
  EXPECT_TRUE(store.host().broken.contains(client.row()));
  EXPECT_TRUE(store.Contains(bystander, store.Put(bystander, 8).id));
  store.Close(client);
}

// Every byte of every kind of record, turned over one bit at a time.
const std::vector<MakeRecord>& GoodRecords() {
  static const std::vector<MakeRecord> records = {
      [](Scene& s) { return s.Seal(); },
      [](Scene& s) { return SealRecord(s.reserved, s.named, 8); },
      [](Scene& s) {
        return SlotRecord(SubmissionOp::kDelete, s.own.lease.slot, s.own.lease.generation);
      },
      [](Scene&) { return IdRecord(SubmissionOp::kDeleteById, ObjectId::FromName("x")); },
      [](Scene&) { return LeaseRecord(128, 2); },
      [](Scene&) { return ReserveRecord(ObjectId::FromName("x"), 128); },
      [](Scene& s) {
        return SlotRecord(SubmissionOp::kReturnLease, s.lease.slot, s.lease.generation);
      },
      [](Scene& s) { return IdRecord(SubmissionOp::kGet, s.own.id, kGetNoWait); },
      [](Scene&) { return IdRecord(SubmissionOp::kContains, ObjectId::FromName("x")); },
      [](Scene& s) {
        return SlotRecord(SubmissionOp::kConfirm, s.own.lease.slot, s.own.lease.generation);
      },
      [](Scene& s) {
        return SlotRecord(SubmissionOp::kRelease, s.own.lease.slot, s.own.lease.generation);
      },
      [](Scene&) { return IdRecord(SubmissionOp::kSync, {}); },
      [](Scene&) { return IdRecord(SubmissionOp::kSubscribe, {}, kSubscribeSeals); },
  };
  return records;
}

class CoreHostileBits : public ::testing::TestWithParam<size_t> {};

TEST_P(CoreHostileBits, NoFlippedBitHarmsTheBystander) {
  for (size_t bit = 0; bit < 8 * sizeof(Submission); ++bit) {
    SCOPED_TRACE(fmt::format("bit {}", bit));
    Scene scene;
    Submission record = GoodRecords()[GetParam()](scene);
    record.request = 900;
    std::byte bytes[sizeof(record)];
    std::memcpy(bytes, &record, sizeof(record));
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    std::memcpy(static_cast<void*>(&record), bytes, sizeof(record));
    const bool deletes_bystanders = record.op == SubmissionOp::kDelete &&
                                    record.slot == scene.kept.lease.slot;
    if (deletes_bystanders) continue;  // any client of the store may delete
    scene.hostile.Push(record);
    scene.store.Turn();
    scene.ExpectBystanderUnharmed();
    scene.CloseHostile();
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(EachKindOfRecord, CoreHostileBits,
                         ::testing::Range<size_t>(0, GoodRecords().size()));

}  // namespace
}  // namespace penstock::testing
