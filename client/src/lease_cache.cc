// Magazines of leases.
#include "client/src/lease_cache.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace penstock::internal {
namespace {

constexpr uint32_t kFirstTarget = 4;
constexpr uint32_t kLeastTarget = 64;  // below this it does not shrink
// A refill takes a wake-up of the daemon, 30 to 60 us, in which a client makes hundreds of
// small objects; it is asked for at half.
constexpr uint32_t kMostLeasesAhead = 1024;
constexpr uint64_t kMostBytesAhead = 1 * kMiB;

}  // namespace

uint32_t LeaseCache::MostAhead(uint64_t block_bytes) {
  if (IsSmallBlock(block_bytes)) {
    return static_cast<uint32_t>(std::clamp<uint64_t>(kMostBytesAhead / block_bytes, 4,
                                                      kMostLeasesAhead));
  }
  return block_bytes <= 16 * kMiB ? 2 : 1;
}

LeaseCache::Magazine& LeaseCache::MagazineFor(uint64_t block_bytes) {
  if (IsSmallBlock(block_bytes)) return small_[SizeClassOf(block_bytes)];
  for (Magazine& magazine : large_) {
    if (magazine.block_bytes == block_bytes) return magazine;
  }
  Magazine& oldest = large_[next_large_++ % large_.size()];
  homeless_.insert(homeless_.end(), oldest.leases.begin(), oldest.leases.end());
  oldest = Magazine{};
  oldest.block_bytes = block_bytes;
  return oldest;
}

LeaseCache::Taken LeaseCache::Take(uint64_t block_bytes) {
  const std::lock_guard lock(lock_);
  Magazine& magazine = MagazineFor(block_bytes);
  Taken taken;
  taken.sequence = next_sequence_++;
  // Who finds none waits for a grant, and asks for more with the same record.
  if (magazine.leases.empty()) return taken;
  taken.lease = magazine.leases.back();
  magazine.leases.pop_back();
  ++taken_;
  if (!magazine.leases.empty()) taken.next_offset = magazine.leases.back().offset;
  const bool low = magazine.leases.size() * 2 <= magazine.target;
  if (low && magazine.target > 0 && !magazine.refill_asked) {
    magazine.refill_asked = true;
    taken.refill = magazine.target - static_cast<uint32_t>(magazine.leases.size());
  }
  return taken;
}

uint32_t LeaseCache::WantedCount(uint64_t block_bytes) {
  const std::lock_guard lock(lock_);
  Magazine& magazine = MagazineFor(block_bytes);
  if (magazine.target == 0) {
    // The first of its size: a small one may well be one of many, a large one first has
    // to come a second time.
    magazine.target = IsSmallBlock(block_bytes)
                          ? std::min(kFirstTarget, MostAhead(block_bytes)) : 1;
    return magazine.target;
  }
  // It ran dry, so more at a time pays.
  magazine.target = std::min(magazine.target * 2, MostAhead(block_bytes));
  return magazine.target + (IsSmallBlock(block_bytes) ? 0 : 1);  // one to use now
}

void LeaseCache::Add(uint64_t block_bytes, const HeldLease& lease) {
  const std::lock_guard lock(lock_);
  Magazine& magazine = MagazineFor(block_bytes);
  if (magazine.refill_asked) {
    magazine.refill_asked = false;
    // It came while many were left: fewer in circulation stay in the cache.
    if (magazine.leases.size() > magazine.target / 4 && magazine.target > kLeastTarget) {
      magazine.target -= magazine.target / 32;
    }
  }
  magazine.leases.push_back(lease);
}

void LeaseCache::Granted(uint64_t block_bytes) {
  const std::lock_guard lock(lock_);
  MagazineFor(block_bytes).refill_asked = false;
}

void LeaseCache::ForgetRefills() {
  const std::lock_guard lock(lock_);
  for (Magazine& magazine : small_) magazine.refill_asked = false;
  for (Magazine& magazine : large_) magazine.refill_asked = false;
}

uint64_t LeaseCache::NextSequences(uint32_t count) {
  const std::lock_guard lock(lock_);
  return std::exchange(next_sequence_, next_sequence_ + count);
}

bool LeaseCache::HasGiven(uint64_t sequence) const {
  const std::lock_guard lock(lock_);
  return sequence > 0 && sequence < next_sequence_;
}

uint64_t LeaseCache::taken() const {
  const std::lock_guard lock(lock_);
  return taken_;
}

void LeaseCache::CountTaken() {
  const std::lock_guard lock(lock_);
  ++taken_;
}

std::vector<HeldLease> LeaseCache::TakeAll() {
  const std::lock_guard lock(lock_);
  std::vector<HeldLease> all = std::exchange(homeless_, {});
  const auto take = [&all](Magazine& magazine) {
    all.insert(all.end(), magazine.leases.begin(), magazine.leases.end());
    magazine.leases.clear();
    magazine.refill_asked = false;
  };
  std::for_each(small_.begin(), small_.end(), take);
  std::for_each(large_.begin(), large_.end(), take);
  return all;
}

}  // namespace penstock::internal
