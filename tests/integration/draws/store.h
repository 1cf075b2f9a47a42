// Store: one daemon under the draws, and the ids that its clients have told one another of.
//
// What an object holds follows from its tag and its size, so that any view can be checked,
// whichever thread made the object and whether or not another one had the same id.
#ifndef PENSTOCK_TESTS_INTEGRATION_DRAWS_STORE_H_
#define PENSTOCK_TESTS_INTEGRATION_DRAWS_STORE_H_

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <penstock/client.h>

#include "tests/integration/draws/dice.h"
#include "tests/support/test_daemon.h"

namespace penstock::draws {

class Store {
 public:
  Store(uint64_t arena_bytes, std::vector<std::string> options);

  const std::string& dir() const { return daemon_.dir(); }
  uint64_t arena_bytes() const { return arena_bytes_; }
  testing::TestDaemon& daemon() { return daemon_; }

  // The client of several threads. Gone with WhatIsLeft.
  Client Shared();
  void Tell(const ObjectId& id);   // of an id that is promised, made or sealed
  // The oldest of those beyond a few hundred, each of them once.
  std::vector<ObjectId> TakeOld();
  // Any id at all: one that is here, was here, is promised, is a name's, is forged.
  ObjectId AnyId(Dice& dice);
  // With no client left: takes away all that was told of, and says what is wrong with the
  // store's books then; empty when nothing is.
  std::string WhatIsLeft();

 private:
  const uint64_t arena_bytes_;
  testing::TestDaemon daemon_;
  std::mutex mutex_;
  std::optional<Client> shared_;
  std::vector<ObjectId> told_;
  size_t taken_ = 0;  // of them, by TakeOld
};

// The tag of objects that have whatever metadata, and are no arrays.
inline constexpr uint32_t kOddMetadataTag = 0x7a3c51f2;

uint64_t SeedOf(uint32_t type_tag, uint64_t size);
// What is wrong with what this view shows; empty when nothing is.
std::string WhatIsWrong(const ObjectView& view);

}  // namespace penstock::draws

#endif  // PENSTOCK_TESTS_INTEGRATION_DRAWS_STORE_H_
