// Sums and comparisons of resources, and their names in messages.
#include "runtime/schedule/resources.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

namespace penstock {
namespace {

absl::Status Refuse(std::string_view name, double amount, std::string_view why) {
  return absl::InvalidArgumentError(
      fmt::format("{} of the resource '{}' cannot be asked for: {}", amount, name, why));
}

}  // namespace

absl::StatusOr<Resources> Resources::From(
    std::vector<std::pair<std::string, double>> amounts) {
  std::sort(amounts.begin(), amounts.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  Resources result;
  const std::string* before = nullptr;
  for (auto& [name, amount] : amounts) {
    if (name.empty()) return Refuse(name, amount, "give it a name");
    if (before != nullptr && *before == name) {
      return Refuse(name, amount, "the name is there twice; give one amount");
    }
    before = &name;
    const double most = name == kCpu ? kMostCpus : kMostOfOneName;
    if (!(amount >= 0 && amount <= most)) {
      return Refuse(name, amount, fmt::format("give an amount from 0 to {}", most));
    }
    const int64_t units = std::llround(amount * double{kUnitsInOne});
    if (units == 0 && amount > 0) {
      return Refuse(name, amount, "the smallest amount is 0.0001");
    }
    if (units > 0) result.amounts_.push_back({name, units});
  }
  return result;
}

std::vector<Resources::Amount>::iterator Resources::PlaceOf(std::string_view name) {
  return std::lower_bound(amounts_.begin(), amounts_.end(), name,
                          [](const Amount& a, std::string_view b) { return a.name < b; });
}

int64_t Resources::UnitsOf(std::string_view name) const {
  for (const Amount& amount : amounts_) {
    if (amount.name == name) return amount.units;
  }
  return 0;
}

bool Resources::FitsIn(const Resources& available) const {
  return std::all_of(amounts_.begin(), amounts_.end(), [&](const Amount& amount) {
    return amount.units <= available.UnitsOf(amount.name);
  });
}

Resources Resources::LackingIn(const Resources& available) const {
  Resources result;
  for (const Amount& amount : amounts_) {
    if (amount.units > available.UnitsOf(amount.name)) result.amounts_.push_back(amount);
  }
  return result;
}

bool Resources::Shares(const Resources& other) const {
  return std::any_of(amounts_.begin(), amounts_.end(), [&](const Amount& amount) {
    return other.UnitsOf(amount.name) != 0;
  });
}

Resources Resources::Only(std::string_view name) const {
  Resources result;
  const int64_t units = UnitsOf(name);
  if (units != 0) result.amounts_.push_back({std::string(name), units});
  return result;
}

Resources& Resources::Add(const Resources& other, int64_t sign) {
  if (&other == this) return Add(Resources(other), sign);
  for (const Amount& amount : other.amounts_) {
    auto place = PlaceOf(amount.name);
    if (place == amounts_.end() || place->name != amount.name) {
      amounts_.insert(place, {amount.name, sign * amount.units});
    } else if ((place->units += sign * amount.units) == 0) {
      amounts_.erase(place);
    }
  }
  return *this;
}

void Resources::RaiseTo(const Resources& other) {
  for (const Amount& amount : other.amounts_) {
    const auto place = PlaceOf(amount.name);
    if (place == amounts_.end() || place->name != amount.name) {
      amounts_.insert(place, amount);
    } else {
      place->units = std::max(place->units, amount.units);
    }
  }
}

std::string Resources::ToString() const {
  if (empty()) return "nothing";
  std::string text;
  for (const Amount& amount : amounts_) {
    const int64_t size = std::abs(amount.units);
    text += fmt::format("{}{} {}{}", text.empty() ? "" : ", ", amount.name,
                        amount.units < 0 ? "-" : "", size / kUnitsInOne);
    if (size % kUnitsInOne == 0) continue;
    text += fmt::format(".{:04}", size % kUnitsInOne);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text;
}

}  // namespace penstock
