// The stores of the draws: their ids, and their books at the end.
#include "tests/integration/draws/store.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "store/base/units.h"
#include "tests/integration/helpers.h"

namespace penstock::draws {
namespace {

using testing::Must;

constexpr size_t kRecent = 200;
// More of them would leave no room for others.
constexpr size_t kKept = 6000;
// Of a larger object mostly the beginning is looked at.
constexpr uint64_t kWhollyRead = 64 * kKiB;

std::vector<std::string> WithMemory(uint64_t bytes, std::vector<std::string> options) {
  options.insert(options.end(), {"--memory", fmt::format("{}MiB", bytes / kMiB)});
  return options;
}

}  // namespace

Store::Store(uint64_t arena_bytes, std::vector<std::string> options)
    : arena_bytes_(arena_bytes), daemon_(WithMemory(arena_bytes, std::move(options))) {
  daemon_.WaitPopulated();
}

Client Store::Shared() {
  const std::lock_guard lock(mutex_);
  if (!shared_) shared_ = daemon_.Connect();
  return *shared_;
}

void Store::Tell(const ObjectId& id) {
  const std::lock_guard lock(mutex_);
  told_.push_back(id);
}

std::vector<ObjectId> Store::TakeOld() {
  const std::lock_guard lock(mutex_);
  const size_t end = told_.size() - std::min(told_.size(), kKept);
  const size_t begin = std::exchange(taken_, std::max(taken_, end));
  return {told_.begin() + static_cast<ptrdiff_t>(begin),
          told_.begin() + static_cast<ptrdiff_t>(taken_)};
}

ObjectId Store::AnyId(Dice& dice) {
  const uint64_t kind = dice.Roll(100);
  if (kind < 2) return {};
  if (kind < 4) return {~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}};
  if (kind < 6) return {dice.Word(), dice.Word(), dice.Word()};
  if (kind < 8) return ObjectId::Random();
  if (kind < 20) return ObjectId::FromName(dice.Name());
  ObjectId id;
  {
    const std::lock_guard lock(mutex_);
    if (told_.empty()) return ObjectId::FromName("none was told of");
    const uint64_t window = kind < 90 ? kRecent : told_.size();
    id = told_[told_.size() - 1 - dice.Roll(std::min<uint64_t>(window, told_.size()))];
  }
  if (kind < 94) return id;
  // Forged: nobody was given it.
  switch (dice.Roll(4)) {
    case 0: id.home ^= uint64_t{1} << dice.Roll(64); break;
    case 1: id.session += 1; break;
    case 2: id.session = dice.Word(); break;
    default: id.sequence += uint64_t{1} << dice.Roll(64);
  }
  return id;
}

std::string Store::WhatIsLeft() {
  std::vector<ObjectId> told;
  {
    const std::lock_guard lock(mutex_);
    told = std::exchange(told_, {});
    shared_.reset();
  }
  std::sort(told.begin(), told.end());
  told.erase(std::unique(told.begin(), told.end()), told.end());
  {
    Client client = daemon_.Connect();
    for (const ObjectInfo& info : Must(client.List())) told.push_back(info.id);
    for (const ObjectId& id : told) {
      const absl::Status status = client.Delete(id);
      if (!status.ok() && !absl::IsNotFound(status)) return status.ToString();
    }
    Must(client.Sync());
  }
  if (const auto left = testing::NothingIsLeft(daemon_); !left) return left.message();
  const DaemonStatus status = daemon_.Status();
  for (const char* const name : {"objects", "object_bytes", "evictable_bytes", "spilled_objects",
                                 "doomed", "broken_sessions"}) {
    if (const uint64_t value = status.Counter(name); value != 0) {
      return fmt::format("{}={} where 0 was expected", name, value);
    }
  }
  if (status.Counter("free_bytes") != arena_bytes_) {
    return fmt::format("{} of {} bytes are free", status.Counter("free_bytes"), arena_bytes_);
  }
  Client fresh = daemon_.Connect();
  const ObjectId id = testing::PutPattern(fresh, 1, arena_bytes_ / 8);
  if (!testing::HasPattern(Must(fresh.Get(id)).data(), 1)) return "a fresh object has other bytes";
  Must(fresh.Delete(id));
  return {};
}

uint64_t SeedOf(uint32_t type_tag, uint64_t size) { return (uint64_t{type_tag} << 32) ^ size; }

std::string WhatIsWrong(const ObjectView& view) {
  const uint64_t size = view.data().size();
  const uint64_t seed = SeedOf(view.type_tag(), size);
  const bool is_whole = size <= kWhollyRead || seed % 16 == 0;
  if (!view.status().ok()) return view.status().ToString();
  if (view.id().IsNil()) return "a view without an id";
  if (!testing::HasPattern(view.data().first(is_whole ? size : kWhollyRead), seed)) {
    return fmt::format("object {} of {} bytes and tag {:#x} has other bytes than it was given",
                       view.id().ToHex(), size, view.type_tag());
  }
  // That of an array is its shape.
  if (view.type_tag() != kArrayTypeTag && view.type_tag() != kOddMetadataTag &&
      !testing::HasPattern(view.metadata(), seed + 1)) {
    return fmt::format("object {} has other metadata than it was given", view.id().ToHex());
  }
  return {};
}

}  // namespace penstock::draws
