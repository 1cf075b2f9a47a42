// The bare store's memory and its two loops.
#include "bench/penstock-bench/bare_store.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "bench/penstock-bench/small_objects.h"
#include "store/base/errors.h"
#include "store/shm/hash_index.h"
#include "store/shm/slot_table.h"

namespace penstock::bench {
namespace {

// Payloads begin in different sets of the caches, as the store's do.
constexpr uint64_t kStride = kSmallBytes + 64;
constexpr size_t kBucketAhead = 24, kSlotAhead = 16, kPayloadAhead = 8;
constexpr size_t kRemembered = 32;

}  // namespace

absl::StatusOr<std::unique_ptr<BareStore>> BareStore::Create(std::span<const ObjectId> ids,
                                                             uint64_t seed) {
  auto store = std::unique_ptr<BareStore>(new BareStore());
  const auto capacity = static_cast<uint32_t>(ids.size() + ids.size() / 8);
  const IndexGeometry geometry = IndexGeometry::For(capacity);
  PENSTOCK_ASSIGN_OR_RETURN(store->index_area_,
                            CopyArea::Create("bare-index", geometry.total_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(store->pin_area_,
                            CopyArea::Create("bare-pins", capacity * sizeof(Pin)));
  PENSTOCK_ASSIGN_OR_RETURN(store->arena_area_,
                            CopyArea::Create("bare-arena", ids.size() * kStride));
  std::memset(store->index_area_.data(), 0, geometry.total_bytes);
  std::memset(store->pin_area_.data(), 0, capacity * sizeof(Pin));
  store->index_ = IndexSegment::Format(store->index_area_.data(), geometry,
                                       store->arena_area_.bytes(), 1);
  store->pins_ = reinterpret_cast<Pin*>(store->pin_area_.data());
  store->arena_ = store->arena_area_.data();
  SlotTable slots(store->index_);
  HashIndex hash(store->index_);
  for (uint32_t i = 0; i < ids.size(); ++i) {
    const uint64_t word = FirstWordOf(ids[i]);
    std::memcpy(store->arena_area_.data() + i * kStride, &word, sizeof(word));
    slots.Lease(i);
    slots.Publish(i, {.id = ids[i], .offset = i * kStride, .size = kSmallBytes});
    if (!hash.Insert(ids[i].Hash(), i)) return absl::InternalError("the bare index is full");
  }
  store->order_.assign(ids.begin(), ids.end());
  std::shuffle(store->order_.begin(), store->order_.end(), std::mt19937_64(seed));
  return store;
}

inline uint32_t BareStore::Find(const ObjectId& id) const {
  const uint64_t hash = id.Hash();
  if (const uint64_t word = FirstCandidate(index_, hash); word != 0) [[likely]] {
    return static_cast<uint32_t>(word) - 1;
  }
  uint32_t found = 0;
  ForEachCandidate(index_, hash, [&](uint32_t slot) {
    found = slot;
    return index_.slot(slot).id == id;
  });
  return found;
}

inline bool BareStore::GetAndRelease(uint32_t slot, const ObjectId& id) {
  const Slot& object = index_.slot(slot);
  const std::byte* const payload = arena_ + object.offset;
  __builtin_prefetch(payload);
  auto& count = pins_[slot].count;
  count.fetch_add(1, std::memory_order_seq_cst);
  const bool held = IsPlainlySealed(object.state.load(std::memory_order_seq_cst)) &&
                    object.id == id;
  uint64_t word;
  std::memcpy(&word, payload, sizeof(word));
  count.fetch_sub(1, std::memory_order_seq_cst);
  return held && IsPlainlySealed(object.state.load(std::memory_order_seq_cst)) &&
         word == FirstWordOf(id);
}

bool BareStore::Run(uint64_t count) {
  bool right = true;
  size_t next = next_;
  for (uint64_t i = 0; i < count; ++i) {
    const ObjectId& id = order_[next];
    if (++next == order_.size()) next = 0;
    right &= GetAndRelease(Find(id), id);
  }
  next_ = next;
  return right;
}

bool BareStore::RunAhead(uint64_t count) {
  bool right = true;
  std::array<uint32_t, kRemembered> slots{};
  const auto id_at = [&](uint64_t i) -> const ObjectId& {
    const size_t at = next_ + i;
    return order_[at < order_.size() ? at : at - order_.size()];
  };
  const auto fetch_bucket = [&](uint64_t i) {
    __builtin_prefetch(
        &index_.bucket(static_cast<uint32_t>(id_at(i).Hash()) & index_.bucket_mask()));
  };
  const auto fetch_slot = [&](uint64_t i) {
    const uint32_t slot = slots[i % kRemembered] = Find(id_at(i));
    __builtin_prefetch(&index_.slot(slot));
    __builtin_prefetch(&pins_[slot], 1);
  };
  for (uint64_t i = 0; i < kBucketAhead; ++i) fetch_bucket(i);
  for (uint64_t i = 0; i < kSlotAhead; ++i) fetch_slot(i);
  for (uint64_t i = 0; i < count; ++i) {
    fetch_bucket(i + kBucketAhead);
    fetch_slot(i + kSlotAhead);
    __builtin_prefetch(arena_ +
                       index_.slot(slots[(i + kPayloadAhead) % kRemembered]).offset);
    right &= GetAndRelease(slots[i % kRemembered], id_at(i));
  }
  next_ = (next_ + count) % order_.size();
  return right;
}

}  // namespace penstock::bench
