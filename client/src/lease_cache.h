// LeaseCache: leases granted ahead of need, by block size, so that a create costs no
// round trip. It asks for more before it runs dry; how many it keeps it learns from
// whether the refill came in time.
#ifndef PENSTOCK_CLIENT_SRC_LEASE_CACHE_H_
#define PENSTOCK_CLIENT_SRC_LEASE_CACHE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "store/base/spin_lock.h"
#include "store/shm/session_layout.h"
#include "store/shm/size_class.h"

namespace penstock::internal {

struct HeldLease {
  uint64_t generation = 0;
  uint64_t offset = 0;
  uint32_t slot = 0;
};

// Thread safety: every call from any thread.
class LeaseCache {
 public:
  struct Taken {
    std::optional<HeldLease> lease;
    uint32_t refill = 0;    // ask the daemon for this many more, without waiting
    uint64_t sequence = 0;  // a fresh number for the object's id
    std::optional<uint64_t> next_offset;  // of the lease that comes next
  };

  // A lease of a block of `block_bytes`, if one is at hand.
  Taken Take(uint64_t block_bytes);
  // How many to ask for when none was at hand and the caller must wait anyway.
  uint32_t WantedCount(uint64_t block_bytes);
  // A refill was granted, or a waited-for grant brought more than one.
  void Add(uint64_t block_bytes, const HeldLease& lease);
  // A grant that was waited for came: refills may be asked for again.
  void Granted(uint64_t block_bytes);
  // The first of `count` numbers in a row.
  uint64_t NextSequences(uint32_t count);
  // Whether this number was given to anybody yet.
  bool HasGiven(uint64_t sequence) const;
  // The daemon that was asked for refills is gone: they may be asked for again.
  void ForgetRefills();
  // Everything at hand, to give back to the daemon.
  std::vector<HeldLease> TakeAll();
  // Leases handed to builders so far.
  uint64_t taken() const;
  void CountTaken();

 private:
  struct Magazine {
    uint64_t block_bytes = 0;
    std::vector<HeldLease> leases;
    uint32_t target = 0;
    bool refill_asked = false;
  };
  Magazine& MagazineFor(uint64_t block_bytes);
  static uint32_t MostAhead(uint64_t block_bytes);

  mutable SpinLock lock_;  // guards what follows
  std::array<Magazine, kSizeClasses> small_;
  std::array<Magazine, 4> large_;  // the sizes above 64 KiB used last
  uint32_t next_large_ = 0;
  std::vector<HeldLease> homeless_;  // of large sizes that left the table meanwhile
  uint64_t next_sequence_ = 1;
  uint64_t taken_ = 0;
};

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_LEASE_CACHE_H_
