// Making, checking and shuffling small objects.
#include "bench/penstock-bench/small_objects.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>

#include "bench/harness/copy_area.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

void FillSmall(std::byte* data, const ObjectId& id) {
  FillPattern(data, kSmallBytes, id.sequence);
  const uint64_t word = FirstWordOf(id);
  std::memcpy(data, &word, sizeof(word));
}

}  // namespace

absl::Status MakeSmallObjects(Client& client, uint64_t count, std::vector<ObjectId>& ids) {
  ids.reserve(ids.size() + count);
  for (uint64_t i = 0; i < count; ++i) {
    PENSTOCK_ASSIGN_OR_RETURN(Builder builder, client.Create(kSmallBytes));
    FillSmall(builder.data().data(), builder.id());
    PENSTOCK_ASSIGN_OR_RETURN(const ObjectId id, builder.Seal());
    ids.push_back(id);
  }
  return client.Sync();
}

absl::Status CheckSmallObjects(Client& client, std::span<const ObjectId> ids) {
  std::vector<std::byte> wanted(kSmallBytes);
  for (const ObjectId& id : ids) {
    PENSTOCK_ASSIGN_OR_RETURN(const ObjectView view, client.Get(id, absl::ZeroDuration()));
    FillSmall(wanted.data(), id);
    if (!std::ranges::equal(view.data(), std::span<const std::byte>(wanted))) {
      return absl::DataLossError(fmt::format("object {} holds other bytes", id.ToHex()));
    }
  }
  return absl::OkStatus();
}

RandomGets::RandomGets(std::span<const ObjectId> ids, uint64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  wanted_.reserve(count);
  // Whole shuffled rounds, so that every object comes equally often.
  std::vector<ObjectId> round(ids.begin(), ids.end());
  while (wanted_.size() < count) {
    std::shuffle(round.begin(), round.end(), random);
    for (const ObjectId& id : round) {
      if (wanted_.size() < count) wanted_.push_back({id, FirstWordOf(id)});
    }
  }
}

bool RandomGets::RunMany(Client& client, uint64_t count) {
  bool right = true;
  for (; count > kGetManyIds; count -= kGetManyIds) right &= RunOneCall(client, kGetManyIds);
  return RunOneCall(client, count) && right;
}

bool RandomGets::RunOneCall(Client& client, uint64_t count) {
  batch_.clear();
  const size_t first = next_;
  for (uint64_t i = 0; i < count; ++i) {
    batch_.push_back(wanted_[next_].id);
    if (++next_ == wanted_.size()) next_ = 0;
  }
  bool right = true;
  size_t at = first;
  for (const absl::StatusOr<ObjectView>& view :
       client.GetMany(batch_, absl::ZeroDuration())) {
    if (!view.ok()) return false;
    uint64_t word;
    std::memcpy(&word, view->data().data(), sizeof(word));
    right &= word == wanted_[at].first_word;
    if (++at == wanted_.size()) at = 0;
  }
  return right;
}

}  // namespace penstock::bench
