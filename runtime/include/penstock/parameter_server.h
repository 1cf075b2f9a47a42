// A sharded parameter server of ParameterShard actors.
//
// The parameters of a shard are a versioned array: updates are queued, and make the next
// version in one fused pass when somebody asks for the parameters, or when kMostQueued have
// come. Readers of an older version are undisturbed, and never see half an update.
#ifndef PENSTOCK_PARAMETER_SERVER_H_
#define PENSTOCK_PARAMETER_SERVER_H_

#include <cstdint>
#include <utility>
#include <vector>

#include <penstock/array_value.h>
#include <penstock/runtime.h>

namespace penstock {

// One shard, an actor. Elements: float64.
class ParameterShard {
 public:
  // Memory for this many updates waits for the next version.
  static constexpr size_t kMostQueued = 4;

  explicit ParameterShard(uint64_t count, double initial)
      : parameters_(Array<double>::Full(count, initial)) {}

  // The current version, with every update that the caller sent before. No copy.
  Array<double> GetParameters() {
    Apply();
    return parameters_;
  }
  // parameters += update, some time before the next GetParameters. UsageError: another size.
  void Update(Array<double> update) {
    Check(update);
    queue_.push_back(std::move(update));
    ++updates_;
    if (queue_.size() >= kMostQueued) Apply();
  }
  // The updates of one round, in one version: parameters += all of them, now. UsageError:
  // another size, and then none of them counts.
  void UpdateTogether(std::vector<Array<double>> updates) {
    for (const Array<double>& update : updates) Check(update);
    Apply();
    queue_ = std::move(updates);
    updates_ += queue_.size();
    Apply();
  }
  uint64_t Updates() const { return updates_; }    // received
  uint64_t Versions() const { return versions_; }  // made: fewer, when updates were fused

 private:
  void Check(const Array<double>& update) const {
    if (update.size() != parameters_.size()) {
      throw UsageError("an update of " + std::to_string(update.size()) +
                       " elements for a shard of " + std::to_string(parameters_.size()));
    }
  }
  void Apply() {
    if (queue_.empty()) return;
    parameters_ = Array<double>::Sum(parameters_, queue_);
    queue_.clear();
    ++versions_;
  }

  Array<double> parameters_;
  std::vector<Array<double>> queue_;
  uint64_t updates_ = 0;
  uint64_t versions_ = 0;
};
inline ParameterShard* MakeParameterShard(uint64_t count, double initial) {
  return new ParameterShard(count, initial);
}
inline const bool parameter_shard_is_registered = internal::RegisterAll(
    "MakeParameterShard, ParameterShard::GetParameters, ParameterShard::Update, "
    "ParameterShard::UpdateTogether, ParameterShard::Updates, ParameterShard::Versions",
    MakeParameterShard, &ParameterShard::GetParameters, &ParameterShard::Update,
    &ParameterShard::UpdateTogether, &ParameterShard::Updates, &ParameterShard::Versions);

// All shards of one vector, an ordinary value: pass it to the workers.
class ParameterServer {
 public:
  ParameterServer() = default;
  // UsageError when the shards do not divide the vector.
  ParameterServer(uint64_t count, uint32_t shards, double initial = 0) {
    if (shards == 0 || count % shards != 0) {
      throw UsageError(std::to_string(count) + " parameters do not divide into " +
                       std::to_string(shards) + " equal shards");
    }
    for (uint32_t i = 0; i < shards; ++i) {
      shards_.push_back(Actor(MakeParameterShard).Remote(count / shards, initial));
    }
  }

  // One array a shard, where it lies.
  std::vector<Array<double>> Views() const {
    std::vector<ObjectRef<Array<double>>> refs;
    for (const auto& shard : shards_) {
      refs.push_back(shard.Task(&ParameterShard::GetParameters).Remote());
    }
    std::vector<Array<double>> views;
    for (const auto& ref : refs) views.push_back(*ref.Get());
    return views;
  }
  // The whole vector, gathered in one pass.
  Array<double> Contiguous() const { return Array<double>::Concatenate(Views()); }
  // Sends each shard its piece, and waits until they have those of the update before: so
  // one of each caller's is on its way, and memory for more is not needed. Throws what that
  // one failed with.
  void Update(const Array<double>& update) {
    const auto pieces = update.Split(shards_.size());
    std::vector<ObjectRef<msgpack::type::nil_t>> sent;
    for (size_t i = 0; i < shards_.size(); ++i) {
      sent.push_back(shards_[i].Task(&ParameterShard::Update).Remote(pieces[i]));
    }
    sent_.swap(sent);
    for (const auto& before : sent) before.Get();
  }
  // Synchronous training: who waited for all of a round's updates hands them over, each
  // shard makes one version of them in one pass, and Views() shows it from now on.
  //
  //   for (int round = 0; round < rounds; ++round) {
  //     refs = ... Task(Compute).Remote(server.Views()) for each worker ...
  //     server.UpdateTogether(refs);
  //   }
  void UpdateTogether(const std::vector<ObjectRef<Array<double>>>& updates) {
    std::vector<std::vector<Array<double>>> pieces(shards_.size());
    for (const ObjectRef<Array<double>>& update : updates) {
      std::vector<Array<double>> split = update.Get()->Split(shards_.size());
      for (size_t i = 0; i < shards_.size(); ++i) pieces[i].push_back(std::move(split[i]));
    }
    Flush();
    for (size_t i = 0; i < shards_.size(); ++i) {
      sent_.push_back(shards_[i].Task(&ParameterShard::UpdateTogether).Remote(pieces[i]));
    }
    Flush();
  }
  // Waits until the shards have all that this process sent.
  void Flush() {
    for (const auto& before : std::exchange(sent_, {})) before.Get();
  }
  size_t shards() const { return shards_.size(); }
  MSGPACK_DEFINE(shards_)

 private:
  std::vector<ActorHandle<ParameterShard>> shards_;
  std::vector<ObjectRef<msgpack::type::nil_t>> sent_;  // this process's last update
};

}  // namespace penstock

#endif  // PENSTOCK_PARAMETER_SERVER_H_
