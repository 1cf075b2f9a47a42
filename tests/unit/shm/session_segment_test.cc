// Session segments: places, formatting, and what a client refuses to attach to.
#include "store/shm/session_segment.h"

#include <gtest/gtest.h>

#include "tests/support/fake_client.h"

namespace penstock {
namespace {

using testing::ZeroedMemory;

// The last colour: the farthest behind.
constexpr uint64_t kNumber = 31;

struct Memory {
  explicit Memory(uint32_t slots)
      : capacity(slots), client(SessionGeometry::For(slots).client_bytes),
        daemon(SessionGeometry::For(slots).daemon_bytes),
        segments(SessionSegments::At(client.data(), daemon.data(), slots, kNumber)) {}
  uint32_t capacity;
  ZeroedMemory client;
  ZeroedMemory daemon;
  SessionSegments segments;
};

TEST(SessionSegment, FormattedSegmentsAreAccepted) {
  Memory memory(100);
  memory.segments.Format(100, 7);
  EXPECT_TRUE(memory.segments.Check(100).ok());
  EXPECT_EQ(memory.segments.daemon->session, 7u);
  EXPECT_EQ(memory.segments.client->capacity, 100u);
}

TEST(SessionSegment, OtherMagicIsRefused) {
  for (const bool of_client : {true, false}) {
    Memory memory(100);
    memory.segments.Format(100, 7);
    (of_client ? memory.segments.client->magic : memory.segments.daemon->magic) ^= 1;
    const absl::Status status = memory.segments.Check(100);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(SessionSegment, OtherVersionIsRefusedByName) {
  for (const bool of_client : {true, false}) {
    Memory memory(100);
    memory.segments.Format(100, 7);
    (of_client ? memory.segments.client->layout_version
               : memory.segments.daemon->layout_version) = kSessionLayoutVersion + 1;
    const absl::Status status = memory.segments.Check(100);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_NE(status.message().find("version"), absl::string_view::npos);
  }
}

TEST(SessionSegment, OtherCapacityIsRefused) {
  Memory memory(100);
  memory.segments.Format(100, 7);
  EXPECT_EQ(memory.segments.Check(101).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(SessionSegment, TablesLieInTheirSegmentsAndDoNotOverlap) {
  for (const uint32_t capacity : {1u, 64u, 512u, 513u, 1u << 16, 1u << 20, kMaxSlots}) {
    const SessionGeometry geometry = SessionGeometry::For(capacity);
    const uint64_t rings_end = kSegmentHeaderBytes + kSubmissionEntries * sizeof(Submission);
    const uint64_t pages = (uint64_t{capacity} + kPinsPerPage - 1) / kPinsPerPage;
    EXPECT_GE(geometry.bitmap_offset, rings_end);
    EXPECT_GE(geometry.pins_offset, geometry.bitmap_offset +
                                        SessionGeometry::BitmapColour(kNumber) +
                                        (pages + 63) / 64 * 8);
    EXPECT_EQ(geometry.pins_offset % kHugePageBytes, 0u);
    EXPECT_GE(geometry.client_bytes, geometry.pins_offset + capacity * sizeof(Pin));
    EXPECT_EQ(geometry.client_bytes % kHugePageBytes, 0u);
    EXPECT_EQ(geometry.daemon_bytes,
              kSegmentHeaderBytes + kCompletionEntries * sizeof(Completion));
  }
}

TEST(SessionSegment, BothSidesSpeakThroughTheSameMemory) {
  Memory memory(100);
  memory.segments.Format(100, 7);
  SubmissionProducer submit = memory.segments.MakeSubmissionProducer();
  SubmissionConsumer take = memory.segments.MakeSubmissionConsumer();
  Submission record{};
  record.op = SubmissionOp::kSync;
  record.request = 5;
  submit.Write(record);
  submit.Publish();
  ASSERT_EQ(take.Available(), 1u);
  EXPECT_EQ(take.Take().request, 5u);

  CompletionProducer answer = memory.segments.MakeCompletionProducer();
  CompletionConsumer read = memory.segments.MakeCompletionConsumer();
  Completion completion;
  completion.request = 6;
  answer.Write(completion);
  answer.Publish();
  ASSERT_EQ(read.Available(), 1u);
  EXPECT_EQ(read.Take().request, 6u);

  PinRow row(memory.segments.bitmap, memory.segments.pins);
  row.Pin(99, 3);
  EXPECT_TRUE(PinRowReader(memory.segments.bitmap, memory.segments.pins).IsPinned(99));
}

}  // namespace
}  // namespace penstock
