// HashIndex: id -> slot, fixed capacity, words that are single atomics, two buckets of
// eight words for each id, no tombstones.
//
// A hit is a hint (the caller pins the slot and compares the id, SYNC S2); a miss proves
// nothing: the object may be unpublished, or in the daemon's overflow table.
#ifndef PENSTOCK_STORE_SHM_HASH_INDEX_H_
#define PENSTOCK_STORE_SHM_HASH_INDEX_H_

#include <cstdint>

#include "store/shm/index_segment.h"

namespace penstock {

// Calls visit(slot) for each word whose tag fits `hash`, until it returns true.
// Thread safety: any. Cost: one cache line, two when the first has no fitting word.
template <typename Visit>
inline bool ForEachCandidate(const IndexSegment& index, uint64_t hash, Visit&& visit) {
  const uint32_t tag = static_cast<uint32_t>(hash >> 32);
  const uint32_t first = static_cast<uint32_t>(hash) & index.bucket_mask();
  const uint32_t second = (first ^ (tag | 1)) & index.bucket_mask();
  for (const uint32_t bucket_index : {first, second}) {
    const Bucket& bucket = index.bucket(bucket_index);
    // Start at the word that Insert prefers, so that most look-ups compare once.
    for (uint32_t i = 0; i < kBucketWords; ++i) {
      const uint64_t word =
          bucket.words[(tag + i) % kBucketWords].load(std::memory_order_acquire);
      if (static_cast<uint32_t>(word >> 32) != tag || word == 0) continue;
      const uint32_t slot = static_cast<uint32_t>(word) - 1;
      if (slot < index.capacity() && visit(slot)) return true;
    }
  }
  return false;
}

// The word that Insert prefers for `hash`, or 0 when that one holds another id or none: then
// ForEachCandidate knows more. Thread safety: any. Cost: one cache line.
inline uint64_t FirstCandidate(const IndexSegment& index, uint64_t hash) {
  const uint32_t tag = static_cast<uint32_t>(hash >> 32);
  const Bucket& bucket = index.bucket(static_cast<uint32_t>(hash) & index.bucket_mask());
  const uint64_t word = bucket.words[tag % kBucketWords].load(std::memory_order_acquire);
  return static_cast<uint32_t>(word >> 32) == tag ? word : 0;
}

// The daemon's writing half. Thread safety: one thread.
class HashIndex {
 public:
  explicit HashIndex(IndexSegment index) : index_(index) {}

  // False when both buckets are full: the caller keeps the id in its overflow table, where
  // no client finds it without asking. Ids come in fours that share their first bucket
  // (ObjectId::Hash); filling it to the brim before the second would leave two of 10,000
  // ids homeless, moving on to the emptier one from six words on leaves none of 2^20.
  bool Insert(uint64_t hash, uint32_t slot) {
    const uint32_t tag = static_cast<uint32_t>(hash >> 32);
    const uint32_t first = static_cast<uint32_t>(hash) & index_.bucket_mask();
    const uint32_t second = (first ^ (tag | 1)) & index_.bucket_mask();
    const int used = WordsUsed(first);
    const bool spread = used >= kEnoughInFirst && WordsUsed(second) < used;
    std::atomic<uint64_t>* const word = FindWordIn(spread ? second : first, tag, 0);
    if (word == nullptr) return false;
    word->store((uint64_t{tag} << 32) | (slot + 1), std::memory_order_release);
    return true;
  }

  bool Contains(uint64_t hash, uint32_t slot) {
    return FindWord(hash, (hash >> 32 << 32) | (slot + 1)) != nullptr;
  }

  // Clears every word whose slot and tag are not `valid(slot, tag)`: what a daemon left that
  // was killed between two stores.
  template <typename Valid>
  void EraseUnless(Valid&& valid) {
    for (uint32_t bucket = 0; bucket <= index_.bucket_mask(); ++bucket) {
      for (std::atomic<uint64_t>& word : index_.bucket(bucket).words) {
        const uint64_t value = word.load(std::memory_order_relaxed);
        if (value == 0) continue;
        const uint32_t slot = static_cast<uint32_t>(value) - 1;
        if (slot < index_.capacity() && valid(slot, static_cast<uint32_t>(value >> 32))) continue;
        word.store(0, std::memory_order_release);
      }
    }
  }

  // False when the slot was not there (it is in the overflow table).
  bool Erase(uint64_t hash, uint32_t slot) {
    const uint32_t tag = static_cast<uint32_t>(hash >> 32);
    std::atomic<uint64_t>* const word = FindWord(hash, (uint64_t{tag} << 32) | (slot + 1));
    if (word == nullptr) return false;
    word->store(0, std::memory_order_release);
    return true;
  }

 private:
  static constexpr int kEnoughInFirst = 6;

  int WordsUsed(uint32_t bucket) const {
    int used = 0;
    for (const auto& word : index_.bucket(bucket).words) {
      used += word.load(std::memory_order_relaxed) != 0;
    }
    return used;
  }

  std::atomic<uint64_t>* FindWordIn(uint32_t bucket, uint32_t tag, uint64_t wanted) {
    Bucket& words = index_.bucket(bucket);
    for (uint32_t i = 0; i < kBucketWords; ++i) {
      std::atomic<uint64_t>& word = words.words[(tag + i) % kBucketWords];
      if (word.load(std::memory_order_relaxed) == wanted) return &word;
    }
    return nullptr;
  }

  std::atomic<uint64_t>* FindWord(uint64_t hash, uint64_t wanted) {
    const uint32_t tag = static_cast<uint32_t>(hash >> 32);
    const uint32_t first = static_cast<uint32_t>(hash) & index_.bucket_mask();
    const uint32_t second = (first ^ (tag | 1)) & index_.bucket_mask();
    std::atomic<uint64_t>* const word = FindWordIn(first, tag, wanted);
    return word != nullptr ? word : FindWordIn(second, tag, wanted);
  }

  IndexSegment index_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_HASH_INDEX_H_
