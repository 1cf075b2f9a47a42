// Resources: amounts by name, such as {"CPU": 2, "GPU": 0.5}.
//
// Amounts are whole numbers of 1/10000, as Ray counts them: sums of fractions come out
// exactly, so what was taken and given back leaves nothing behind. Inside is a sorted
// vector, for there are two or three names and seldom more.
// Thread safety: a plain value. Cost: linear in the names; only a new name allocates.
#ifndef PENSTOCK_RUNTIME_SCHEDULE_RESOURCES_H_
#define PENSTOCK_RUNTIME_SCHEDULE_RESOURCES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace penstock {

class Resources {
 public:
  static constexpr int64_t kUnitsInOne = 10'000;
  static constexpr std::string_view kCpu = "CPU";
  // The most of one name: 9 TiB when the name counts bytes. CPUs have a limit of their own
  // because they alone may be overdrawn, once for each worker that resumes: 2^29 times the
  // largest amount still fits in 64 bits.
  static constexpr double kMostOfOneName = 1e13;
  static constexpr double kMostCpus = 1e6;

  Resources() = default;
  // An amount is rounded to 1/10000; amounts of 0 are dropped. InvalidArgument names the
  // amount that is negative, too large, not a number, or positive and rounded to 0, and a
  // name that is empty or given twice.
  static absl::StatusOr<Resources> From(std::vector<std::pair<std::string, double>> amounts);

  bool empty() const { return amounts_.empty(); }
  // In 1/10000; 0 for a name that is not here. Negative when overdrawn.
  int64_t UnitsOf(std::string_view name) const;
  // No amount here is larger than the one of the same name there.
  bool FitsIn(const Resources& available) const;
  // The amounts here, whole, that are larger than those there.
  Resources LackingIn(const Resources& available) const;
  // Both have an amount of the same name.
  bool Shares(const Resources& other) const;
  // The amount of this name alone.
  Resources Only(std::string_view name) const;

  Resources& operator+=(const Resources& other) { return Add(other, 1); }
  Resources& operator-=(const Resources& other) { return Add(other, -1); }
  friend Resources operator+(Resources a, const Resources& b) { return std::move(a += b); }
  friend Resources operator-(Resources a, const Resources& b) { return std::move(a -= b); }
  // Each name's amount becomes the larger of the two.
  void RaiseTo(const Resources& other);
  friend bool operator==(const Resources&, const Resources&) = default;

  // "CPU 2, GPU 0.5"; "nothing" when empty.
  std::string ToString() const;

 private:
  struct Amount {
    std::string name;
    int64_t units;
    friend bool operator==(const Amount&, const Amount&) = default;
  };

  std::vector<Amount>::iterator PlaceOf(std::string_view name);
  Resources& Add(const Resources& other, int64_t sign);

  std::vector<Amount> amounts_;  // by name, none of them 0
};

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_SCHEDULE_RESOURCES_H_
