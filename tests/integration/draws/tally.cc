// The counts of the draws, and their table.
#include "tests/integration/draws/tally.h"

#include <algorithm>

#include <fmt/format.h>

namespace penstock::draws {

void Tally::CountLateness(const Call& call, absl::Duration late) {
  absl::Duration& latest = of_[call.name].latest;
  latest = std::max(latest, late);
}

void Tally::Add(const Tally& other) {
  for (const auto& [name, theirs] : other.of_) {
    OfOne& ours = of_[name];
    ours.draws += theirs.draws;
    for (const auto& [code, count] : theirs.ends) ours.ends[code] += count;
    ours.latest = std::max(ours.latest, theirs.latest);
  }
}

const Tally::OfOne& Tally::Of(const Call& call) const {
  static const auto* const none = new OfOne();
  const auto found = of_.find(call.name);
  return found == of_.end() ? *none : found->second;
}

uint64_t Tally::draws() const {
  uint64_t all = 0;
  for (const auto& [name, of_one] : of_) all += of_one.draws;
  return all;
}

uint64_t Tally::DrawsOf(const Call& call) const { return Of(call).draws; }

uint64_t Tally::GoodOf(const Call& call) const {
  const auto& ends = Of(call).ends;
  if (ends.empty()) return DrawsOf(call);
  const auto good = ends.find(absl::StatusCode::kOk);
  return good == ends.end() ? 0 : good->second;
}

std::string Tally::Table(const Calls& calls) const {
  std::string text = fmt::format("  {:<24}{:>8}{:>11}  {}\n", "function", "draws", "latest ms",
                                 "outcomes, those of helpers too");
  for (const Call& call : calls) {
    const OfOne& of_one = Of(call);
    if (of_one.draws == 0) continue;
    text += fmt::format("  {:<24}{:>8}{:>11.1f} ", call.name, of_one.draws,
                        std::max(0.0, absl::ToDoubleMilliseconds(of_one.latest)));
    for (const auto& [code, count] : of_one.ends) {
      text += fmt::format(" {} {}", absl::StatusCodeToString(code), count);
    }
    text += '\n';
  }
  return text;
}

}  // namespace penstock::draws
