// penstock-bench handoff: how long a consumer that waits for an object waits too long.
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/harness/copy_area.h"
#include "bench/harness/latency_floors.h"
#include "bench/harness/paired_runner.h"
#include "bench/harness/pinning.h"
#include "bench/harness/private_daemon.h"
#include "bench/penstock-bench/handoff_roles.h"
#include "bench/penstock-bench/subcommands.h"
#include "store/base/errors.h"
#include "store/base/units.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kSpinningBatch = 500;  // operations of one sample, back to back
constexpr int kProducer = 0;
constexpr int kConsumer = 1;

// Voluntary context switches of both processes, and over how many operations.
struct Switches {
  int64_t producer = 0;
  int64_t consumer = 0;
  uint64_t operations = 0;
};

class Handoffs {
 public:
  Handoffs(Crew& crew, const PrivateDaemon& daemon, Verification& verification)
      : crew_(crew), verification_(verification) {
    auto* const note = reinterpret_cast<HandoffNote*>(crew.shared().note.data());
    std::snprintf(note->dir, sizeof(note->dir), "%s", daemon.dir().c_str());
  }

  // A pause before each operation leaves everybody parked; without one they come back to
  // back and whoever waits may find its object while it still spins.
  Series AsSeries(std::string name, Placement placement, uint64_t count, int64_t pause_ns) {
    Series series;
    series.name = std::move(name);
    series.unit = "us";
    series.kind = Kind::kLatency;
    series.more["placement"] = "daemon as relay: " + placement.ToString();
    const auto switches = std::make_shared<Switches>();
    series.take = [this, placement, count, pause_ns, switches](Sample& sample) {
      return Play(placement, count, pause_ns, *switches, sample);
    };
    series.describe = [switches](nlohmann::ordered_json& more) {
      const auto per_op = [&](int64_t count_of) {
        return static_cast<double>(count_of) / static_cast<double>(switches->operations);
      };
      more["voluntary_switches_per_op_consumer"] = per_op(switches->consumer);
      more["voluntary_switches_per_op_producer"] = per_op(switches->producer);
    };
    return series;
  }

 private:
  absl::Status Play(const Placement& placement, uint64_t count, int64_t pause_ns,
                    Switches& switches, Sample& sample) {
    ++batches_;
    RoleOrder order;
    order.count = count;
    order.pause_ns = pause_ns;
    order.extra = batches_;
    Part producer{kProducer, HandoffProducer, order};
    Part consumer{kConsumer, HandoffConsumer, order};
    producer.order.cpu = placement.producer;
    consumer.order.cpu = placement.consumer;
    const Part parts[] = {producer, consumer};
    PENSTOCK_ASSIGN_OR_RETURN(const auto answers, crew_.Play(parts));
    for (const double ns : crew_.ObservationsOf(kConsumer, answers[1])) sample.Add(ns / 1000);
    if (!answers[1].verified) verification_.Fail("handoff: an object held other bytes");
    switches.producer += answers[0].voluntary_switches;
    switches.consumer += answers[1].voluntary_switches;
    switches.operations += count;
    return absl::OkStatus();
  }

  Crew& crew_;
  Verification& verification_;
  uint64_t batches_ = 0;
};

// Floor, parked and spinning, all at one placement.
absl::Status RunPlacement(Crew& crew, Handoffs& handoffs, const PrivateDaemon& daemon,
                          const Placement& placement, const std::string& suffix,
                          const RunOptions& options, Report& report) {
  PENSTOCK_RETURN_IF_ERROR(daemon.PinTo(placement.relay));
  Group group;
  group.floor = Relay(crew, "relay" + suffix, placement);
  group.values.push_back(
      handoffs.AsSeries("handoff_parked" + suffix, placement, kParkedBatch, kParkPauseNs));
  group.values.push_back(
      handoffs.AsSeries("handoff_spinning" + suffix, placement, kSpinningBatch, 0));
  return RunGroup(group, options, report);
}

}  // namespace

absl::Status RunHandoff(Crew& crew, const RunOptions& options, Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto daemon, PrivateDaemon::Start({.memory_bytes = 64 * kMiB}));
  report.host.pages = PagesName(daemon->is_huge());
  report.host.io = "epoll";
  Handoffs handoffs(crew, *daemon, report.verification);
  const std::optional<Placement> across = AcrossCores();
  if (across) {
    PENSTOCK_RETURN_IF_ERROR(
        RunPlacement(crew, handoffs, *daemon, *across, "_us", options, report));
  } else {
    report.AddNote("one cpu: hand-offs between cores were not measured");
  }
  PENSTOCK_RETURN_IF_ERROR(
      RunPlacement(crew, handoffs, *daemon, SameCore(), "_same_core_us", options, report));
  if (AllowedCpus().size() < 3) {
    report.AddNote(
        "handoff_spinning_us: producer, daemon and consumer have fewer than three cpus, so "
        "some share one, and a consumer may come for its object after it was made; the goal "
        "of 1 us with a core each is not shown here");
  }
  return absl::OkStatus();
}

}  // namespace penstock::bench
