// The functions of `ps`, and their registration.
#include "bench/penstock-bench/ps_functions.h"

#include "runtime/ps/kernels.h"

namespace penstock::bench {

int WorkOnParameters(ParameterServer server, uint64_t count, int iterations, bool contiguous) {
  for (int i = 0; i < iterations; ++i) {
    if (contiguous) {
      server.Contiguous();
    } else {
      server.Views();
    }
    server.Update(Array<double>::Ones(count));
  }
  server.Flush();
  return iterations;
}

PlainShard* MakePlainShard(uint64_t count) { return new PlainShard(count); }

std::vector<Array<double>> ViewsOf(const PlainShards& shards) {
  std::vector<ObjectRef<Array<double>>> refs;
  for (const auto& shard : shards) refs.push_back(shard.Task(&PlainShard::Get).Remote());
  std::vector<Array<double>> views;
  for (const auto& ref : refs) views.push_back(*ref.Get());
  return views;
}

int WorkOnPlainShards(PlainShards shards, uint64_t count, int iterations, bool contiguous) {
  std::vector<ObjectRef<msgpack::type::nil_t>> sent;
  for (int i = 0; i < iterations; ++i) {
    const std::vector<Array<double>> views = ViewsOf(shards);
    const auto whole = contiguous ? Array<double>::Concatenate(views) : Array<double>();
    const auto pieces = Array<double>::Ones(count).Split(shards.size());
    for (size_t s = 0; s < shards.size(); ++s) {
      sent.push_back(shards[s].Task(&PlainShard::Add).Remote(pieces[s]));
    }
  }
  Get(sent);
  return iterations;
}

Array<double> UpdateFromViews(std::vector<Array<double>> views) {
  size_t count = 0;
  for (const Array<double>& view : views) count += view.size();
  auto update = Array<double>::Uninitialized(count);
  std::span<double> rest = update.mutable_values();
  for (const Array<double>& view : views) {
    ps::ScaleAdd<double>(rest.first(view.size()), view.values(), kScale, kSummand);
    rest = rest.subspan(view.size());
  }
  return update;
}

PENSTOCK_REMOTE(WorkOnParameters, MakePlainShard, &PlainShard::Get, &PlainShard::Add,
                WorkOnPlainShards, UpdateFromViews);

}  // namespace penstock::bench
