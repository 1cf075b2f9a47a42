// ObjectId: the 24-byte name of an object.
//
// Two kinds:
//   * made by the library: home = incarnation of the node that made it, session =
//     the creating session, sequence = a counter of that session. Unique without
//     asking anyone, and it says where its directory entry lives.
//   * from a name (or from bytes of the caller's): home = 0, and 128 bits of hash.
//
// Thread safety: a plain value. Cost: no call here allocates, except ToHex.
#ifndef PENSTOCK_OBJECT_ID_H_
#define PENSTOCK_OBJECT_ID_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace penstock {

namespace internal {
__extension__ typedef unsigned __int128 Uint128;
}

struct ObjectId {
  uint64_t home = 0;      // incarnation of the home node; 0 for an id from a name
  uint64_t session = 0;   // creating session, or the first half of the name's hash
  uint64_t sequence = 0;  // counter of that session, or the second half of the hash

  // The id of a name: the same name gives the same id everywhere (XXH3, 128 bits).
  // An object under such an id is reserved by its creator with one round trip.
  static ObjectId FromName(std::string_view name);

  // 128 random bits of the kernel, home 0: an id that nobody else has.
  static ObjectId Random();

  // 48 hexadecimal digits, home first. InvalidArgument says what was wrong.
  static absl::StatusOr<ObjectId> FromHex(std::string_view hex);
  std::string ToHex() const;

  bool IsNil() const { return (home | session | sequence) == 0; }
  bool IsFromName() const { return home == 0; }

  friend bool operator==(const ObjectId&, const ObjectId&) = default;
  friend auto operator<=>(const ObjectId&, const ObjectId&) = default;

  // Mixes all 192 bits into 64: the low half chooses a bucket of the shared hash table, the
  // high half is the tag kept there. Four successive ids of one session share their low
  // half and so a cache line of the table: 10,000 objects then need 160 KB of it and not
  // 640, which is the difference between the second and the third level of cache. Part of
  // the index layout: changing it bumps kIndexLayoutVersion.
  uint64_t Hash() const {
    const uint64_t multiplier = ((session * 0x9e3779b97f4a7c15ULL) ^ home) | 1;
    const auto product =
        static_cast<internal::Uint128>((sequence >> 2) ^ 0xe7037ed1a0b428dbULL) * multiplier;
    const uint64_t low = static_cast<uint64_t>(product);
    const uint64_t high = static_cast<uint64_t>(product >> 64);
    // The upper bits of a product depend on all bits below them.
    const uint64_t bucket = (low >> 32) ^ (high & 0xffffffff);
    const uint64_t tag = static_cast<uint32_t>(high ^ low) + (sequence & 3) * 0x9e3779b1ULL;
    return (tag << 32) | bucket;
  }

  template <typename H>
  friend H AbslHashValue(H state, const ObjectId& id) {
    return H::combine(std::move(state), id.home, id.session, id.sequence);
  }
};

static_assert(sizeof(ObjectId) == 24 && alignof(ObjectId) == 8);

}  // namespace penstock

template <>
struct std::hash<penstock::ObjectId> {
  size_t operator()(const penstock::ObjectId& id) const noexcept { return id.Hash(); }
};

#endif  // PENSTOCK_OBJECT_ID_H_
