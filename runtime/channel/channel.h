// The two halves of one direction of a channel: records of any length up to 8 KiB in a ring
// of bytes. Layout and rules in channel_layout.h.
#ifndef PENSTOCK_RUNTIME_CHANNEL_CHANNEL_H_
#define PENSTOCK_RUNTIME_CHANNEL_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/channel/channel_layout.h"

namespace penstock {

// Where the records of a ring lie: small at first, large after it grew.
class RingPlaces {
 public:
  uint64_t bytes() const { return large_ ? kLargeRingBytes - kSmallRingBytes : kSmallRingBytes; }
  bool large() const { return large_; }
  // The offset in the ring's memory of a position.
  uint64_t OffsetOf(uint64_t position) const {
    if (!large_) return position % kSmallRingBytes;
    return (position - grown_at_ + kSmallRingBytes) % kLargeRingBytes;
  }
  // Bytes from there to the end of the memory.
  uint64_t ToEnd(uint64_t position) const {
    return (large_ ? kLargeRingBytes : kSmallRingBytes) - OffsetOf(position);
  }
  // From `position` on the ring is large, and begins behind the small one: what lies there
  // is still being read.
  void GrowAt(uint64_t position) {
    large_ = true;
    grown_at_ = position;
  }

 private:
  bool large_ = false;
  uint64_t grown_at_ = 0;
};

// Thread safety: one thread at a time.
class ChannelProducer {
 public:
  ChannelProducer() = default;
  // `own` is this process's segment, formatted; `peer` the other's header.
  ChannelProducer(std::byte* own, const ChannelHeader* peer);

  // Writes one record; nobody sees it before Publish. False when there is no room: publish,
  // take what the other side sent, and try again. `bytes` is at most kMostRecordBytes.
  // Cost: a copy.
  bool Write(uint32_t kind, uint64_t number, std::span<const std::byte> bytes) {
    return Write(kind, number, bytes, {});
  }
  // The same from two pieces.
  bool Write(uint32_t kind, uint64_t number, std::span<const std::byte> first,
             std::span<const std::byte> second);
  // SYNC S1 parking, producer's half: a full fence; the caller reads the parked flag next.
  // False when there was nothing to publish.
  bool Publish();

 private:
  bool HasRoom(uint64_t bytes);
  void Put(const RecordHeader& header, std::span<const std::byte> first,
           std::span<const std::byte> second);

  std::byte* ring_ = nullptr;
  ChannelHeader* own_ = nullptr;
  const ChannelHeader* peer_ = nullptr;
  RingPlaces places_;
  uint64_t tail_ = 0;
  uint64_t published_ = 0;
  uint64_t head_ = 0;  // last head seen
};

// One record, copied out of the ring.
struct ChannelRecord {
  RecordHeader header{};
  std::span<const std::byte> payload;  // valid until the next call of Next
};

// Thread safety: one thread at a time.
class ChannelConsumer {
 public:
  ChannelConsumer() = default;
  // `own` holds the head word that is ours to write; `peer` is the other's segment.
  ChannelConsumer(ChannelHeader* own, const std::byte* peer);

  // The next record, copied and then checked; nothing when there is none. Errors:
  // DataLoss, with what was wrong: the channel is at its end.
  absl::StatusOr<std::optional<ChannelRecord>> Next();
  // SYNC S1 parking, consumer's second look.
  bool HasRecords() const;
  // Gives what was taken back to the producer.
  void PublishHead();

 private:
  ChannelHeader* own_ = nullptr;
  const ChannelHeader* peer_ = nullptr;
  const std::byte* ring_ = nullptr;
  RingPlaces places_;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;  // last tail seen and believed
  alignas(16) std::byte copy_[kMostRecordBytes];
};

// Writes the header of a fresh, zeroed segment of kChannelBytes.
void FormatChannel(std::byte* segment);
// Whether a peer's segment is one that we can read. Errors: FailedPrecondition.
absl::Status CheckChannel(const std::byte* segment);

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_CHANNEL_CHANNEL_H_
