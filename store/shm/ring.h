// The two halves of a single-producer, single-consumer ring in shared memory. Each side
// keeps its own position in private memory and believes nothing of the other's word
// beyond what it checks.
//
// SYNC ring: the producer writes an entry, then publishes the tail (release or stronger);
// the consumer loads the tail (acquire), copies the entry, then publishes the head
// (release); the producer loads the head (acquire) before it writes over an entry.
// Model: tests/model/ring.pml. Test: tests/unit/shm/ring_test.cc.
#ifndef PENSTOCK_STORE_SHM_RING_H_
#define PENSTOCK_STORE_SHM_RING_H_

#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>

#include "store/base/prefetch.h"

namespace penstock {

// Thread safety: one thread at a time (the owner's lock).
template <typename Record, uint32_t kEntries>
class RingProducer {
  static_assert((kEntries & (kEntries - 1)) == 0, "a power of two");

 public:
  RingProducer() = default;
  RingProducer(Record* entries, std::atomic<uint64_t>* tail,
               const std::atomic<uint64_t>* head)
      : entries_(entries), tail_word_(tail), head_word_(head) {}

  // Goes on where another producer of the same process's side was killed: at the tail that it
  // had published. False when the consumer's head does not fit to it.
  bool Resume() {
    tail_ = tail_word_->load(std::memory_order_acquire);
    head_ = head_word_->load(std::memory_order_acquire);
    return tail_ - head_ <= kEntries;
  }

  // Room for at least one entry. A head beyond our tail, or that went back, is no room:
  // the other side broke its ring and harms only itself.
  bool HasRoom() {
    if (tail_ - head_ < kEntries) return true;
    // Seq_cst: the daemon looks here once more after it has raised `backlogged` (S1).
    const uint64_t head = head_word_->load(std::memory_order_seq_cst);
    if (head - head_ <= tail_ - head_) head_ = head;
    return tail_ - head_ < kEntries;
  }

  // Writes the next entry, which nobody sees before Publish. Needs HasRoom().
  void Write(const Record& record) {
    std::memcpy(static_cast<void*>(&entries_[tail_ % kEntries]), &record, sizeof(Record));
    ++tail_;
  }

  // SYNC S1 parking, producer's half: the exchange publishes the entries and is the full
  // fence before the caller reads the consumer's parked flag.
  // The consumer has read the next entry a ring's length ago, and its line comes from there.
  void Publish() {
    tail_word_->exchange(tail_, std::memory_order_seq_cst);
    PrefetchForWrite(&entries_[tail_ % kEntries]);
  }

  uint64_t tail() const { return tail_; }

  // The entry at a position not yet overwritten: this side's own bytes.
  const Record& At(uint64_t position) const { return entries_[position % kEntries]; }
  uint64_t LoadHead() const { return head_word_->load(std::memory_order_acquire); }

 private:
  Record* entries_ = nullptr;
  std::atomic<uint64_t>* tail_word_ = nullptr;
  const std::atomic<uint64_t>* head_word_ = nullptr;
  uint64_t tail_ = 0;
  uint64_t head_ = 0;  // last head seen
};

// Thread safety: one thread at a time.
template <typename Record, uint32_t kEntries>
class RingConsumer {
 public:
  RingConsumer() = default;
  RingConsumer(const Record* entries, const std::atomic<uint64_t>* tail,
               std::atomic<uint64_t>* head)
      : entries_(entries), tail_word_(tail), head_word_(head) {}

  // Goes on where another consumer was killed: at the head that it had published.
  void Resume() { head_ = head_word_->load(std::memory_order_acquire); }

  // How many entries are published, or nothing when the producer's tail is impossible
  // (it went back, or claims more than the ring holds).
  // Seq_cst: after Park this is the second look of SYNC S1 parking.
  std::optional<uint32_t> Available() const {
    const uint64_t ready = tail_word_->load(std::memory_order_seq_cst) - head_;
    if (ready > kEntries) return std::nullopt;
    return static_cast<uint32_t>(ready);
  }

  // A copy of the next entry; check the copy, never the shared bytes.
  Record Take() {
    Record record;
    std::memcpy(static_cast<void*>(&record), &entries_[head_ % kEntries], sizeof(Record));
    ++head_;
    return record;
  }
  const Record* PeekAhead(uint32_t distance) const {
    return &entries_[(head_ + distance) % kEntries];
  }

  // Gives the taken entries back to the producer.
  void PublishHead() { head_word_->store(head_, std::memory_order_release); }
  // The same as a full fence, for a consumer that reads a flag of the producer next.
  void PublishHeadFenced() { head_word_->exchange(head_, std::memory_order_seq_cst); }

  uint64_t head() const { return head_; }

 private:
  const Record* entries_ = nullptr;
  const std::atomic<uint64_t>* tail_word_ = nullptr;
  std::atomic<uint64_t>* head_word_ = nullptr;
  uint64_t head_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_RING_H_
