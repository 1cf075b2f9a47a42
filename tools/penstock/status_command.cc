// penstock status: what the daemon says of itself, or, when it does not answer, what its store
// shows.
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <penstock/client.h>

#include <algorithm>
#include <iostream>

#include "store/base/units.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/json_text.h"
#include "tools/penstock/store_summary.h"

namespace penstock {
namespace {

std::string Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.1f}%", 100.0 * static_cast<double>(part) /
                                                       static_cast<double>(whole));
}

void Row(std::string_view name, const std::string& value, const std::string& remark = "") {
  std::cout << fmt::format("  {:<16}{:>14}  {}\n", name, value, remark);
}

void PrintStatus(const DaemonStatus& status, const std::string& dir) {
  const auto count = [&](std::string_view name) { return status.Counter(name); };
  const auto has = [&](std::string_view name) {
    return std::any_of(status.counters.begin(), status.counters.end(),
                       [name](const auto& counter) { return counter.first == name; });
  };
  const auto number = [&](std::string_view name) { return fmt::format("{}", count(name)); };
  std::cout << fmt::format("Penstock store at {} (daemon process {})\n\nMemory\n", dir,
                           count("daemon_pid"));
  const uint64_t arena = count("arena_bytes");
  Row("arena", FormatBytes(arena));
  Row("populated", FormatBytes(count("populated_bytes")),
      Percent(count("populated_bytes"), arena) +
          (count("population_done") != 0 ? "" : ", going on in the background"));
  if (count("returned_bytes") != 0) {
    Row("given back", FormatBytes(count("returned_bytes")), "to the host, until it is needed");
  }
  Row("huge pages", FormatBytes(count("huge_bytes")), Percent(count("huge_bytes"), arena));
  Row("index in huge", FormatBytes(count("index_huge_bytes")),
      Percent(count("index_huge_bytes"), count("index_bytes")));
  Row("objects", FormatBytes(count("object_bytes")),
      fmt::format("{} of it evictable", FormatBytes(count("evictable_bytes"))));
  Row("leased", FormatBytes(count("leased_bytes")), "being filled, or granted ahead");
  Row("free", FormatBytes(count("free_bytes")));
  if (has("spill_direct")) {
    std::cout << "\nOn disk\n";
    Row("objects", number("spilled_objects"), "not in memory");
    Row("copies", FormatBytes(count("spill_live_bytes")), "of objects, also of some in memory");
    Row("files", FormatBytes(count("spill_file_bytes")), fmt::format("in {} of them",
                                                                     count("spill_files")));
    Row("failed writes", number("spill_failed_writes"),
        count("spill_trouble") != 0 ? "the last one too: see the note" : "");
    Row("failed reads", number("spill_failed_reads"),
        count("spill_failed_reads") != 0 ? "the log names the objects" : "");
  }
  std::cout << "\nNow\n";
  Row("objects", number("objects"), fmt::format("of {} slots", count("slots")));
  Row("doomed", number("doomed"), "deleted, still pinned");
  Row("leases", number("leases"));
  Row("sessions", number("sessions"));
  Row("waiting", number("room_waiters"), "for room");
  Row("waiting", number("get_waiters"), "for a seal");
  std::cout << "\nSince the start\n";
  for (const char* name :
       {"restarts", "sealed", "deleted", "evicted", "freed", "refused_full", "compactions",
        "given_up", "moved_objects", "moved_bytes", "broken_sessions", "turned_away"}) {
    Row(name, number(name));
  }
  const auto ms = [&](std::string_view name) {
    return fmt::format("{:.3f} ms", static_cast<double>(count(name)) / 1e6);
  };
  Row("longest turn", ms("longest_turn_cpu_ns"),
      fmt::format("of processor time; {} on the wall", ms("longest_turn_wall_ns")));
  for (const std::string& note : status.notes) std::cout << "\nNote: " << note << "\n";
}

void PrintJson(const DaemonStatus& status) {
  nlohmann::ordered_json json;
  json["answers"] = true;
  for (const auto& [name, value] : status.counters) json[name] = value;
  json["notes"] = status.notes;
  std::cout << JsonText(json, 2) << "\n";
}

}  // namespace

std::string WhyNoStatus(const StoreView& view) {
  const WindowAnswer& keeper = view.keeper();
  if (keeper.daemon_pid == 0) return "the daemon is dead, and the keeper starts it again";
  const ProcessState state = view.daemon_state();
  if (keeper.is_serving == 0 && Lives(state) && state != ProcessState::kStopped) {
    return fmt::format("the daemon, process {}, has been started and does not serve yet",
                       keeper.daemon_pid);
  }
  if (view.is_elsewhere()) return WhyNoAnswerElsewhere("daemon", keeper.daemon_pid);
  return WhyNoAnswer("daemon", keeper.daemon_pid, state);
}

namespace {

void PrintView(const StoreView& view, const std::string& dir, const std::string& why) {
  const WindowAnswer& keeper = view.keeper();
  const StoreSums sums = SumUp(view);
  std::cout << fmt::format("Penstock store at {}: {}.\n", dir, why)
            << fmt::format("Keeper process {} has seen {} daemons die.\n", keeper.keeper_pid,
                           keeper.deaths);
  if (!view.has_store()) {
    std::cout << "No daemon has made a store yet.\n";
    return;
  }
  std::cout << "\nMemory, as its store shows it\n";
  Row("arena", FormatBytes(sums.arena_bytes));
  Row("populated", FormatBytes(sums.populated_bytes),
      Percent(sums.populated_bytes, sums.arena_bytes));
  Row("objects", FormatBytes(sums.objects().bytes),
      fmt::format("{} of it evictable", FormatBytes(sums.evictable.bytes)));
  Row("pinned", FormatBytes(sums.pinned.bytes));
  Row("leased", FormatBytes(sums.leased.bytes), "being filled, or granted ahead");
  Row("free", FormatBytes(sums.free_bytes));
  Row("on disk", FormatBytes(sums.on_disk.bytes),
      fmt::format("{} objects, some of them in memory too", sums.on_disk.objects));
  std::cout << "\nNow\n";
  Row("objects", fmt::format("{}", sums.objects().count),
      fmt::format("of {} slots", view.slots()));
  Row("doomed", fmt::format("{}", sums.deleted.count), "deleted, still pinned");
  Row("leases", fmt::format("{}", sums.leased.count));
  Row("sessions", fmt::format("{}", view.sessions().size()));
  Row("restarts", fmt::format("{}", view.restarts()), "of the daemon, in this store");
  std::cout << "\nThe same way work: penstock objects, memory, clients and top.\n";
}

void PrintJson(const StoreView& view, const std::string& why) {
  const WindowAnswer& keeper = view.keeper();
  const StoreSums sums = SumUp(view);
  nlohmann::ordered_json json;
  json["answers"] = false;
  json["why"] = why;
  json["daemon_pid"] = keeper.daemon_pid;
  json["daemon_state"] = NameOf(view.daemon_state());
  json["serving"] = keeper.is_serving != 0;
  json["keeper_pid"] = keeper.keeper_pid;
  json["deaths"] = keeper.deaths;
  json["restarts"] = view.has_store() ? view.restarts() : 0;
  json["arena_bytes"] = sums.arena_bytes;
  json["populated_bytes"] = sums.populated_bytes;
  json["free_bytes"] = sums.free_bytes;
  json["object_bytes"] = sums.objects().bytes;
  json["leased_bytes"] = sums.leased.bytes;
  json["evictable_bytes"] = sums.evictable.bytes;
  json["pinned_bytes"] = sums.pinned.bytes;
  json["disk_objects"] = sums.on_disk.objects;
  json["disk_bytes"] = sums.on_disk.bytes;
  json["objects"] = sums.objects().count;
  json["slots"] = view.has_store() ? view.slots() : 0;
  json["leases"] = sums.leased.count;
  json["doomed"] = sums.deleted.count;
  json["sessions"] = view.sessions().size();
  std::cout << JsonText(json, 2) << "\n";
}

}  // namespace

int Status(const LookOptions& options) {
  const absl::Time until = absl::Now() + absl::Seconds(options.wait_s);
  auto status = QueryStatus(options.dir, absl::Seconds(options.patience_s));
  const auto has_not_begun = [&] {
    return absl::IsNotFound(status.status()) || absl::IsUnavailable(status.status());
  };
  while (has_not_begun() && absl::Now() < until) {
    absl::SleepFor(absl::Milliseconds(5));
    status = QueryStatus(options.dir, absl::Seconds(options.patience_s));
  }
  if (status.ok()) {
    if (options.json) PrintJson(*status);
    else PrintStatus(*status, options.dir);
    return kExitGood;
  }
  const auto view = StoreView::Open(options.dir);
  if (!view.ok()) {
    // A keeper that is there and silent is news; one that is not is no other store than this.
    if (!absl::IsDeadlineExceeded(view.status())) return Fail(status.status());
    Fail(view.status());
    // That neither answers has been said with the reason.
    if (!absl::IsDeadlineExceeded(status.status())) Fail(status.status());
    return kExitNoAnswer;
  }
  // It did answer, and tells another user's program nothing. Only root gets as far as this.
  const std::string why = absl::IsPermissionDenied(status.status())
                              ? std::string(status.status().message())
                              : WhyNoStatus(*view);
  if (options.json) PrintJson(*view, why);
  else PrintView(*view, options.dir, why);
  return kExitNoAnswer;
}

int Fail(const absl::Status& status) {
  std::cerr << "penstock: " << std::string(status.message()) << "\n";
  return kExitFailed;
}

std::string LeftOut(size_t shown, size_t all) {
  if (shown == all) return "";
  return fmt::format("{} more were left out: --limit {} shows twice as many, --limit 0 all\n",
                     all - shown, 2 * shown);
}

}  // namespace penstock
