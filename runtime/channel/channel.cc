// The halves of a channel.
#include "runtime/channel/channel.h"

#include <cstring>
#include <new>

#include <fmt/format.h>

#include "store/base/check.h"

namespace penstock {
namespace {

constexpr uint64_t kRecordAlignment = 16;
constexpr uint64_t kLine = 64;

constexpr uint64_t RecordBytes(uint64_t payload_bytes) {
  return (sizeof(RecordHeader) + payload_bytes + kRecordAlignment - 1) / kRecordAlignment *
         kRecordAlignment;
}

absl::Status Broken(std::string why) {
  return absl::DataLossError(
      fmt::format("the other end of the channel wrote {}: it is closed; a stray write into "
                  "Penstock's memory, or a bug worth reporting", why));
}

}  // namespace

void FormatChannel(std::byte* segment) {
  auto* const header = new (segment) ChannelHeader{};
  header->layout_version = kChannelLayoutVersion;
  header->magic = kChannelMagic;
}

absl::Status CheckChannel(const std::byte* segment) {
  const auto* const header = reinterpret_cast<const ChannelHeader*>(segment);
  if (header->magic == kChannelMagic && header->layout_version == kChannelLayoutVersion) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(fmt::format(
      "a channel of layout version {}, this library knows version {}: use the same release "
      "of Penstock everywhere", header->layout_version, kChannelLayoutVersion));
}

ChannelProducer::ChannelProducer(std::byte* own, const ChannelHeader* peer)
    : ring_(own + kChannelHeaderBytes),
      own_(reinterpret_cast<ChannelHeader*>(own)),
      peer_(peer) {}

// A head beyond our tail, or that went back, is no room: its writer harms only itself.
bool ChannelProducer::HasRoom(uint64_t bytes) {
  if (tail_ + bytes - head_ <= places_.bytes()) return true;
  const uint64_t head = peer_->head.load(std::memory_order_acquire);
  if (head - head_ <= published_ - head_) head_ = head;
  return tail_ + bytes - head_ <= places_.bytes();
}

void ChannelProducer::Put(const RecordHeader& header, std::span<const std::byte> first,
                          std::span<const std::byte> second) {
  std::byte* at = ring_ + places_.OffsetOf(tail_);
  std::memcpy(at, &header, sizeof(header));
  at += sizeof(header);
  if (!first.empty()) std::memcpy(at, first.data(), first.size());
  if (!second.empty()) std::memcpy(at + first.size(), second.data(), second.size());
  tail_ += RecordBytes(header.bytes);
}

bool ChannelProducer::Write(uint32_t kind, uint64_t number, std::span<const std::byte> first,
                            std::span<const std::byte> second) {
  const uint64_t payload_bytes = first.size() + second.size();
  PENSTOCK_CHECK(payload_bytes <= kMostRecordBytes) << payload_bytes;
  const uint64_t bytes = RecordBytes(payload_bytes);
  uint64_t pad = places_.ToEnd(tail_) < bytes ? places_.ToEnd(tail_) : 0;
  // In a small ring there is always room for the record that makes it large.
  const uint64_t spare = places_.large() ? 0 : RecordBytes(0);
  if (!HasRoom(pad + bytes + spare)) {
    if (places_.large()) return false;
    Put({0, static_cast<uint32_t>(RecordKind::kGrow), 0}, {}, {});
    places_.GrowAt(tail_);
    pad = 0;
  }
  if (pad > 0) {
    // Its own header is 16 bytes, and so is the least that is left.
    const auto fill = static_cast<uint32_t>(pad - sizeof(RecordHeader));
    const RecordHeader header{fill, static_cast<uint32_t>(RecordKind::kPad), 0};
    std::memcpy(ring_ + places_.OffsetOf(tail_), &header, sizeof(header));
    tail_ += pad;
  }
  Put({static_cast<uint32_t>(payload_bytes), kind, number}, first, second);
  return true;
}

bool ChannelProducer::Publish() {
  if (published_ == tail_) return false;
  published_ = tail_;
  own_->tail.exchange(tail_, std::memory_order_seq_cst);
  return true;
}

ChannelConsumer::ChannelConsumer(ChannelHeader* own, const std::byte* peer)
    : own_(own),
      peer_(reinterpret_cast<const ChannelHeader*>(peer)),
      ring_(peer + kChannelHeaderBytes) {}

bool ChannelConsumer::HasRecords() const {
  // Whoever looks again and again has the record's line when it sees the tail.
  const std::byte* const next = ring_ + places_.OffsetOf(head_);
  __builtin_prefetch(next);
  __builtin_prefetch(next + kLine);
  return peer_->tail.load(std::memory_order_seq_cst) != head_;
}

absl::StatusOr<std::optional<ChannelRecord>> ChannelConsumer::Next() {
  for (;;) {
    if (head_ == tail_) {
      const uint64_t tail = peer_->tail.load(std::memory_order_seq_cst);
      // A producer that grew has filled the small ring and part of the large one at most.
      if (tail - head_ > kLargeRingBytes || tail % kRecordAlignment != 0) {
        return Broken(fmt::format("a tail of {} when {} were taken", tail, head_));
      }
      tail_ = tail;
      if (head_ == tail_) return std::nullopt;
    }
    ChannelRecord record;
    const std::byte* const at = ring_ + places_.OffsetOf(head_);
    __builtin_prefetch(at + kLine);  // under way while the header is looked at
    std::memcpy(&record.header, at, sizeof(RecordHeader));
    const RecordHeader& header = record.header;
    const uint64_t bytes = RecordBytes(header.bytes);
    if (bytes > tail_ - head_ || bytes > places_.ToEnd(head_)) {
      return Broken(fmt::format("a record of {} bytes where {} are published", header.bytes,
                                tail_ - head_));
    }
    if (header.kind == static_cast<uint32_t>(RecordKind::kPad)) {
      head_ += bytes;
      continue;
    }
    if (header.kind == static_cast<uint32_t>(RecordKind::kGrow)) {
      if (places_.large() || header.bytes != 0) return Broken("a second kGrow");
      head_ += bytes;
      places_.GrowAt(head_);
      continue;
    }
    if (header.kind < static_cast<uint32_t>(RecordKind::kFirstOfUser) ||
        header.kind > static_cast<uint32_t>(RecordKind::kLastOfUser) ||
        header.bytes > kMostRecordBytes) {
      return Broken(fmt::format("a record of kind {} with {} bytes", header.kind,
                                header.bytes));
    }
    std::memcpy(copy_, at + sizeof(RecordHeader), header.bytes);
    record.payload = {copy_, header.bytes};
    head_ += bytes;
    return record;
  }
}

void ChannelConsumer::PublishHead() { own_->head.store(head_, std::memory_order_release); }

}  // namespace penstock
