// Both sides of the first touch: the fresh process, and the one that starts it.
#include "bench/penstock-bench/first_touch.h"

#include <iostream>
#include <sstream>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

struct Outcome {
  int64_t put_ns = 0;
  ObjectId id;
};

absl::StatusOr<Outcome> PutOnce(const FirstTouchOptions& options) {
  // The source has been touched; what is touched first is the store's memory.
  PENSTOCK_ASSIGN_OR_RETURN(const CopyArea source, CopyArea::Create("source", options.bytes));
  FillPattern(source.data(), options.bytes, options.seed);
  PENSTOCK_ASSIGN_OR_RETURN(Client client, Client::Connect({.dir = options.dir}));
  const std::span<const std::byte> bytes(source.data(), options.bytes);
  Outcome outcome;
  const int64_t start_ns = NowNs();
  PENSTOCK_ASSIGN_OR_RETURN(outcome.id, client.Put(bytes));
  outcome.put_ns = NowNs() - start_ns;
  PENSTOCK_RETURN_IF_ERROR(client.Sync());
  return outcome;
}

absl::StatusOr<Outcome> RunFreshProcess(const FirstTouchOptions& options) {
  PENSTOCK_ASSIGN_OR_RETURN(
      const std::string output,
      RunSelf({kFirstTouchCommand, "--dir", options.dir, "--bytes",
               std::to_string(options.bytes), "--seed", std::to_string(options.seed)}));
  Outcome outcome;
  std::string hex;
  std::istringstream words(output);
  if (!(words >> outcome.put_ns >> hex) || outcome.put_ns <= 0) {
    return absl::InternalError("the fresh process did not say how long its put took");
  }
  PENSTOCK_ASSIGN_OR_RETURN(outcome.id, ObjectId::FromHex(hex));
  return outcome;
}

}  // namespace

int RunFirstTouchProcess(const FirstTouchOptions& options) {
  const absl::StatusOr<Outcome> outcome = PutOnce(options);
  if (!outcome.ok()) {
    std::cerr << "penstock-bench: " << std::string(outcome.status().message()) << "\n";
    return 1;
  }
  std::cout << outcome->put_ns << " " << outcome->id.ToHex() << "\n";
  return 0;
}

Series FirstTouch(const PrivateDaemon& daemon, Client& client, uint64_t bytes,
                  Verification& verification) {
  Series series;
  series.name = "put_100MB_first_touch_gbps";
  series.unit = "GB/s";
  series.kind = Kind::kRate;
  FirstTouchOptions options{daemon.dir(), bytes, 0};
  series.take = [options, &client, &verification](Sample& sample) mutable -> absl::Status {
    ++options.seed;
    PENSTOCK_ASSIGN_OR_RETURN(const Outcome outcome, RunFreshProcess(options));
    sample.Add(static_cast<double>(options.bytes) / static_cast<double>(outcome.put_ns));
    {
      PENSTOCK_ASSIGN_OR_RETURN(const ObjectView view,
                                client.Get(outcome.id, absl::ZeroDuration()));
      if (view.data().size() != options.bytes ||
          !HasPattern(view.data().data(), options.bytes, options.seed)) {
        verification.Fail("put_100MB_first_touch_gbps: an object holds other bytes");
      }
    }
    PENSTOCK_RETURN_IF_ERROR(client.Delete(outcome.id));
    return client.Sync();
  };
  return series;
}

}  // namespace penstock::bench
