// The latency floors as series of the paired runner.
#include "bench/harness/latency_floors.h"

#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/latency_roles.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr uint64_t kRoundTrips = 200;
constexpr uint64_t kSpins = 20 * kSpinBatch + 1;
constexpr uint64_t kSystemCalls = 20 * kCallBatch;

struct Setting {
  std::vector<Part> parts;
  int measuring_member = 0;
  uint64_t operations_per_observation = 1;
};

// A series that lets the crew play `setting.parts` once for each sample. `unit`: "us" or "ns".
Series Played(Crew& crew, std::string name, std::string unit, Setting setting) {
  Series series;
  series.name = std::move(name);
  series.unit = std::move(unit);
  series.kind = Kind::kLatency;
  const double unit_ns = series.unit == "us" ? 1000 : 1;
  // Words count on from sample to sample, over all series of this crew.
  series.take = [&crew, setting, unit_ns](Sample& sample) mutable -> absl::Status {
    static uint64_t played = 0;
    for (Part& part : setting.parts) part.order.first = played;
    played += setting.parts.front().order.count;
    PENSTOCK_ASSIGN_OR_RETURN(const auto answers, crew.Play(setting.parts));
    for (size_t i = 0; i < answers.size(); ++i) {
      if (setting.parts[i].member != setting.measuring_member) continue;
      for (const double ns : crew.ObservationsOf(setting.measuring_member, answers[i])) {
        sample.Add(ns / unit_ns, setting.operations_per_observation);
      }
    }
    return absl::OkStatus();
  };
  return series;
}

Part MakePart(int member, Role role, int cpu, uint64_t count, int64_t pause_ns = 0) {
  Part part{member, role, {}};
  part.order.cpu = cpu;
  part.order.count = count;
  part.order.pause_ns = pause_ns;
  return part;
}

std::string Cpus(int cpu, int peer_cpu) { return fmt::format("cpu{} and cpu{}", cpu, peer_cpu); }

}  // namespace

Series FutexRoundTrip(Crew& crew, std::string name, int cpu, int peer_cpu, int64_t pause_ns) {
  Setting setting;
  setting.parts = {MakePart(0, FutexAsker, cpu, kRoundTrips, pause_ns),
                   MakePart(1, FutexEcho, peer_cpu, kRoundTrips)};
  Series series = Played(crew, std::move(name), "us", std::move(setting));
  series.more["placement"] = Cpus(cpu, peer_cpu);
  series.more["idle_us"] = pause_ns / 1000;
  return series;
}

Series UnixSocketRoundTrip(Crew& crew, std::string name, int cpu, int peer_cpu) {
  Setting setting;
  setting.parts = {MakePart(0, SocketAsker, cpu, kRoundTrips),
                   MakePart(1, SocketEcho, peer_cpu, kRoundTrips)};
  Series series = Played(crew, std::move(name), "us", std::move(setting));
  series.more["placement"] = Cpus(cpu, peer_cpu);
  return series;
}

Series Relay(Crew& crew, std::string name, Placement placement) {
  Setting setting;
  setting.parts = {
      MakePart(0, RelayProducer, placement.producer, kParkedBatch, kParkPauseNs),
      MakePart(1, RelayConsumer, placement.consumer, kParkedBatch),
      MakePart(2, RelayMiddle, placement.relay, kParkedBatch)};
  setting.measuring_member = 1;
  Series series = Played(crew, std::move(name), "us", std::move(setting));
  series.more["placement"] = placement.ToString();
  return series;
}

Series SpinRoundTrip(Crew& crew, std::string name, int cpu, int peer_cpu, std::string unit) {
  Setting setting;
  setting.parts = {MakePart(0, SpinAsker, cpu, kSpins),
                   MakePart(1, SpinEcho, peer_cpu, kSpins)};
  setting.operations_per_observation = kSpinBatch;
  Series series = Played(crew, std::move(name), std::move(unit), std::move(setting));
  series.more["placement"] = Cpus(cpu, peer_cpu);
  return series;
}

Series BareSystemCall(Crew& crew, std::string name, int cpu) {
  Setting setting;
  setting.parts = {MakePart(0, SystemCaller, cpu, kSystemCalls)};
  setting.operations_per_observation = kCallBatch;
  return Played(crew, std::move(name), "ns", std::move(setting));
}

}  // namespace penstock::bench
