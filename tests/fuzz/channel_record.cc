// The channel between two processes of a node, whose other end may write anything: a program
// of well-formed records, of raw bytes at any place of the segment, and of tails. Whatever
// stands there, the consumer gives out records within their limits or ends the channel; what
// an honest producer wrote comes out as it went in.
#include <sys/mman.h>

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/channel/channel.h"
#include "tests/fuzz/input.h"

namespace penstock {
namespace {

// Zeroed; a page behind it ends whoever reads too far.
class Segment {
 public:
  Segment() {
    void* const memory = mmap(nullptr, kChannelBytes + kGuardBytes, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    PENSTOCK_CHECK(memory != MAP_FAILED &&
                   mprotect(memory, kChannelBytes, PROT_READ | PROT_WRITE) == 0);
    data_ = static_cast<std::byte*>(memory);
    FormatChannel(data_);
  }
  ~Segment() { munmap(data_, kChannelBytes + kGuardBytes); }
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  std::byte* data() const { return data_; }
  ChannelHeader* header() const { return reinterpret_cast<ChannelHeader*>(data_); }

 private:
  static constexpr uint64_t kGuardBytes = 4096;
  std::byte* data_;
};

struct Sent {
  uint32_t kind;
  uint64_t number;
  std::vector<std::byte> payload;
};

class Program {
 public:
  explicit Program(fuzz::Input input) : input_(input) {}

  void Run() {
    while (!input_.empty() && !closed_) {
      switch (input_.Pick(6)) {
        case 0: WriteRecord(); break;
        case 1: WriteRaw(); break;
        case 2: SetTail(); break;
        case 3: SetHead(); break;
        case 4: consumer_->PublishHead(); break;
        default: Drain(); break;
      }
    }
    if (!closed_) Drain();
  }

 private:
  void WriteRecord() {
    const uint32_t kind = 16 + static_cast<uint32_t>(input_.Pick(240));
    const auto number = input_.Take<uint64_t>();
    const uint32_t bytes = input_.Take<uint16_t>() % (kMostRecordBytes + 1);
    std::vector<std::byte> payload(bytes, static_cast<std::byte>(kind));
    const size_t cut = bytes == 0 ? 0 : number % bytes;
    const std::span<const std::byte> whole(payload);
    if (!producer_.Write(kind, number, whole.first(cut), whole.subspan(cut))) {
      producer_.Publish();
      return;
    }
    producer_.Publish();
    if (honest_) sent_.push_back({kind, number, std::move(payload)});
  }
  void WriteRaw() {
    honest_ = false;
    const uint64_t at = input_.Take<uint32_t>() % kChannelBytes;
    const auto bytes = input_.TakeBytes(std::min<uint64_t>(input_.Byte(), kChannelBytes - at));
    if (!bytes.empty()) std::memcpy(peer_.data() + at, bytes.data(), bytes.size());
  }
  void SetTail() {
    honest_ = false;
    auto tail = input_.Take<uint64_t>();
    // Mostly a step ahead: a wild one is refused at once.
    if (tail % 2 == 0) {
      tail = peer_.header()->tail.load(std::memory_order_relaxed) + tail % 1024 * 16;
    }
    peer_.header()->tail.store(tail, std::memory_order_relaxed);
  }
  // The other direction's lie: it keeps the producer from writing, or lets it write over
  // what was not read, which is no longer what was sent.
  void SetHead() {
    honest_ = false;
    own_.header()->head.store(input_.Take<uint64_t>(), std::memory_order_relaxed);
  }
  void Drain() {
    for (;;) {
      const auto next = consumer_->Next();
      if (!next.ok()) {
        PENSTOCK_CHECK(!honest_) << "honest records refused: " << next.status().ToString();
        closed_ = true;
        return;
      }
      if (!next->has_value()) break;
      const ChannelRecord& record = **next;
      PENSTOCK_CHECK(record.header.kind >= 16 && record.header.kind <= 255);
      PENSTOCK_CHECK(record.payload.size() == record.header.bytes &&
                     record.header.bytes <= kMostRecordBytes);
      if (!honest_) continue;
      PENSTOCK_CHECK(!sent_.empty());
      const Sent& expected = sent_.front();
      PENSTOCK_CHECK(record.header.kind == expected.kind &&
                     record.header.number == expected.number &&
                     std::ranges::equal(record.payload, expected.payload));
      sent_.pop_front();
    }
    if (honest_) PENSTOCK_CHECK(sent_.empty()) << sent_.size() << " records did not come";
  }

  fuzz::Input input_;
  Segment own_;   // of the consumer: its head word
  Segment peer_;  // of the producer: what is read
  ChannelProducer producer_{peer_.data(), own_.header()};
  std::unique_ptr<ChannelConsumer> consumer_ =
      std::make_unique<ChannelConsumer>(own_.header(), peer_.data());
  bool honest_ = true;
  bool closed_ = false;
  std::deque<Sent> sent_;
};

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  penstock::Program(penstock::fuzz::Input(data, size)).Run();
  return 0;
}
