// penstock-bench put: making objects, small ones by the million and large ones by the GB.
#include "bench/penstock-bench/put_large.h"
#include "bench/penstock-bench/put_small.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/pinning.h"
#include "bench/harness/private_daemon.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kMemoryBytes = 2 * kGiB;

}  // namespace

absl::Status RunPut(Crew&, const RunOptions& options, Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto daemon,
                            PrivateDaemon::Start({.memory_bytes = kMemoryBytes}));
  report.host.pages = PagesName(daemon->is_huge());
  report.host.io = "epoll";
  PENSTOCK_RETURN_IF_ERROR(PinToCpu(AllowedCpus()[0]));
  PENSTOCK_RETURN_IF_ERROR(daemon->PinTo(AllowedCpus().back()));
  PENSTOCK_RETURN_IF_ERROR(RunPutSmall(*daemon, options, report));
  if (!report.verification.ok()) return absl::OkStatus();
  return RunPutLarge(*daemon, options, report);
}

}  // namespace penstock::bench
