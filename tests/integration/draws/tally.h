// Tally: how often each function was called, how its calls ended, and how late.
#ifndef PENSTOCK_TESTS_INTEGRATION_DRAWS_TALLY_H_
#define PENSTOCK_TESTS_INTEGRATION_DRAWS_TALLY_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace penstock::draws {

class Hand;

// A public function, and the errors that docs/limits.md and its header name for it.
struct Call {
  const char* name;
  int weight;  // how many of them are in a deck; 1 for the dear ones
  void (*draw)(Hand&);
  std::vector<absl::StatusCode> errors = {};
};
using Calls = std::vector<Call>;

// Thread safety: as an int.
class Tally {
 public:
  void CountDraw(const Call& call) { ++of_[call.name].draws; }
  void TakeBackDraw(const Call& call) { --of_[call.name].draws; }
  void CountEnd(const Call& call, absl::StatusCode code) { ++of_[call.name].ends[code]; }
  void CountLateness(const Call& call, absl::Duration late);
  void Add(const Tally& other);

  uint64_t draws() const;
  uint64_t DrawsOf(const Call& call) const;
  // Of those that were judged; all, for a function that cannot fail.
  uint64_t GoodOf(const Call& call) const;
  std::string Table(const Calls& calls) const;  // aligned, as people read it

 private:
  struct OfOne {
    uint64_t draws = 0;
    std::map<absl::StatusCode, uint64_t> ends;
    absl::Duration latest = -absl::InfiniteDuration();
  };
  const OfOne& Of(const Call& call) const;

  std::map<std::string, OfOne> of_;
};

}  // namespace penstock::draws

#endif  // PENSTOCK_TESTS_INTEGRATION_DRAWS_TALLY_H_
