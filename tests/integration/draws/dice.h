// Dice: draws values at, below and beyond the limits of what a caller may give, from a seed, so
// that the same seed draws the same values again.
#ifndef PENSTOCK_TESTS_INTEGRATION_DRAWS_DICE_H_
#define PENSTOCK_TESTS_INTEGRATION_DRAWS_DICE_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include <penstock/array.h>

#include "absl/time/time.h"

namespace penstock::draws {

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}

  uint64_t Roll(uint64_t sides) { return sides == 0 ? 0 : engine_() % sides; }
  bool Percent(uint64_t chance) { return Roll(100) < chance; }
  template <typename T>
  T OneOf(std::initializer_list<T> values) {
    return values.begin()[Roll(values.size())];
  }
  template <typename T>
  T& OneOf(std::vector<T>& values) {
    return values[Roll(values.size())];
  }

  uint64_t Word();                     // any number, the ends of its range more often
  uint64_t Size(uint64_t most);        // bytes; `most` is the limit
  size_t Count();                      // of a list: 0, 1, 5, 1000, seldom 100,000
  size_t MetadataSize();               // the limit is 1 MiB
  absl::Duration Deadline();           // ends soon: negative, none, short
  absl::Duration EndlessDeadline();    // infinite, or longer than a test
  std::string Name();                  // empty, 1 MiB long, with NULs
  std::string Dir(const std::string& right);  // of a store
  int64_t Extent();                    // of an array's dimension
  std::vector<int64_t> Extents(size_t most_dimensions);
  DType AnyDType() { return static_cast<DType>(Percent(70) ? 1 + Roll(13) : Roll(256)); }

 private:
  std::mt19937_64 engine_;
};

// A text that says of a long value how long it is.
std::string Shown(const std::string& text);
std::string Shown(absl::Duration duration);
std::string Shown(const std::vector<int64_t>& numbers);

}  // namespace penstock::draws

#endif  // PENSTOCK_TESTS_INTEGRATION_DRAWS_DICE_H_
