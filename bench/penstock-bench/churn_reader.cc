// Gets of checked objects, in bursts, each timed and then compared.
#include "bench/penstock-bench/churn_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "bench/harness/clock.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kWholeBytes = 64 * kKiB;  // written throughout up to here
constexpr uint64_t kStrideBytes = 4 * kKiB;
constexpr int kBurst = 32;
constexpr int64_t kBetweenBursts_ns = 200'000;
constexpr size_t kMostKept = 8'000'000;

uint64_t WordAt(uint64_t seed, uint64_t at) { return (seed + at) * 0x9e3779b97f4a7c15u; }

// Calls visit(at, bytes) for each word that is written.
template <typename Visit>
void ForEachWord(uint64_t size, Visit&& visit) {
  if (size <= kWholeBytes) {
    for (uint64_t at = 0; at < size; at += 8) visit(at, std::min<uint64_t>(8, size - at));
    return;
  }
  // No two of them overlap, or the later would spoil the earlier.
  for (uint64_t at = 0; at + 16 <= size; at += kStrideBytes) visit(at, uint64_t{8});
  visit(size - 8, uint64_t{8});
}

}  // namespace

void WriteChecked(std::span<std::byte> payload, uint64_t seed) {
  ForEachWord(payload.size(), [&](uint64_t at, uint64_t bytes) {
    const uint64_t word = WordAt(seed, at);
    std::memcpy(payload.data() + at, &word, bytes);
  });
}

bool IsAsWritten(std::span<const std::byte> payload, uint64_t seed) {
  bool same = true;
  ForEachWord(payload.size(), [&](uint64_t at, uint64_t bytes) {
    const uint64_t word = WordAt(seed, at);
    same = same && std::memcmp(payload.data() + at, &word, bytes) == 0;
  });
  return same;
}

void ChurnReader::Add(const CheckedObject& object) {
  const std::lock_guard lock(mutex_);
  objects_.push_back(object);
}

void ChurnReader::Remove(const ObjectId& id) {
  const std::lock_guard lock(mutex_);
  std::erase_if(objects_, [&](const CheckedObject& object) { return object.id == id; });
}

void ChurnReader::Start() {
  outcome_ = {};
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

ChurnReader::Outcome ChurnReader::Stop() {
  thread_.request_stop();
  thread_.join();
  return std::exchange(outcome_, {});
}

std::optional<CheckedObject> ChurnReader::Pick() {
  const std::lock_guard lock(mutex_);
  if (objects_.empty()) return std::nullopt;
  return objects_[random_() % objects_.size()];
}

bool ChurnReader::SeeAt(const ObjectId& id, const std::byte* place) {
  const std::lock_guard lock(mutex_);
  const auto object = std::ranges::find(objects_, id, &CheckedObject::id);
  if (object == objects_.end()) return false;
  object->seen_at = place;
  return true;
}

void ChurnReader::Run(std::stop_token stop) {
  const auto keep = [](std::vector<double>& kept, int64_t took_ns) {
    if (kept.size() < kMostKept) kept.push_back(static_cast<double>(took_ns));
  };
  while (!stop.stop_requested()) {
    for (int i = 0; i < kBurst; ++i) {
      const std::optional<CheckedObject> object = Pick();
      if (!object) break;
      const int64_t start_ns = NowNs();
      const absl::StatusOr<ObjectView> view = client_.Get(object->id, absl::ZeroDuration());
      const int64_t took_ns = NowNs() - start_ns;
      if (!view.ok()) {
        // Its maker takes it off the list before it deletes it.
        if (SeeAt(object->id, nullptr)) ++outcome_.failed;
        continue;
      }
      const std::byte* const place = view->data().data();
      SeeAt(object->id, place);
      keep(object->seen_at == nullptr ? outcome_.first_get_ns : outcome_.get_ns, took_ns);
      if (object->seen_at != nullptr && object->seen_at != place) {
        keep(outcome_.moved_get_ns, took_ns);
      }
      if (!IsAsWritten(view->data(), object->seed)) ++outcome_.wrong;
    }
    SleepNs(kBetweenBursts_ns);
  }
}

}  // namespace penstock::bench
