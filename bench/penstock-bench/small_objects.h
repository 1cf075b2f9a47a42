// Objects of 1 KiB that can be told from one another, and gets of them in random order.
#ifndef PENSTOCK_BENCH_SMALL_OBJECTS_H_
#define PENSTOCK_BENCH_SMALL_OBJECTS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <penstock/client.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace penstock::bench {

inline constexpr uint64_t kSmallBytes = 1024;
inline constexpr uint64_t kGetBatch = 1000;  // gets that are timed together
inline constexpr uint64_t kGetManyIds = 100;

// The first word of an object's payload, which depends on its id.
inline uint64_t FirstWordOf(const ObjectId& id) { return id.Hash() ^ 0x70656e73746f636bULL; }

// Puts `count` objects and appends their ids. Every payload is the pattern of its id.
absl::Status MakeSmallObjects(Client& client, uint64_t count, std::vector<ObjectId>& ids);
// Compares every byte of every one of them.
absl::Status CheckSmallObjects(Client& client, std::span<const ObjectId> ids);

// Ids in random order, with the words that their payloads must begin with: so laid out
// that the loop below reads its own list in order, and only the store at random.
class RandomGets {
 public:
  RandomGets(std::span<const ObjectId> ids, uint64_t count, uint64_t seed);

  // `count` gets and releases, the first word of each read and compared. False when one
  // was not there or not right. No system call as long as all is sealed.
  bool Run(Client& client, uint64_t count);
  // The same by GetMany, kGetManyIds ids a call: what it pins stays in the nearest cache
  // until it is released.
  bool RunMany(Client& client, uint64_t count);

 private:
  struct Wanted {
    ObjectId id;
    uint64_t first_word;
  };
  bool RunOneCall(Client& client, uint64_t count);

  std::vector<Wanted> wanted_;
  size_t next_ = 0;
  std::vector<ObjectId> batch_;
};

inline bool RandomGets::Run(Client& client, uint64_t count) {
  bool right = true;
  const Wanted* const end = wanted_.data() + wanted_.size();
  const Wanted* wanted = wanted_.data() + next_;
  for (uint64_t i = 0; i < count; ++i) {
    const absl::StatusOr<ObjectView> view = client.Get(wanted->id, absl::ZeroDuration());
    if (!view.ok()) return false;
    uint64_t word;
    std::memcpy(&word, view->data().data(), sizeof(word));
    right &= word == wanted->first_word;
    if (++wanted == end) wanted = wanted_.data();
  }
  next_ = static_cast<size_t>(wanted - wanted_.data());
  return right;
}

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_SMALL_OBJECTS_H_
