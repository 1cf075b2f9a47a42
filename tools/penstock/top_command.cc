// penstock top: counts and rates once a second, from the store's shared memory.
#include <fmt/format.h>
#include <unistd.h>

#include <iostream>
#include <map>
#include <optional>

#include "absl/time/clock.h"
#include "store/base/units.h"
#include "tools/penstock/clients_table.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/json_text.h"

namespace penstock {
namespace {

// What has only grown since the store or a session began.
struct Counts {
  absl::Time at;
  uint64_t freed = 0;   // blocks
  uint64_t taken = 0;   // blocks: those freed, and those in use
  struct Session {
    uint64_t asked = 0;
    uint64_t answered = 0;
  };
  std::map<uint64_t, Session> sessions;
};

struct Rates {
  double taken = 0;
  double freed = 0;
  double asked = 0;     // records that the daemon took
  double answered = 0;
};

Counts CountsOf(const StoreView& view, const StoreSums& sums) {
  Counts counts;
  counts.at = absl::Now();
  counts.freed = sums.generations;
  counts.taken = sums.generations + sums.objects().count + sums.leased.count;
  for (const SessionLook& session : view.sessions()) {
    counts.sessions[session.number] = {session.submissions_taken, session.completions_given};
  }
  return counts;
}

// By a second; a number that went back, of another store say, counts as none.
Rates RatesBetween(const Counts& before, const Counts& now) {
  const double seconds = std::max(1e-3, absl::ToDoubleSeconds(now.at - before.at));
  const auto rate = [&](uint64_t from, uint64_t to) {
    return to <= from ? 0.0 : static_cast<double>(to - from) / seconds;
  };
  Rates rates;
  rates.taken = rate(before.taken, now.taken);
  rates.freed = rate(before.freed, now.freed);
  for (const auto& [number, session] : now.sessions) {
    const auto known = before.sessions.find(number);
    const Counts::Session from =
        known == before.sessions.end() ? Counts::Session{} : known->second;
    rates.asked += rate(from.asked, session.asked);
    rates.answered += rate(from.answered, session.answered);
  }
  return rates;
}

std::string DaemonOf(const StoreView& view) {
  const WindowAnswer& keeper = view.keeper();
  if (keeper.daemon_pid == 0) return "dead, about to be started again";
  return fmt::format("process {} {}{}", keeper.daemon_pid,
                     NameOf(view.daemon_state()),
                     keeper.is_serving != 0 ? "" : ", not serving yet");
}

std::string PerSecond(const std::optional<Rates>& rates, double Rates::* which) {
  return rates ? fmt::format("{:.0f}/s", (*rates).*which) : "-";
}

void PrintText(const LookOptions& options, const StoreView& view, const StoreSums& sums,
               const std::optional<Rates>& rates) {
  std::cout << fmt::format("Penstock store at {}: daemon {}; {} restarts\n", options.dir,
                           DaemonOf(view), view.has_store() ? view.restarts() : 0);
  std::cout << fmt::format(
      "objects {} ({})  leases {} ({})  pinned {} ({})  free {} of {}  disk {} ({})\n",
      sums.objects().count,
      FormatBytes(sums.objects().bytes), sums.leased.count, FormatBytes(sums.leased.bytes),
      sums.pinned.count, FormatBytes(sums.pinned.bytes), FormatBytes(sums.free_bytes),
      FormatBytes(sums.arena_bytes), sums.on_disk.objects, FormatBytes(sums.on_disk.bytes));
  std::cout << fmt::format("blocks taken {}  freed {}  records asked {}  answered {}\n",
                           PerSecond(rates, &Rates::taken), PerSecond(rates, &Rates::freed),
                           PerSecond(rates, &Rates::asked), PerSecond(rates, &Rates::answered));
  const std::vector<size_t> places = SortedClients(view, sums, options.sort, options.limit);
  std::cout << "\n"
            << (places.empty() ? "Nobody has a session with this store.\n"
                               : FormatClients(view, sums, places))
            << LeftOut(places.size(), view.sessions().size()) << std::flush;
}

void PrintJson(const LookOptions& options, const StoreView& view, const StoreSums& sums,
               const std::optional<Rates>& rates) {
  nlohmann::ordered_json json;
  json["schema"] = 1;
  json["daemon_pid"] = view.keeper().daemon_pid;
  json["daemon_state"] = NameOf(view.daemon_state());
  json["serving"] = view.keeper().is_serving != 0;
  json["arena_bytes"] = sums.arena_bytes;
  json["free_bytes"] = sums.free_bytes;
  json["objects"] = sums.objects().count;
  json["object_bytes"] = sums.objects().bytes;
  json["leases"] = sums.leased.count;
  json["leased_bytes"] = sums.leased.bytes;
  json["disk_objects"] = sums.on_disk.objects;
  json["disk_bytes"] = sums.on_disk.bytes;
  json["pinned"] = sums.pinned.count;
  json["pinned_bytes"] = sums.pinned.bytes;
  const auto add = [&](const char* name, double Rates::* which) {
    if (rates) json[name] = (*rates).*which;
    else json[name] = nullptr;
  };
  add("taken_per_s", &Rates::taken);
  add("freed_per_s", &Rates::freed);
  add("asked_per_s", &Rates::asked);
  add("answered_per_s", &Rates::answered);
  const std::vector<size_t> places = SortedClients(view, sums, options.sort, options.limit);
  json["left_out"] = view.sessions().size() - places.size();
  json["clients"] = ClientsAsJson(view, sums, places);
  std::cout << JsonText(json) << "\n" << std::flush;
}

}  // namespace

int Top(const LookOptions& options) {
  const bool clears = !options.json && isatty(STDOUT_FILENO) != 0;
  std::optional<Counts> before;
  for (uint64_t round = 0; options.count == 0 || round < options.count; ++round) {
    if (round > 0) absl::SleepFor(absl::Seconds(options.interval_s));
    const auto view = StoreView::Open(options.dir);
    if (!view.ok()) return Fail(view.status());
    const StoreSums sums = SumUp(*view);
    Counts now = CountsOf(*view, sums);
    std::optional<Rates> rates;
    if (before) rates = RatesBetween(*before, now);
    before = std::move(now);
    if (options.json) {
      PrintJson(options, *view, sums, rates);
      continue;
    }
    if (clears) std::cout << "\x1b[H\x1b[2J";
    else if (round > 0) std::cout << "\n";
    PrintText(options, *view, sums, rates);
  }
  return kExitGood;
}

}  // namespace penstock
