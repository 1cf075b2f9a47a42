// The two segments of a channel: calls between two processes of one node.
//
// 1. LAYOUT: little endian; offsets from the segment's base. One segment for each
//    direction, written by one process alone:
//      ChannelHeader  at 0     256 bytes, in a page of 4096
//      records        at 4096  kLargeRingBytes, of which the first kSmallRingBytes serve
//                              until the producer grows the ring
//    A record: RecordHeader (16 bytes), then `bytes` of payload, then to the next multiple
//    of 16. A record never wraps: a kPad record fills the end.
// 2. WHO WRITES EACH WORD: everything in a segment by its owner, all else by nobody.
//      tail   store seq_cst (exchange), peer loads seq_cst            SYNC S1 parking
//      head   of the OTHER direction's ring: store release, peer loads acquire   SYNC ring
//      records  plain, before the tail that publishes them
// 3. STATES: a record is unpublished (beyond the tail), published (between the peer's head
//    and the tail), or taken (before the head). The ring is small until a kGrow record is
//    taken, then large for ever.
// 4. SYNC POINTS: ring (store/shm/ring.h) and S1 parking (store/shm/parking.h), the latter
//    with the flag in the consumer's process page (process_page.h).
// 5. INVARIANTS:
//      a. tail - head <= the ring's bytes (ChannelProducer::HasRoom).
//      b. Positions are multiples of 16 and never go back (ChannelConsumer::Next).
// 6. CRASH SAFETY: a producer killed between two stores leaves an unpublished record, which
//    nobody ever sees: tests/unit/channel/channel_test.cc. What was published is read to the
//    end by the survivor before it learns of the death.
// 7. TRUST: all of a peer's segment is hostile input. A tail that claims more than the ring,
//    a record longer than what is published or of an unknown kind ends the channel
//    (ChannelConsumer::Next says why), and costs its two ends this channel and nothing else.
//    A head that lies keeps the liar's own peer from sending: it harms its own calls.
// 8. VERSION: kChannelLayoutVersion, checked when a segment is attached.
// 9. TESTS: tests/unit/channel/channel_test.cc, tests/fuzz/channel_record.cc; the ring's
//    model is tests/model/ring.pml.
#ifndef PENSTOCK_RUNTIME_CHANNEL_CHANNEL_LAYOUT_H_
#define PENSTOCK_RUNTIME_CHANNEL_CHANNEL_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace penstock {

inline constexpr uint64_t kChannelMagic = 0x4e4843434b4e5450;  // "PTNKCCHN"
inline constexpr uint32_t kChannelLayoutVersion = 1;

inline constexpr uint64_t kChannelHeaderBytes = 4096;
inline constexpr uint64_t kSmallRingBytes = 32 * 1024;
inline constexpr uint64_t kLargeRingBytes = 1024 * 1024;
inline constexpr uint64_t kChannelBytes = kChannelHeaderBytes + kLargeRingBytes;
// Arguments up to 4 KiB ride in a record, with what surrounds them.
inline constexpr uint32_t kMostRecordBytes = 8 * 1024;

struct ChannelHeader {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t reserved;
  alignas(64) std::atomic<uint64_t> tail;  // bytes published in this segment
  alignas(64) std::atomic<uint64_t> head;  // bytes taken from the other segment
  alignas(64) uint64_t padding_after_head[8];
};
static_assert(sizeof(ChannelHeader) == 256);
static_assert(offsetof(ChannelHeader, tail) == 64 && offsetof(ChannelHeader, head) == 128);

enum class RecordKind : uint32_t {
  kPad = 1,   // nothing; the next record begins at the ring's start
  kGrow = 2,  // the ring is large from the next record on
  kFirstOfUser = 16,
  kLastOfUser = 255,
};

struct RecordHeader {
  uint32_t bytes;   // of the payload
  uint32_t kind;    // RecordKind, or the user's from kFirstOfUser on
  uint64_t number;  // the user's
};
static_assert(sizeof(RecordHeader) == 16);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_CHANNEL_CHANNEL_LAYOUT_H_
