// A client that writes garbage into its own ring, head, pins and doorbell: it loses its
// session and is told why; nobody else notices.
#include <algorithm>

#include "store/shm/size_class.h"
#include "tests/integration/helpers.h"
#include "tests/integration/raw_session.h"

namespace penstock::testing {
namespace {

// A client whose own objects are checked again and again.
class Bystander {
 public:
  explicit Bystander(const TestDaemon& daemon) : client_(daemon.Connect()) {
    for (uint64_t i = 0; i < 20; ++i) ids_.push_back(PutPattern(client_, i, 100 * i));
    pinned_ = Must(client_.Get(ids_[7]));
  }
  ~Bystander() {
    for (uint64_t i = 0; i < ids_.size(); ++i) {
      const auto view = client_.Get(ids_[i]);
      EXPECT_TRUE(view.ok() && HasPattern(view->data(), i)) << i;
    }
    EXPECT_TRUE(HasPattern(pinned_.data(), 7));
    const ObjectId id = PutPattern(client_, 99, 100'000);
    EXPECT_TRUE(HasPattern(Must(client_.Get(id)).data(), 99));
    EXPECT_TRUE(client_.Delete(id).ok());
    EXPECT_TRUE(client_.Sync().ok());
  }
  ObjectId id(size_t i) const { return ids_[i]; }

 private:
  Client client_;
  std::vector<ObjectId> ids_;
  ObjectView pinned_;
};

Submission Record(SubmissionOp op) {
  Submission record{};
  record.op = op;
  return record;
}

// Sends `record` in a session of its own, which must end with a word about `part`.
void ExpectBreaks(const TestDaemon& daemon, const Submission& record,
                  const std::string& part) {
  RawSession session(daemon.dir());
  session.Push(record);
  const std::string refusal = session.Refusal();
  EXPECT_TRUE(Contains(refusal, part)) << refusal;
  EXPECT_TRUE(Contains(refusal, "Connect again")) << refusal;
  EXPECT_EQ(session.segments.daemon->revoked.load(), 1u);
}

TEST(HostileClient, WithRecordsThatMakeNoSenseLosesItsSession) {
  const TestDaemon daemon;
  const Bystander bystander(daemon);
  Submission record = Record(static_cast<SubmissionOp>(200));
  ExpectBreaks(daemon, record, "unknown operation 200");
  ExpectBreaks(daemon, Record(SubmissionOp::kNone), "unknown operation 0");
  record = Record(SubmissionOp::kSeal);
  record.slot = ~0u;
  ExpectBreaks(daemon, record, "no lease");
  for (uint32_t slot = 0; slot < 20; ++slot) {
    record.slot = slot;  // the bystander's
    ExpectBreaks(daemon, record, "no lease");
  }
  record = Record(SubmissionOp::kReturnLease);
  ExpectBreaks(daemon, record, "no lease");
  record = Record(SubmissionOp::kConfirm);
  ExpectBreaks(daemon, record, "told nothing");
  record = Record(SubmissionOp::kLease);
  record.size = 65;  // no block size
  record.flags_or_count = 1;
  ExpectBreaks(daemon, record, "no block size");
  record.size = 64;
  record.flags_or_count = ~0u;
  ExpectBreaks(daemon, record, "at once");
  record.size = ~uint64_t{0};
  record.flags_or_count = 1;
  ExpectBreaks(daemon, record, "no block size");
  record = Record(SubmissionOp::kReserve);
  record.id = ObjectId::FromName("x");
  record.request = 1;
  ExpectBreaks(daemon, record, "reserved an id");
  ExpectBreaks(daemon, Record(SubmissionOp::kGet), "no number");
  EXPECT_GE(daemon.Status().Counter("broken_sessions"), 25u);
  EXPECT_TRUE(NothingIsLeft(daemon, 1 + daemon.Status().Counter("broken_sessions")))
      << "their process lives, so the sessions stay until it ends";
}

TEST(HostileClient, ThatSealsMoreThanItsLeaseLosesItsSession) {
  const TestDaemon daemon;
  const Bystander bystander(daemon);
  const auto attempt = [&](auto&& spoil, const std::string& part) {
    RawSession session(daemon.dir());
    const GrantedLease lease = session.TakeLease(BlockBytes(1000));
    Submission seal = Record(SubmissionOp::kSeal);
    seal.slot = lease.slot();
    seal.generation = lease.generation;
    seal.id = {session.facts.incarnation, session.facts.session, 1};
    seal.size = 1000;
    spoil(seal);
    session.Push(seal);
    const std::string refusal = session.Refusal();
    EXPECT_TRUE(Contains(refusal, part)) << refusal;
  };
  attempt([](Submission& seal) { seal.size = 1025; }, "block of 1024");
  attempt([](Submission& seal) { seal.size = ~uint64_t{0}; }, "block of 1024");
  attempt([](Submission& seal) { seal.metadata_size = 25; }, "block of 1024");
  attempt([](Submission& seal) { seal.metadata_size = ~0u; }, "block of 1024");
  attempt([](Submission& seal) { seal.flags_or_count = 0x80; }, "the flags 0x80");
  attempt([](Submission& seal) { seal.generation += 1; }, "no lease");
  attempt([](Submission& seal) { seal.slot += 1; }, "no lease");
  attempt([&](Submission& seal) { seal.id = bystander.id(3); }, "neither made nor reserved");
  attempt([](Submission& seal) { seal.id = ObjectId::FromName("not reserved"); },
          "neither made nor reserved");
}

TEST(HostileClient, WithAnImpossibleTailLosesItsSession) {
  const TestDaemon daemon;
  const Bystander bystander(daemon);
  for (const uint64_t tail : {uint64_t{kSubmissionEntries + 1}, ~uint64_t{0}, uint64_t{1} << 63}) {
    RawSession session(daemon.dir());
    session.PublishTail(tail);
    EXPECT_TRUE(Contains(session.Refusal(), "tail is impossible"));
  }
  RawSession session(daemon.dir());
  session.TakeLease(64);
  session.PublishTail(0);  // it moves back
  EXPECT_TRUE(Contains(session.Refusal(), "tail is impossible"));
}

TEST(HostileClient, WithAGarbageHeadHarmsOnlyItself) {
  const TestDaemon daemon;
  const Bystander bystander(daemon);
  for (const uint64_t head : {~uint64_t{0}, uint64_t{5000}, uint64_t{1} << 40}) {
    RawSession session(daemon.dir());
    session.segments.client->completion_head.exchange(head);
    Submission sync = Record(SubmissionOp::kSync);
    for (uint32_t i = 1; i <= 3 * kCompletionEntries; ++i) {
      sync.request = i;
      session.Push(sync);
    }
  }
  EXPECT_EQ(daemon.Status().Counter("daemon_pid"), static_cast<uint64_t>(daemon.daemon_pid()));
}

TEST(HostileClient, ThatAsksOnAndOnAndReadsNothingIsStopped) {
  const TestDaemon daemon;
  const Bystander bystander(daemon);
  RawSession session(daemon.dir());
  Submission sync = Record(SubmissionOp::kSync);
  sync.request = 1;
  for (int i = 0; i < 400'000; ++i) {
    if (session.segments.daemon->revoked.load() != 0) break;
    session.Push(sync);
  }
  EXPECT_TRUE(Contains(session.Refusal(), "does not read its answers"));
}

TEST(HostileClient, WithGarbagePinsKeepsMemoryUntilItGoesAndNothingElse) {
  const TestDaemon daemon({"--memory", "16MiB"});
  daemon.WaitPopulated();
  {
    const Bystander bystander(daemon);
    const int code = RunInChild([&] {
      RawSession session(daemon.dir());
      for (uint64_t page = 0; page * kPinsPerPage < session.facts.capacity; ++page) {
        session.segments.bitmap[page / 64].exchange(~uint64_t{0});
      }
      for (uint32_t slot = 0; slot < session.facts.capacity; ++slot) {
        session.segments.pins[slot].count.exchange(~0u - slot);
        session.segments.pins[slot].epoch.exchange(0x7fffffff + slot);
      }
      Client client = daemon.Connect();
      for (uint64_t i = 0; i < 200; ++i) {
        PutPattern(client, i, 10'000, {.evictable = true, .deadline = absl::Seconds(1)});
      }
      Must(client.Delete(PutPattern(client, 1, 10'000)));
      Must(client.Sync());
      PENSTOCK_CHILD_EXPECT(daemon.Status().Counter("doomed") >= 1);
      return 0;
    });
    EXPECT_EQ(code, 0);
    EXPECT_TRUE(NothingIsLeft(daemon, 1));
    // What only the garbage pinned can be dropped again.
    Client client = daemon.Connect();
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(client.Create(12 << 20, {.deadline = absl::Seconds(20)}).ok());
    }
  }
}

TEST(HostileClient, WhoseRingIsNoiseIsSurvived) {
  const TestDaemon daemon;
  const Bystander bystander(daemon);
  for (uint64_t round = 0; round < 100; ++round) {
    RawSession session(daemon.dir());
    const std::vector<std::byte> noise =
        Pattern(round, kSubmissionEntries * sizeof(Submission));
    std::copy(noise.begin(), noise.end(),
              reinterpret_cast<std::byte*>(session.segments.submissions));
    // Every second round with operations that exist.
    for (uint32_t i = 0; round % 2 == 1 && i < kSubmissionEntries; ++i) {
      Submission& record = session.segments.submissions[i];
      record.op = static_cast<SubmissionOp>(1 + (i + round) % 13);
      record.slot %= session.facts.capacity;
    }
    session.PublishTail(kSubmissionEntries);
    EXPECT_FALSE(session.Refusal().empty());
  }
}

}  // namespace
}  // namespace penstock::testing
